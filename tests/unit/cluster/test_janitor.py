"""The janitor as it is started: a real process that waits for a real supervisor's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..kit import is_running, within

SUPERVISOR = """
import os, subprocess, sys, time
from pathlib import Path
from kustodian import process

folder = Path(sys.argv[1])
janitor = process.spawn(
    [sys.executable, "-m", "kustodian.cluster.janitor", str(os.getpid()), str(folder)],
    log=Path(os.devnull), own_session=True, give_input=True,
)
# A server with a child of its own, both deaf to SIGTERM; and one that writes until its end.
deaf = 'trap "" TERM HUP INT; sleep 60 & echo "$$ $!" > pids; wait'
writes = 'while :; do date > log.$RANDOM; done'
servers = [subprocess.Popen(["sh", "-c", script], cwd=folder) for script in (deaf, writes)]
while not (folder / "pids").exists() or len((folder / "pids").read_text().split()) < 2:
    time.sleep(0.01)
(folder / "all").write_text(f"{janitor.pid} {servers[1].pid} " + (folder / "pids").read_text())
(folder / "all").rename(folder / "ready")
time.sleep(60)
"""


class Trial:
    """A supervisor with a janitor and servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").touch()
        self.supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(folder)], start_new_session=True)
        assert within(20, (folder / "ready").exists)
        self.janitor, *self.servers = (int(pid) for pid in (folder / "ready").read_text("utf-8").split())

    def is_gone(self) -> bool:
        return not self.folder.exists() and not any(map(is_running, (self.janitor, *self.servers)))


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    made = Trial(tmp_path / "trial")
    yield made
    for group in (made.supervisor.pid, made.janitor):
        if is_running(group):
            os.killpg(group, signal.SIGKILL)
    made.supervisor.kill()
    made.supervisor.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_however_the_supervisor_ends_its_servers_end_and_the_folder_goes(number: signal.Signals, trial: Trial) -> None:
    assert len(trial.servers) == 3
    assert all(map(is_running, trial.servers))
    trial.supervisor.send_signal(number)
    assert trial.supervisor.wait(5) == -number
    assert within(5, trial.is_gone), [*map(is_running, (trial.janitor, *trial.servers))]


def test_the_janitor_outlives_what_asks_it_to_end(trial: Trial) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    assert within(5, lambda: ignored(trial.janitor).issuperset(numbers))
    for number in numbers:
        os.kill(trial.janitor, number)
    time.sleep(0.1)
    assert is_running(trial.janitor)
    assert all(map(is_running, trial.servers))
    assert trial.folder.exists()
    trial.supervisor.kill()
    trial.supervisor.wait()
    assert within(5, trial.is_gone)


def ignored(pid: int) -> set[int]:
    """The signals that a process ignores."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_the_janitor_is_in_no_group_and_session_of_the_supervisor(trial: Trial) -> None:
    """Else it would end with it, or with the terminal."""
    assert os.getpgid(trial.janitor) == os.getsid(trial.janitor) == trial.janitor
    assert {os.getpgid(pid) for pid in trial.servers} == {trial.supervisor.pid}


def test_a_folder_and_a_group_that_are_gone_already_are_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(["true"], start_new_session=True) as ended:
        pass
    done = subprocess.run(
        [sys.executable, "-m", "kustodian.cluster.janitor", str(ended.pid), str(tmp_path / "gone")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
