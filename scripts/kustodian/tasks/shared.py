"""What every task is made of: its decorators, what it reads from the command line, and how it ends."""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from invoke import Context, Exit
from invoke import task as invoke_task

from kustodian.errors import ExitCode, Interrupted, KustodianError, OutputError, UsageError
from kustodian.errors import task as task_line

if TYPE_CHECKING:
    from kustodian.repository import Overlay, Repository

SELECTION = {
    "env": "Environment (an overlay's folder name or path); repeat for several.",
    "all": "Every overlay of the repository.",
    "root": "Any Kustomization by its folder's path; repeat for several.",
    "format": "How the result is printed: text or json.",
}


task = functools.partial(invoke_task, auto_shortflags=False)
"""Long options only: `-r` could be --root or --reveal, and one of them must never be a slip of the finger."""


def command(body: Callable[..., ExitCode]) -> Callable[..., None]:
    """Turn what a task's body raises or returns into a message and an exit code."""

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> None:
        _prepare()
        try:
            code = body(*args, **kwargs)
            sys.stdout.flush()
        except KustodianError as error:
            _fail(error)
        except KeyboardInterrupt:
            from kustodian import process

            process.stop_all()
            _fail(Interrupted("interrupted; nothing was left half written"))
        except OSError as error:
            _fail_output(error)
        except Exception as error:
            _report_bug(error)
        if code is not ExitCode.CLEAN:  # a clean task lets the next one of the command line run
            raise Exit(code=int(code))

    return run


def repository_of(c: Context) -> Repository:
    from kustodian.repository import Repository

    configured = c.config.get("kustodian", {}).get("repo")
    return Repository.open(Path(configured)) if configured else Repository.discover(Path.cwd())


def path_of(argument: str) -> Path:
    # Invoke takes whatever follows for the missing file, `--help` too.
    if argument.startswith("-"):
        raise UsageError(
            f"{argument} is not a file", hint=f"give the file's path; for help: {task_line('--help TASK')}"
        )
    return Path(argument)


def selected(c: Context, env: list[str], root: list[str], every: bool) -> tuple[Repository, tuple[Overlay, ...]]:
    repository = repository_of(c)
    return repository, repository.select(environments=env, every=every, roots=[Path(path) for path in root])


def tool(name: str) -> Path:
    return tools([name])[name]


def tools(names: Sequence[str]) -> dict[str, Path]:
    """The pinned programs, those that are missing built together."""
    from kustodian import console, toolchain

    found = {name: tool.path for name in names if (tool := toolchain.locate(toolchain.pinned(name))[0])}
    if len(found) < len(names):
        with console.building() as report:
            found = {tool.pin.name: tool.path for tool in toolchain.find_all(names, report=report)}
    return found


def _prepare() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ✓ still gets the words
            stream.reconfigure(errors="replace")


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(error: KustodianError) -> NoReturn:
    from kustodian import console

    console.note(f"{console.paint('error:', 'red', sys.stderr)} {console.plain(str(error))}")
    raise Exit(code=int(ExitCode.ERROR)) from None


def _fail_output(error: OSError) -> NoReturn:
    # Nothing more can be printed, and the interpreter would try once more at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # whoever reads our output has gone (`| head`), and needs no message
        raise Exit(code=int(ExitCode.ERROR)) from None
    _fail(OutputError(f"{error.filename or 'standard output'}: {error.strerror or type(error).__name__}"))


def _report_bug(error: Exception) -> NoReturn:
    """A traceback without the exception's text, which may quote a decrypted value."""
    import traceback

    from kustodian import console

    frames = "".join(traceback.format_tb(error.__traceback__)[-4:])
    console.note(f"error: unexpected {type(error).__name__}; this is a bug of kustodian\n{frames}".rstrip())
    raise Exit(code=int(ExitCode.ERROR)) from None
