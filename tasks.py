"""Flowlet's tasks: those of kustodian, for this repository. `invoke --list` shows them."""

from pathlib import Path

from kustodian.tasks import collection

namespace = collection(Path(__file__).parent)
