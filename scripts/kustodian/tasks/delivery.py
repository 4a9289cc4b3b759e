"""The tasks between git, Argo CD and the cluster: push, status, sync, history, rollback, drift."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke import Context

from kustodian.errors import ExitCode, UsageError
from kustodian.errors import task as task_line
from kustodian.tasks.shared import SELECTION, command, repository_of, task, tool

if TYPE_CHECKING:
    from kustodian.argocd.application import Application
    from kustodian.argocd.client import Client
    from kustodian.delivery.commits import Commits
    from kustodian.delivery.destination import Destination
    from kustodian.render import Renderer
    from kustodian.repository import Overlay, Repository
    from kustodian.validate import Report, Validator

_ENV = {"env": "Environment (an overlay's folder name or path)."}
_WAIT = {
    "wait": "Follow Argo CD until this commit is synced and healthy, or has failed (exit code 1).",
    "time_limit": "Seconds after which waiting ends (default: 900).",
}
_LIMIT = "900"


@task(help={**_ENV, "message": "The commit's message, where there is something to commit.", **_WAIT})
@command
def push(c: Context, env: str = "", message: str = "", wait: bool = False, time_limit: str = _LIMIT) -> ExitCode:
    """Check an environment, commit what it reads, and push it to where Argo CD takes it from; or for review."""
    from kustodian.delivery import follow
    from kustodian.delivery import push as stage
    from kustodian.report import delivery_reporter
    from kustodian.validate import Report

    started, limit = time.monotonic(), follow.seconds(time_limit)
    repository, overlay = _one(c, env)
    client = _client(repository) if wait else None  # who can't be asked is told before anything is pushed
    validator = _validator(repository)
    destinations = _destinations(validator.renderer)
    result = stage.push(validator, overlay, destinations, message=message)
    if isinstance(result, Report):
        return _not_valid(result, started)
    delivery_reporter().pushed(result, sys.stdout)
    if client is None or result.pull_request:
        return ExitCode.CLEAN
    return _follow(client, _commits(repository, result.destination), result.commit, limit)


@task(iterable=["env"], help={"env": SELECTION["env"], "format": SELECTION["format"]})
@command
def status(c: Context, env: list[str], format_: str = "text") -> ExitCode:
    """Show for each environment what git wants and what runs: revision, sync, health, drift, who pushed it."""
    from kustodian.argocd import connection
    from kustodian.argocd.client import Client
    from kustodian.delivery import status as stage
    from kustodian.git import Git
    from kustodian.report import delivery_reporter

    report = delivery_reporter(format_)
    repository = repository_of(c)
    overlays = repository.select(environments=env, every=not env, roots=())
    found = connection.find(repository)
    destinations = _destinations(_renderer(repository))
    with Client(found) as client:
        rows = stage.status(client, Git(repository.root), overlays, destinations)
    report.status(rows, f"{found.server} ({found.origin})", sys.stdout)
    return max((row.exit_code for row in rows), default=ExitCode.CLEAN)


@task(help={**_ENV, **_WAIT, "auto": "Switch auto-sync on again, after a rollback --emergency; Argo CD then syncs."})
@command
def sync(c: Context, env: str = "", wait: bool = False, time_limit: str = _LIMIT, auto: bool = False) -> ExitCode:
    """Ask Argo CD to look at git and to sync an environment now."""
    from kustodian.console import say
    from kustodian.delivery import follow
    from kustodian.delivery import sync as stage
    from kustodian.report import delivery_reporter

    limit = follow.seconds(time_limit)
    repository, overlay = _one(c, env)
    client = _client(repository)
    commits = _commits(repository, _destination(_renderer(repository), overlay))
    tip = commits.tip()
    if auto:
        was_off = stage.switch_on(client, commits.destination)
        say(f"{env}: auto-sync is on again" if was_off else f"{env}: auto-sync was on already; nothing was changed")
        first = None
    else:
        first = stage.sync(client, commits.destination)
        delivery_reporter().requested(first, overlay.environment, commits.branch, sys.stdout)
    return _follow(client, commits, tip, limit, first) if wait else ExitCode.CLEAN


@task(help={**_ENV, "format": SELECTION["format"]})
@command
def history(c: Context, env: str = "", format_: str = "text") -> ExitCode:
    """List an environment's past syncs: revision, when, by whom, and what git says of it."""
    from kustodian.delivery import history as stage
    from kustodian.report import delivery_reporter

    report = delivery_reporter(format_)
    repository, overlay = _one(c, env)
    with _client(repository) as client:
        found = stage.history(client, _commits(repository, _destination(_renderer(repository), overlay)))
    report.history(found, sys.stdout)
    return ExitCode.CLEAN


