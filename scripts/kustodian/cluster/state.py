"""Where a repository's trial cluster lies, and how to speak to one that is up.

A cluster is up exactly as long as its supervisor runs: the supervisor holds a lock on a file in the cluster's folder,
which the system takes from it however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from kustodian import toolchain

CLUSTERS = "clusters"
"""The folder in the user's cache that has one for each cluster."""
LOCK = "supervisor.lock"
STATE = "state.json"


@dataclass(frozen=True)
class State:
    """A cluster that is up. The file that holds it is readable by its owner only."""

    folder: Path
    supervisor: int
    """Process id."""
    kubeconfig: Path
    """An administrator's, for the API server."""
    server: str
    """Argo CD's base address, `https://127.0.0.1:PORT`."""
    ca: Path
    """The certificate (PEM) that both servers' certificates are signed by."""
    repository_url: str
    """The git repository that its Applications follow: `file://…`, a bare one in the cluster's folder."""
    branch: str
    token: str = field(repr=False, default="")
    """Argo CD's, of an administrator."""


def folder_of(root: Path) -> Path:
    """The folder of the cluster of the repository at `root`, whether it is there or not."""
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    return toolchain.cache_folder() / CLUSTERS / digest


def read(root: Path) -> State | None:
    """The state of the repository's cluster; None if none is up."""
    folder = folder_of(root)
    if not is_held(folder / LOCK):
        return None
    try:
        document = json.loads((folder / STATE).read_text("utf-8"))
    except (OSError, ValueError):  # it is just coming up, or just going down
        return None
    return State(
        folder=folder,
        supervisor=int(document["supervisor"]),
        kubeconfig=folder / document["kubeconfig"],
        server=document["server"],
        ca=folder / document["ca"],
        repository_url=document["repositoryUrl"],
        branch=document["branch"],
        token=document["token"],
    )


def up_in_cache() -> list[Path]:
    """The folders of all clusters of this user that are up, whatever repository they belong to."""
    return [lock.parent for lock in sorted((toolchain.cache_folder() / CLUSTERS).glob(f"*/{LOCK}")) if is_held(lock)]


def is_held(lock: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may ask at the same moment
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
