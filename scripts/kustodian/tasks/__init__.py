"""The Invoke tasks: arguments in, one library call, print, exit code. Nothing else may be here.

The repository's own `tasks.py` and the program `kustodian` both offer this collection.
"""

from __future__ import annotations

from pathlib import Path

from invoke import Collection

from kustodian.tasks.checkout import build, clean, doctor, validate
from kustodian.tasks.cluster import cluster
from kustodian.tasks.delivery import drift, history, push, rollback, status, sync
from kustodian.tasks.secrets import decrypt, edit, encrypt
from kustodian.tasks.shared import command

__all__ = ["collection", "command"]


def collection(repo: Path | None = None) -> Collection:
    """The tasks. `repo` is the repository's root; without it, it is looked for around the working folder."""
    checkout = (build, validate, doctor, clean)
    delivery = (push, status, sync, history, rollback, drift)
    namespace = Collection(*checkout, encrypt, decrypt, edit, *delivery, cluster)
    if repo is not None:
        namespace.configure({"kustodian": {"repo": str(repo)}})
    return namespace