@task(
    help={
        **_ENV,
        "to": "The revision to go back to (default: the last one that was healthy and renders otherwise).",
        "shared": "Let files that other environments read go back, too.",
        "emergency": "Past git, by Argo CD's own rollback: switches auto-sync off, and git goes on to say otherwise.",
        **_WAIT,
    },
)
@command
def rollback(
    c: Context,
    env: str = "",
    to: str = "",
    shared: bool = False,
    wait: bool = False,
    time_limit: str = _LIMIT,
    emergency: bool = False,
) -> ExitCode:
    """Bring an environment back to an earlier state: by a commit that is proven to render the same bytes."""
    from kustodian.delivery import emergency as past_git
    from kustodian.delivery import follow
    from kustodian.delivery import rollback as stage
    from kustodian.delivery.history import revisions
    from kustodian.report import delivery_reporter
    from kustodian.validate import Report

    started, limit = time.monotonic(), follow.seconds(time_limit)
    if emergency and shared:
        raise UsageError("--emergency and --shared contradict each other", hint="an emergency changes no file")
    repository, overlay = _one(c, env)
    client = _client(repository) if wait or emergency or not to else None
    validator = _validator(repository)
    destinations = _destinations(validator.renderer)
    commits = _commits(repository, _destination(validator.renderer, overlay, destinations))
    if emergency and client is not None:
        done = past_git.rollback(client, commits, to=to, limit=limit)
        delivery_reporter().emergency(done, sys.stdout)
        return done.exit_code
    known = revisions(client, commits) if client is not None and not to else ()
    result = stage.rollback(validator, overlay, destinations, known, to=to, shared=shared)
    if isinstance(result, Report):
        return _not_valid(result, started)
    delivery_reporter().rolled_back(result, overlay.environment, sys.stdout)
    if client is None or not wait or result.pushed is None or result.pushed.pull_request:
        return ExitCode.CLEAN
    return _follow(client, commits, result.pushed.commit, limit)


@task(help={**_ENV, "format": SELECTION["format"]})
@command
def drift(c: Context, env: str = "", format_: str = "text") -> ExitCode:
    """Show what in the cluster differs from what git renders, field by field; of Secrets, fingerprints only."""
    from kustodian.delivery import drift as stage
    from kustodian.report import delivery_reporter

    report = delivery_reporter(format_)
    repository, overlay = _one(c, env)
    with _client(repository) as client:
        renderer = _renderer(repository)
        found = stage.drift(client, _commits(repository, _destination(renderer, overlay)), renderer)
    report.drift(found, sys.stdout)
    return found.exit_code


def _one(c: Context, env: str) -> tuple[Repository, Overlay]:
    repository = repository_of(c)
    if not env:
        raise UsageError("no environment was named", hint=f"give --env NAME; {task_line('status')} lists them")
    overlays = repository.select(environments=[env], every=False, roots=())
    if len(overlays) > 1:
        paths = ", ".join(overlay.path for overlay in overlays)
        raise UsageError(f"{env} is the name of several overlays: {paths}", hint="give the path of one of them")
    return repository, overlays[0]


def _client(repository: Repository) -> Client:
    from kustodian.argocd import connection
    from kustodian.argocd.client import Client

    return Client(connection.find(repository))


def _renderer(repository: Repository) -> Renderer:
    from kustodian.render import Renderer

    return Renderer(repository, tool("kustomize"))


def _validator(repository: Repository) -> Validator:
    from kustodian.toolchain import cache_folder
    from kustodian.validate import Validator

    version = repository.settings.kubernetes_version
    return Validator(_renderer(repository), tool("kubeconform"), version, cache_folder())


def _destinations(renderer: Renderer) -> dict[str, Destination]:
    from kustodian.delivery import destination

    return destination.find_all(renderer.repository, renderer)


def _destination(
    renderer: Renderer, overlay: Overlay, destinations: dict[str, Destination] | None = None
) -> Destination:
    from kustodian.delivery import destination

    found = _destinations(renderer) if destinations is None else destinations
    return destination.of(found, overlay, renderer.repository)


def _commits(repository: Repository, destination: Destination) -> Commits:
    from kustodian.delivery.commits import Commits
    from kustodian.git import Git

    return Commits(Git(repository.root), destination)


def _not_valid(result: Report, started: float) -> ExitCode:
    from kustodian.report import reporter

    reporter("text").validated(result, time.monotonic() - started, sys.stdout)
    return result.exit_code


def _follow(client: Client, commits: Commits, target: str, limit: float, first: Application | None = None) -> ExitCode:
    from kustodian.delivery import follow
    from kustodian.report import delivery_reporter
    from kustodian.report.progress import progress

    with progress(commits.destination.overlay.environment, target, limit) as display:
        found = follow.follow(
            client, commits, target, limit=limit, first=first, on_state=display.show, on_note=display.say
        )
    delivery_reporter().followed(found, sys.stdout)
    return found.exit_code
