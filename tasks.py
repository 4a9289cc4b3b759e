"""Flowlet's tasks: those of kustodian, for this repository. `invoke --list` shows them."""

import sys
from pathlib import Path

from invoke import Context, task
from kustodian.tasks import collection


@task
def e2e(c: Context) -> None:
    """Deliver this repository to a real API server by a real Argo CD, and break what can break (about nine minutes)."""
    c.run(f"{sys.executable} -m pytest -m cluster -n 0", echo=True)


namespace = collection(Path(__file__).parent)
namespace.add_task(e2e)  # type: ignore[arg-type]  # what Invoke says that its decorator returns
