from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kustodian import process
from kustodian.errors import ToolError, ToolTimeout

from .kit import is_running, program, python, within


def test_output_exit_code_and_input_come_through(tmp_path: Path) -> None:
    done = process.run(
        ["sh", "-c", "cat; pwd; echo $MARK >&2; exit 3"],
        timeout=10,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "MARK": "moin"},
        stdin=b"in\n",
    )
    assert done.argv == ("sh", "-c", "cat; pwd; echo $MARK >&2; exit 3")
    assert done.returncode == 3
    assert done.stdout == f"in\n{tmp_path}\n".encode()
    assert done.stderr == b"moin\n"
    assert done.error_text == "moin"


def test_without_input_a_program_reads_nothing_and_does_not_wait() -> None:
    assert process.run(["cat"], timeout=10).stdout == b""


def test_more_output_than_a_pipe_holds_comes_through() -> None:
    done = process.run(["sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"], timeout=10)
    assert (len(done.stdout), len(done.stderr)) == (300_000, 300_000)


def test_input_that_nobody_reads_is_no_error() -> None:
    assert process.run(["true"], timeout=10, stdin=b"x" * 1_000_000).returncode == 0


def test_error_text_that_is_not_utf8_is_shown_all_the_same() -> None:
    assert process.Completed(("x",), 1, b"", b"\xff oh \n").error_text == "\N{REPLACEMENT CHARACTER} oh"


def test_a_program_ended_by_a_signal_has_a_negative_exit_code() -> None:
    assert process.run(["sh", "-c", "kill -KILL $$"], timeout=10).returncode == -signal.SIGKILL


def test_no_shell_reads_the_arguments() -> None:
    assert process.run(["printf", "%s", "$HOME; `id` *"], timeout=10).stdout == b"$HOME; `id` *"


def test_the_time_limit_ends_the_program_and_its_grandchildren(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = 'sleep 60 & echo "$$ $!" > "$1"; wait'
    with pytest.raises(ToolTimeout) as raised:
        process.run(["sh", "-c", script, "sh", pids], timeout=0.5, cwd=tmp_path)
    assert raised.value.message == "sh did not end within 0.5 s; it and its children were ended"
    assert raised.value.hint == (
        f'the command was: (cd {tmp_path} && sh -c \'sleep 60 & echo "$$ $!" > "$1"; wait\' sh {pids})'
    )
    shell, sleep = (int(pid) for pid in pids.read_text("utf-8").split())
    assert within(2, lambda: not is_running(shell))
    assert within(2, lambda: not is_running(sleep))


def test_the_time_limit_ends_a_grandchild_that_outlives_its_parent_and_holds_the_output(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ToolTimeout):
        process.run(["sh", "-c", 'sleep 60 & echo $! > "$1"', "sh", pid], timeout=0.5)
    assert within(2, lambda: not is_running(int(pid.read_text("utf-8"))))


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    pid = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(ToolTimeout):
        process.run(["sh", "-c", 'trap "" TERM; echo $$ > "$1"; while :; do sleep 1; done', "sh", pid], timeout=0.4)
    assert time.monotonic() - started < 3
    assert within(2, lambda: not is_running(int(pid.read_text("utf-8"))))


def test_a_program_without_a_group_of_its_own_stays_in_ours() -> None:
    script = "ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat"
    ours = process.run(["sh", "-c", script], timeout=10, new_group=False).stdout
    own = process.run(["sh", "-c", script], timeout=10).stdout
    assert int(ours) == os.getpgid(0)
    assert int(own) != os.getpgid(0)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ToolError) as raised:
        process.run(["no-such-program-anywhere", "--help"], timeout=1)
    assert raised.value.message == "can't start no-such-program-anywhere: no-such-program-anywhere does not exist"


def test_a_missing_working_folder_is_named_instead_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as raised:
        process.run(["true"], timeout=1, cwd=tmp_path / "gone")
    assert raised.value.message == f"can't start true: {tmp_path / 'gone'} does not exist"


def test_a_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"\x00")
    with pytest.raises(ToolError) as raised:
        process.run([file], timeout=1)
    assert raised.value.message == f"can't start {file}: Permission denied"


def test_lines_of_standard_error_are_seen_while_they_come(tmp_path: Path) -> None:
    seen: list[str] = []
    go_on = tmp_path / "go-on"
    script = 'echo one >&2; while [ ! -e "$1" ]; do sleep 0.01; done; echo two >&2; echo out'

    def on_line(line: str) -> None:
        seen.append(line)
        go_on.touch()

    done = process.run(["sh", "-c", script, "sh", go_on], timeout=10, on_stderr_line=on_line)
    assert seen == ["one", "two"]
    assert done.stderr == b"one\ntwo\n"
    assert done.stdout == b"out\n"


def test_lines_are_seen_of_a_program_that_writes_more_than_a_pipe_holds() -> None:
    seen: list[str] = []
    script = "echo start >&2; head -c 300000 /dev/zero; echo end >&2"
    done = process.run(["sh", "-c", script], timeout=5, on_stderr_line=seen.append)
    assert seen == ["start", "end"]
    assert len(done.stdout) == 300_000


def test_the_time_limit_holds_while_lines_are_read() -> None:
    with pytest.raises(ToolTimeout):
        process.run(["sh", "-c", "echo x >&2; sleep 60"], timeout=0.3, on_stderr_line=lambda _line: None)


