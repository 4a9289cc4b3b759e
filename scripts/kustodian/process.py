"""The one place that starts programs.

Argument lists and no shell; an explicit time limit; a process group of its own for each program, so that the program
*and its children* end when the limit passes, when another worker fails hard, or at Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kustodian.errors import Interrupted, ToolError, ToolTimeout

GRACE_SECONDS = 2.0
"""How long a program may take to end after SIGTERM before it is killed."""

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.RLock()
"""Reentrant, because a signal's handler that calls `stop_all` may find its own thread holding it."""
_stopping = threading.Event()


@dataclass(frozen=True)
class Completed:
    """A program that has ended. `returncode` is negative for a signal, as in `subprocess`."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def error_text(self) -> str:
        """Standard error as text. May quote the program's input: never print it for a program that saw plain values."""
        return self.stderr.decode("utf-8", "replace").strip()


def command_line(argv: Sequence[str], cwd: Path | None = None) -> str:
    """The command as a line that pastes into a shell."""
    line = shlex.join(argv)
    return f"(cd {shlex.quote(str(cwd))} && {line})" if cwd else line


def go_environment(**variables: str) -> dict[str, str]:
    """Our variables and `variables` for a short run of a Go program; what the caller's environment sets counts more.

    The heap of such a run is small: collecting garbage half as often saves a quarter of its time.
    """
    return {"GOGC": "400", **variables, **os.environ}


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_stderr_line: Callable[[str], None] | None = None,
    new_group: bool = True,
) -> Completed:
    """Run a program to its end, whatever its exit code.

    `timeout` is in seconds; `env` replaces the environment; without `stdin` the program gets an empty one.
    `on_stderr_line` sees standard error while it comes (for progress displays). A program that is itself ended as part
    of somebody's group passes `new_group=False`, so that its own children end with it.
    Raises `ToolError` when it can't be started, `ToolTimeout`, `Interrupted`.
    """
    args = tuple(str(arg) for arg in argv)
    process = _start(
        args,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        new_group=new_group,
    )
    try:
        if on_stderr_line is None:
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        else:
            stdout, stderr = _communicate_by_line(process, timeout, on_stderr_line)
    except subprocess.TimeoutExpired:
        _end(process)
        raise ToolTimeout(
            f"{Path(args[0]).name} did not end within {timeout:g} s; it and its children were ended",
            hint=f"the command was: {command_line(args, cwd)}",
        ) from None
    except BaseException:
        _end(process)
        raise
    finally:
        with _lock:
            _running.discard(process)
        _close_pipes(process)
    if _stopping.is_set() and process.returncode != 0:
        raise Interrupted("interrupted")
    return Completed(args, process.returncode, stdout, stderr)


def run_attached(argv: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run a program that talks to the person at the terminal (an editor); returns its exit code.

    It stays in our process group, because only the foreground group may read from the terminal. No time limit.
    """
    args = [str(arg) for arg in argv]
    try:
        return subprocess.run(args, cwd=cwd, env=env, check=False).returncode
    except OSError as error:
        raise ToolError(f"can't start {args[0]}: {error.strerror}") from None


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    own_session: bool = False,
    read_output: bool = False,
    give_input: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program that stays: a server. What it prints goes to the end of `log`; `read_output` pipes its standard
    output to the caller instead, `give_input` its standard input from there.

    It stays in our process group, and on Linux the kernel kills it when the thread that started it ends, so that a
    server never outlives a caller who was killed. With `own_session` it goes on without us, and without our terminal.
    Raises `ToolError`.
    """
    args = [str(arg) for arg in argv]
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                args,
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE if give_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE if read_output else output,
                stderr=output,
                start_new_session=own_session,
                preexec_fn=None if own_session else _die_with_parent,  # noqa: PLW1509  the supervisor has one thread
            )
    except OSError as error:
        raise ToolError(f"can't start {args[0]}: {error.strerror}") from None


def _die_with_parent() -> None:
    # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html; other systems have nothing like it.
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def stop_all() -> None:
    """End every program that is running, with its children. For Ctrl-C and SIGTERM; safe to call from a handler."""
    _stopping.set()
    with _lock:
        running = list(_running)
    for process in running:
        _signal_group(process, signal.SIGTERM)
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        _signal_group(process, signal.SIGKILL)


def _start(
    args: tuple[str, ...], *, cwd: Path | None, env: Mapping[str, str] | None, stdin: int, new_group: bool
) -> subprocess.Popen[bytes]:
    if _stopping.is_set():
        raise Interrupted("interrupted")
    try:
        process = subprocess.Popen(
            args,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0 if new_group else None,
        )
    except FileNotFoundError:
        missing = args[0] if cwd is None or cwd.is_dir() else str(cwd)
        raise ToolError(f"can't start {args[0]}: {missing} does not exist") from None
    except OSError as error:
        raise ToolError(f"can't start {args[0]}: {error.strerror}") from None
    with _lock:
        _running.add(process)
    if _stopping.is_set():  # stop_all() ran between the check above and the line before
        _end(process)
        raise Interrupted("interrupted")
    return process


def _communicate_by_line(
    process: subprocess.Popen[bytes], timeout: float, on_line: Callable[[str], None]
) -> tuple[bytes, bytes]:
    lines: list[bytes] = []
    output: list[bytes] = []

    def read_errors() -> None:
        assert process.stderr is not None  # noqa: S101  opened with PIPE in _start
        for line in process.stderr:
            lines.append(line)
            on_line(line.decode("utf-8", "replace").rstrip("\n"))

    def read_output() -> None:
        assert process.stdout is not None  # noqa: S101
        output.append(process.stdout.read())

    # Plain threads: communicate() would swallow standard error until the end, and a program whose output nobody reads
    # stops when the pipe is full.
    readers = [threading.Thread(target=read, daemon=True) for read in (read_errors, read_output)]
    for reader in readers:
        reader.start()
    process.wait(timeout)
    for reader in readers:
        reader.join(GRACE_SECONDS)
    return b"".join(output), b"".join(lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    # The group outlives its leader while a grandchild runs, so it is signalled even after the leader has ended.
    # Where the program is no leader there is no such group, and its own signal is all there is to send.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
        return
    process.send_signal(number)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
