"""The tasks over the checkout alone: build, validate, doctor, clean."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from invoke import Context

from kustodian.errors import ExitCode, UsageError
from kustodian.errors import task as task_line
from kustodian.tasks.shared import SELECTION, command, repository_of, selected, task, tool


@task(
    iterable=["env", "root"],
    help={
        **SELECTION,
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
    repository, overlays = selected(c, env, root, all_)
    renderer = Renderer(
        repository,
        tool("kustomize"),
        Secrets.REVEALED if reveal else Secrets.SEALED,
        tool("sops") if reveal else None,
    )
    folder = None if output == "-" else Path(output) if output else repository.root / "build"
    counter = Counter(len(overlays), "rendering")
    outcomes = stage.build(
        renderer, overlays, output=folder or sys.stdout.buffer, on_done=lambda _outcome: counter.advance()
    )
    report.built(outcomes, time.monotonic() - started, sys.stderr if folder is None else sys.stdout)
    return ExitCode.ERROR if any(outcome.error for outcome in outcomes) else ExitCode.CLEAN


@task(
    iterable=["env", "root"],
    help={
        **SELECTION,
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
    repository, overlays = selected(c, env, root, all_)
    version = settings.kubernetes_version(kubernetes_version or repository.settings.kubernetes_version)
    validator = Validator(Renderer(repository, tool("kustomize")), tool("kubeconform"), version, cache_folder())
    counter = Counter(len(overlays), "checking")
    result = validator.validate(overlays, on_done=lambda _checked: counter.advance())
    report.validated(result, time.monotonic() - started, sys.stdout)
    return result.exit_code


@task(help={"build": "Build every pinned program that is missing, now."})
@command
def doctor(c: Context, build: bool = False) -> ExitCode:
    """Show what is installed, which keys are at hand, and what to do about what is missing."""
    from kustodian import console
    from kustodian import doctor as stage

    if build:
        with console.building() as report:
            stage.build_missing(report)
    code = ExitCode.CLEAN
    for check in stage.examine(repository_of(c)):
        mark, colour = {True: ("✓", "green"), None: ("·", "dim"), False: ("✗", "red")}[check.ok]
        console.say(f"{console.paint(mark, colour, sys.stdout)} {check.subject}: {check.detail}")
        if check.advice:
            console.say(f"    → {check.advice}")
        code = ExitCode.FINDINGS if check.ok is False else code
    return code


@task(help={"cache": "Remove the per-user cache as well: built programs and converted schemas."})
@command
def clean(c: Context, cache: bool = False) -> ExitCode:
    """Remove build/; nothing that git tracks is touched."""
    from kustodian import clean as stage
    from kustodian.cluster import state
    from kustodian.console import say
    from kustodian.toolchain import cache_contents

    if cache and (up := state.up_in_cache()):
        raise UsageError(
            f"a trial cluster runs what is in the cache: {', '.join(map(str, up))}",
            hint=f"end it first, in its repository: {task_line('cluster down')}",
        )

    repository = repository_of(c)
    removed = stage.clean([repository.root / "build", *(cache_contents() if cache else [])])
    for path in removed:
        say(f"removed {path}")
    if not removed:
        say("nothing to remove")
    return ExitCode.CLEAN
