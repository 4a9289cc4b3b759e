"""The Invoke tasks: arguments in, one library call, print, exit code. Nothing else may be here.

The repository's own `tasks.py` and the program `kustodian` both offer this collection.
"""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from invoke import Collection, Context, Exit, task

from kustodian.errors import ExitCode, Interrupted, KustodianError, OutputError, UsageError
from kustodian.errors import task as task_line

if TYPE_CHECKING:
    from kustodian.repository import Overlay, Repository

_SELECTION = {
    "env": "Environment (an overlay's folder name or path); repeat for several.",
    "all": "Every overlay of the repository.",
    "root": "Any Kustomization by its folder's path; repeat for several.",
    "format": "How the result is printed: text or json.",
}


_task = functools.partial(task, auto_shortflags=False)
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


@_task(
    iterable=["env", "root"],
    help={
        **_SELECTION,
        "output": "Folder for the renders (default: build), or - for standard output.",
        "reveal": "Decrypt: to standard output, or to files of mode 0600 that git ignores. Needs a key.",
    },
)
@command
def build(
    c: Context,
    env: list[str],
    root: list[str],
    all_: bool = False,
    output: str = "",
    reveal: bool = False,
    format_: str = "text",
) -> ExitCode:
    """Render overlays to build/, sealed: no key is needed and no secret is shown."""
    from kustodian import build as stage
    from kustodian.console import Counter
    from kustodian.render import Renderer, Secrets
    from kustodian.report import reporter

    started = time.monotonic()
    report = reporter(format_)
    repository, overlays = _selected(c, env, root, all_)
    renderer = Renderer(
        repository,
        _tool("kustomize"),
        Secrets.REVEALED if reveal else Secrets.SEALED,
        _tool("sops") if reveal else None,
    )
    folder = None if output == "-" else Path(output) if output else repository.root / "build"
    counter = Counter(len(overlays), "rendering")
    outcomes = stage.build(
        renderer, overlays, output=folder or sys.stdout.buffer, on_done=lambda _outcome: counter.advance()
    )
    report.built(outcomes, time.monotonic() - started, sys.stderr if folder is None else sys.stdout)
    return ExitCode.ERROR if any(outcome.error for outcome in outcomes) else ExitCode.CLEAN


@_task(
    iterable=["env", "root"],
    help={
        **_SELECTION,
        "kubernetes_version": "Kubernetes version of the schemas, 1.25 to 1.37 (default: the repository's).",
    },
)
@command
def validate(
    c: Context,
    env: list[str],
    root: list[str],
    all_: bool = False,
    kubernetes_version: str = "",
    format_: str = "text",
) -> ExitCode:
    """Render overlays and check them: schemas, configuration, and that every secret in the tree is encrypted."""
    from kustodian import settings
    from kustodian.console import Counter
    from kustodian.render import Renderer
    from kustodian.report import reporter
    from kustodian.toolchain import cache_folder
    from kustodian.validate import Validator

    started = time.monotonic()
    report = reporter(format_)
    repository, overlays = _selected(c, env, root, all_)
    version = settings.kubernetes_version(kubernetes_version or repository.settings.kubernetes_version)
    validator = Validator(Renderer(repository, _tool("kustomize")), _tool("kubeconform"), version, cache_folder())
    counter = Counter(len(overlays), "checking")
    result = validator.validate(overlays, on_done=lambda _checked: counter.advance())
    report.validated(result, time.monotonic() - started, sys.stdout)
    return result.exit_code


@_task(help={"file": "The file to encrypt, by the rules of .sops.yaml."})
@command
def encrypt(c: Context, file: str) -> ExitCode:
    """Encrypt a file in place by the repository's rules; an encrypted one is left as it is."""
    from kustodian.console import say
    from kustodian.secrets import sops

    repository = _repository(c)
    changed = sops.encrypt(_tool("sops"), _file(file), root=repository.root, env=sops.environment(repository.demo_keys))
    say(f"{file}: encrypted" if changed else f"{file}: is encrypted already; nothing was changed")
    return ExitCode.CLEAN


