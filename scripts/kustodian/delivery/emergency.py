"""`rollback --emergency`: Argo CD's own rollback, past git.

It needs auto-sync switched off, or Argo CD would undo it at once; git goes on to say something else. Both stay so until
somebody puts them right, and whoever asks for it is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kustodian.delivery.history import choose, revision_of
from kustodian.errors import (
    ExitCode,
    Interrupted,
    KustodianError,
    NotPermitted,
    ServerError,
    TokenRefused,
    Unavailable,
    task,
)

if TYPE_CHECKING:
    from kustodian.argocd.application import Application, HistoryEntry, Operation
    from kustodian.argocd.client import Client
    from kustodian.delivery.commits import Commits
    from kustodian.delivery.destination import Destination

POLL_SECONDS = 2.0
_RUNNING = ("Running", "Terminating")


@dataclass(frozen=True)
class Emergency:
    """What became of it. `operation` is None if it was not over at the time limit."""

    environment: str
    application: str
    entry: HistoryEntry
    revision: str
    automated_before: bool
    operation: Operation | None
    health: str

    @property
    def exit_code(self) -> ExitCode:
        succeeded = self.operation is not None and self.operation.phase == "Succeeded"
        return ExitCode.CLEAN if succeeded else ExitCode.FINDINGS


def rollback(
    client: Client,
    commits: Commits,
    *,
    to: str = "",
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Emergency:
    """Switch auto-sync off, end what is running, roll back to a past sync, and follow that until it is over.

    `to` is a commit of the Application's history as git takes it, or its first digits; without it, see
    `history.choose`. `limit` is in seconds. Raises `UsageError` with nothing changed; any other error says what may be
    changed.
    """
    destination, deadline = commits.destination, clock() + limit
    before = client.application(destination.application, namespace=destination.namespace)
    entry = choose(before, destination.source, (commits.git.resolve(to) or to) if to else "")
    try:
        if before.automated:
            client.set_automated(before.name, False, namespace=before.namespace)
        application = _idle(client, before, deadline, clock, sleep)
        client.rollback(before.name, entry.id, prune=before.prunes, namespace=before.namespace)
        application, operation = _over(client, application, deadline, clock, sleep)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_is_off(destination)}", hint=_back_on(destination)) from None
    except KustodianError as error:
        raise ServerError(
            f"{error.message}\n  {_is_off(destination)}", hint=error.hint or _back_on(destination)
        ) from None
    return Emergency(
        environment=destination.overlay.environment,
        application=before.name,
        entry=entry,
        revision=revision_of(entry, destination.source),
        automated_before=before.automated,
        operation=operation,
        health=application.health,
    )


def _idle(
    client: Client,
    application: Application,
    deadline: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Application:
    """Ends the operation that is running: a sync that hangs is what an emergency often begins with."""
    while runs(application):
        if clock() >= deadline:
            raise ServerError(f"the operation that {application.name} is in did not end within the time limit")
        if application.operation is None or application.operation.phase != "Terminating":
            _terminate(client, application)
        sleep(POLL_SECONDS)
        application = _read(client, application)
    return application


def _terminate(client: Client, application: Application) -> None:
    try:
        client.terminate(application.name, namespace=application.namespace)
    except (TokenRefused, NotPermitted):
        raise
    except ServerError:  # it has ended by itself, or can't be ended at this moment: the next look tells
        return


def _over(
    client: Client, before: Application, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[Application, Operation | None]:
    started = before.operation.started if before.operation else ""
    while True:
        application = _read(client, before)
        operation = application.operation
        if operation is not None and operation.started != started and not runs(application):
            return application, operation
        if clock() >= deadline:
            return application, None
        sleep(POLL_SECONDS)


def _read(client: Client, last: Application) -> Application:
    try:
        return client.application(last.name, namespace=last.namespace)
    except Unavailable:  # a server that restarts is no reason to leave the rest undone; the time limit ends it
        return last


def runs(application: Application) -> bool:
    """Whether an operation is asked for or running."""
    operation = application.operation
    return application.operation_requested or (operation is not None and operation.phase in _RUNNING)


def _is_off(destination: Destination) -> str:
    return f"auto-sync of {destination.application} may be off now"


def _back_on(destination: Destination) -> str:
    return f"to switch it on again: {task(f'sync --env {destination.overlay.environment} --auto')}"