def test_an_attached_program_gets_the_folder_and_the_variables_and_returns_its_code(tmp_path: Path) -> None:
    script = program(tmp_path / "editor", 'echo "$PWD $MARK" > "$1"\nexit 7\n')
    out = tmp_path / "out"
    assert process.run_attached([script, out], cwd=tmp_path, env={"MARK": "x"}) == 7
    assert out.read_text("utf-8") == f"{tmp_path} x\n"


def test_an_attached_program_that_is_missing_is_named() -> None:
    with pytest.raises(ToolError) as raised:
        process.run_attached(["no-such-editor"])
    assert raised.value.message == "can't start no-such-editor: No such file or directory"


def test_a_command_pastes_into_a_shell() -> None:
    assert process.command_line(["a", "b c", "$d"]) == "a 'b c' '$d'"
    assert process.command_line(["a"], Path("/x y")) == "(cd '/x y' && a)"


# Servers

LEAVES = """
import sys, time
from pathlib import Path
from kustodian import process

options = {"own_session": True} if sys.argv[2] == "own" else {}
print(process.spawn(["sleep", "60"], log=Path(sys.argv[1]), **options).pid, flush=True)
time.sleep(float(sys.argv[3]))
"""


def started_by(tmp_path: Path, session: str, *, seconds: float) -> tuple[subprocess.Popen[str], int]:
    """A process that starts a server, and the server's process id."""
    command = [sys.executable, "-c", LEAVES, str(tmp_path / "log"), session, str(seconds)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        return parent, int(parent.stdout.readline())


def test_what_a_server_prints_goes_to_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n", "utf-8")
    script = "echo $MARK; pwd; cat; echo bad >&2; exit 3"
    started = process.spawn(
        ["sh", "-c", script], log=log, cwd=tmp_path, env={"PATH": os.environ["PATH"], "MARK": "moin"}
    )
    assert started.wait(5) == 3
    assert log.read_text("utf-8") == f"before\nmoin\n{tmp_path}\nbad\n"


def test_output_is_read_and_input_is_given_where_that_is_wanted(tmp_path: Path) -> None:
    started = process.spawn(["sh", "-c", "cat; echo bad >&2"], log=tmp_path / "log", read_output=True, give_input=True)
    assert started.communicate(b"moin", timeout=5)[0] == b"moin"
    assert (tmp_path / "log").read_text("utf-8") == "bad\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_who_started_it_however_that_ends(number: signal.Signals, tmp_path: Path) -> None:
    parent, server = started_by(tmp_path, "ours", seconds=60)
    assert is_running(server)
    assert os.getpgid(server) == os.getpgid(parent.pid)
    parent.send_signal(number)
    assert parent.wait(5) == -number
    assert within(2, lambda: not is_running(server))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_ends_with_who_just_comes_to_its_end(tmp_path: Path) -> None:
    parent, server = started_by(tmp_path, "ours", seconds=0)
    assert parent.wait(5) == 0
    assert within(2, lambda: not is_running(server))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_server_with_a_session_of_its_own_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    parent, server = started_by(tmp_path, "own", seconds=60)
    try:
        assert os.getsid(server) == os.getpgid(server) == server
        parent.send_signal(number)
        parent.wait(5)
        time.sleep(0.1)
        assert is_running(server)
    finally:
        os.kill(server, signal.SIGKILL)


def test_a_server_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as raised:
        process.spawn(["no-such-server", "--port=1"], log=tmp_path / "log")
    assert raised.value.message == "can't start no-such-server: No such file or directory"


def test_stop_all_leaves_servers_to_who_started_them(tmp_path: Path) -> None:
    done = python(
        """
        import sys
        from pathlib import Path
        from kustodian import process

        server = process.spawn(["sleep", "60"], log=Path(sys.argv[1]))
        process.stop_all()
        print(server.poll())
        server.kill()
        server.wait()
        """,
        tmp_path / "log",
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


# Ending everything


def test_stop_all_ends_what_runs_with_its_children_and_lets_nothing_start() -> None:
    done = python(
        """
        import threading, time
        from kustodian import process
        from kustodian.errors import Interrupted

        outcomes = []

        def work():
            try:
                process.run(["sh", "-c", "sleep 60 & echo $! >&2; wait"], timeout=30, on_stderr_line=pids.append)
            except Interrupted as error:
                outcomes.append(error.message)

        pids = []
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(pids) < 3:
            time.sleep(0.01)
        started = time.monotonic()
        process.stop_all()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 5
        try:
            process.run(["true"], timeout=1)
        except Interrupted as error:
            outcomes.append("later: " + error.message)
        print(*outcomes, sep="|")
        print(*pids)
        """
    )
    assert done.stderr == ""
    outcomes, pids = done.stdout.splitlines()
    assert outcomes == "interrupted|interrupted|interrupted|later: interrupted"
    assert within(2, lambda: not any(is_running(int(pid)) for pid in pids.split()))


def test_stop_all_may_be_called_by_a_signal_handler_at_any_moment() -> None:
    # The handler runs in the main thread, which may be inside one of the module's own short locked sections.
    done = python(
        """
        import signal
        from kustodian import process

        signal.signal(signal.SIGALRM, lambda *_: (process.stop_all(), print("stopped")))
        with process._lock:
            signal.raise_signal(signal.SIGALRM)
        """
    )
    assert (done.stdout, done.stderr) == ("stopped\n", "")


def test_an_exception_in_the_caller_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    class Stop(Exception):
        pass

    def handler(_number: int, _frame: object) -> None:
        raise Stop

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(Stop):
            process.run(["sh", "-c", 'echo $$ > "$1"; sleep 60 & wait', "sh", pid], timeout=30)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert within(2, lambda: not is_running(int(pid.read_text("utf-8"))))