@_task(help={"file": "The encrypted file."})
@command
def decrypt(c: Context, file: str) -> ExitCode:
    """Print the plain content of an encrypted file to standard output; never to a file."""
    from kustodian.secrets import sops

    plain = sops.decrypt(_tool("sops"), _file(file), env=sops.environment(_repository(c).demo_keys))
    sys.stdout.buffer.write(plain)
    return ExitCode.CLEAN


@_task(help={"file": "The encrypted file."})
@command
def edit(c: Context, file: str) -> ExitCode:
    """Open an encrypted file in $EDITOR and encrypt it again in place; unchanged values keep their ciphertext."""
    from kustodian.console import say
    from kustodian.secrets import sops

    changed = sops.edit(_tool("sops"), _file(file), env=sops.environment(_repository(c).demo_keys))
    say(f"{file}: encrypted again" if changed else f"{file}: nothing was changed")
    return ExitCode.CLEAN


@_task(help={"build": "Build every pinned program that is missing, now."})
@command
def doctor(c: Context, build: bool = False) -> ExitCode:
    """Show what is installed, which keys are at hand, and what to do about what is missing."""
    from kustodian import console
    from kustodian import doctor as stage

    if build:
        with console.building() as report:
            stage.build_missing(report)
    code = ExitCode.CLEAN
    for check in stage.examine(_repository(c)):
        mark, colour = {True: ("✓", "green"), None: ("·", "dim"), False: ("✗", "red")}[check.ok]
        console.say(f"{console.paint(mark, colour, sys.stdout)} {check.subject}: {check.detail}")
        if check.advice:
            console.say(f"    → {check.advice}")
        code = ExitCode.FINDINGS if check.ok is False else code
    return code


@_task(help={"cache": "Remove the per-user cache as well: built programs and converted schemas."})
@command
def clean(c: Context, cache: bool = False) -> ExitCode:
    """Remove build/; nothing that git tracks is touched."""
    from kustodian import clean as stage
    from kustodian.console import say
    from kustodian.toolchain import cache_contents

    repository = _repository(c)
    removed = stage.clean([repository.root / "build", *(cache_contents() if cache else [])])
    for path in removed:
        say(f"removed {path}")
    if not removed:
        say("nothing to remove")
    return ExitCode.CLEAN


def collection(repo: Path | None = None) -> Collection:
    """The tasks. `repo` is the repository's root; without it, it is looked for around the working folder."""
    namespace = Collection(build, validate, encrypt, decrypt, edit, doctor, clean)
    if repo is not None:
        namespace.configure({"kustodian": {"repo": str(repo)}})
    return namespace


def _repository(c: Context) -> Repository:
    from kustodian.repository import Repository

    configured = c.config.get("kustodian", {}).get("repo")
    return Repository.open(Path(configured)) if configured else Repository.discover(Path.cwd())


def _file(argument: str) -> Path:
    # Invoke takes whatever follows for the missing file, `--help` too.
    if argument.startswith("-"):
        raise UsageError(
            f"{argument} is not a file", hint=f"give the file's path; for help: {task_line('--help TASK')}"
        )
    return Path(argument)


def _selected(c: Context, env: list[str], root: list[str], every: bool) -> tuple[Repository, tuple[Overlay, ...]]:
    repository = _repository(c)
    return repository, repository.select(environments=env, every=every, roots=[Path(path) for path in root])


def _tool(name: str) -> Path:
    from kustodian import console, toolchain

    tool, _unfit = toolchain.locate(toolchain.pinned(name))
    if tool is not None:
        return tool.path
    with console.building() as report:
        return toolchain.find(name, report=report).path


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

    console.note(f"{console.paint('error:', 'red', sys.stderr)} {error}")
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
