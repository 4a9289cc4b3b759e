from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kustodian.cluster import state

from ...conftest import Ran

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""
DOCUMENT = {
    "supervisor": 4711,
    "kubeconfig": "kubeconfig",
    "server": "https://127.0.0.1:1234",
    "ca": "certificates/ca.crt",
    "repositoryUrl": "file:///x.git",
    "branch": "main",
    "token": "very-secret-token",
}


@contextmanager
def held(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock, as a supervisor does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


@pytest.fixture
def folder(cache: Path, tmp_path: Path) -> Path:
    folder = state.folder_of(tmp_path)
    folder.mkdir(parents=True)
    return folder


def test_a_cluster_that_is_up_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / state.STATE).write_text(json.dumps(DOCUMENT))
    with held(folder / state.LOCK):
        found = state.read(tmp_path)
    assert found == state.State(
        folder=folder,
        supervisor=4711,
        kubeconfig=folder / "kubeconfig",
        server="https://127.0.0.1:1234",
        ca=folder / "certificates" / "ca.crt",
        repository_url="file:///x.git",
        branch="main",
        token="very-secret-token",
    )
    assert "very-secret-token" not in repr(found)


def test_without_a_folder_none_is_up(cache: Path, tmp_path: Path) -> None:
    assert state.read(tmp_path) is None
    assert not cache.exists()


def test_what_nobody_holds_any_more_is_not_up(folder: Path, tmp_path: Path) -> None:
    (folder / state.STATE).write_text(json.dumps(DOCUMENT))
    assert state.read(tmp_path) is None
    (folder / state.LOCK).write_text("4711\n")
    assert state.read(tmp_path) is None


@pytest.mark.parametrize("text", [None, "", json.dumps(DOCUMENT)[:40]])
def test_one_that_is_just_coming_up_is_not_up_yet(text: str | None, folder: Path, tmp_path: Path) -> None:
    if text is not None:
        (folder / state.STATE).write_text(text)
    with held(folder / state.LOCK):
        assert state.read(tmp_path) is None


def test_a_supervisor_that_is_killed_holds_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / state.STATE).write_text(json.dumps(DOCUMENT))
    with held(folder / state.LOCK) as holder:
        assert state.is_held(folder / state.LOCK)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert not state.is_held(folder / state.LOCK)
        assert state.read(tmp_path) is None


def test_asking_takes_the_lock_from_nobody(folder: Path) -> None:
    with held(folder / state.LOCK):
        assert [state.is_held(folder / state.LOCK) for _ in range(3)] == [True] * 3


def test_two_who_ask_at_once_are_not_taken_for_a_cluster(folder: Path) -> None:
    (folder / state.LOCK).touch()
    with (folder / state.LOCK).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not state.is_held(folder / state.LOCK)


def test_each_repository_has_a_folder_of_its_own_in_the_cache(cache: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("a")
    folders = [state.folder_of(tmp_path / name) for name in ("a", "b", "link", "a/../a")]
    assert folders[0] == folders[2] == folders[3] != folders[1]
    assert all(folder.parent == cache / "clusters" for folder in folders)


def test_all_that_are_up_are_found_whatever_repository_they_belong_to(folder: Path, cache: Path) -> None:
    assert state.up_in_cache() == []
    with held(folder / state.LOCK):
        assert state.up_in_cache() == [folder]
    assert state.up_in_cache() == []


def test_what_a_cluster_runs_is_not_cleaned_away(folder: Path, cache: Path, kustodian: Callable[..., Ran]) -> None:
    built = cache / "bin" / "kwok"
    built.mkdir(parents=True)
    with held(folder / state.LOCK):
        ran = kustodian("clean", "--cache", cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert f"a trial cluster runs what is in the cache: {folder}" in ran.err
    assert built.is_dir()
