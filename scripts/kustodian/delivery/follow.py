"""Follows Argo CD until one commit is synced and healthy: the driver of the state machine in `argocd/wait.py`.

It holds the clock and the connection. It reads the Application, then listens to the stream of its changes, and reads it
again when the stream ends or falls silent, never more often than every `POLL_SECONDS`. A server that does not answer is
asked again until the time limit. Only the state machine says that all is well.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from kustodian.argocd.wait import Phase, State, observe
from kustodian.errors import (
    ExitCode,
    Interrupted,
    NotFound,
    NotPermitted,
    ServerError,
    TokenRefused,
    Unavailable,
    UsageError,
    task,
)
from kustodian.git import short

if TYPE_CHECKING:
    from kustodian.argocd.application import Application
    from kustodian.argocd.client import Client, Event
    from kustodian.delivery.commits import Commits

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 120.0
"""How long `Degraded` may last: an autoscaler is called so until there are measurements of its new pods."""
APPEARANCE_SECONDS = 60.0
"""How long an Application may take to appear: one of a new environment is made by what the commit brings."""
SILENCE_SECONDS = 15.0
"""How long the stream may bring nothing before the Application is read again."""
LIMIT_SECONDS = 900.0


class Outcome(Enum):
    HEALTHY = "healthy"
    FAILED = "failed"
    DEGRADED = "degraded"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    TIMED_OUT = "timed out"


_FINAL = {
    Phase.SUCCEEDED: Outcome.HEALTHY,
    Phase.FAILED: Outcome.FAILED,
    Phase.SUPERSEDED: Outcome.SUPERSEDED,
    Phase.DELETED: Outcome.DELETED,
}


@dataclass(frozen=True)
class Followed:
    """How it ended. `state` is the last one; its `reason` says why, or what was waited for."""

    environment: str
    application: str
    outcome: Outcome
    state: State
    seconds: float
    events: tuple[tuple[str, Event], ...] = ()
    """What the cluster says of the hooks that failed and of their Pods: each event with its resource."""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.CLEAN if self.outcome is Outcome.HEALTHY else ExitCode.FINDINGS


def follow(
    client: Client,
    commits: Commits,
    target: str,
    *,
    limit: float = LIMIT_SECONDS,
    patience: float = PATIENCE_SECONDS,
    first: Application | None = None,
    on_state: Callable[[State], None] = lambda _state: None,
    on_note: Callable[[str], None] = lambda _note: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Followed:
    """Wait until `target`, a commit in full, is what is synced and healthy; `limit` and `patience` are in seconds.

    `first` is an answer of the server that nothing older may contradict: that of the request which started a sync.
    `on_state` sees each change, `on_note` is told of troubles on the way. Raises `TokenRefused` and other `ServerError`
    where asking again is in vain, `Interrupted` at Ctrl-C.
    """
    follower = _Follower(client, commits, target, limit, patience, on_state, on_note, clock, sleep)
    try:
        if first is not None:
            follower.feed(first)
        return follower.run()
    except (KeyboardInterrupt, Interrupted):
        environment = commits.destination.overlay.environment
        raise Interrupted(
            f"interrupted; Argo CD goes on with {short(target)} without us",
            hint=f"see how far it is: {task(f'status --env {environment}')}",
        ) from None


class _Follower:
    def __init__(
        self,
        client: Client,
        commits: Commits,
        target: str,
        limit: float,
        patience: float,
        on_state: Callable[[State], None],
        on_note: Callable[[str], None],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._client, self._destination = client, commits.destination
        self._relation = commits.relation_to(target)
        self._limit, self._patience = limit, patience
        self._on_state, self._on_note = on_state, on_note
        self._clock, self._sleep = clock, sleep
        self._started = clock()
        self._looked = -POLL_SECONDS + self._started
        self._degraded_since: float | None = None
        self._away = False
        self._state = State(target, self._destination.source)

    def run(self) -> Followed:
        while (outcome := self._outcome()) is None:
            self._look()
            if self._outcome() is None and not self._away and not self._state.wants_refresh:
                self._listen()
        return self._ended(outcome)

    def feed(self, application: Application | None, *, answers: bool = False) -> None:
        before = self._state
        self._state = observe(before, application, self._relation, answers=answers)
        if self._state.phase is not Phase.DEGRADED:
            self._degraded_since = None
        elif self._degraded_since is None:
            self._degraded_since = self._clock()
        if self._state != before:
            self._on_state(self._state)

    @property
    def _left(self) -> float:
        return self._started + self._limit - self._clock()

    def _outcome(self) -> Outcome | None:
        if self._state.is_final:
            return _FINAL[self._state.phase]
        if self._degraded_since is not None and self._clock() - self._degraded_since >= self._patience:
            return Outcome.DEGRADED
        return Outcome.TIMED_OUT if self._left <= 0 else None

    def _look(self) -> None:
        """Read the Application, and have Argo CD compare anew where only that brings the wait further."""
        pause = min(self._looked + POLL_SECONDS - self._clock(), self._left)
        if pause > 0:
            self._sleep(pause)
        refresh = "normal" if self._state.wants_refresh else ""
        try:
            application = self._client.application(self._destination.application, refresh=refresh, **self._where)
        except ServerError as error:
            self._failed(error)
        else:
            self._is_back()
            self.feed(application, answers=bool(refresh))
        finally:
            self._looked = self._clock()

    def _listen(self) -> None:
        """Feed what the stream brings, until it ends or a look is needed."""
        application = self._state.application
        assert application is not None  # noqa: S101  the look before has brought one
        silence = max(1.0, min(SILENCE_SECONDS, self._left))
        try:
            for kind, observed in self._client.watch(
                application.name, application.resource_version, silence=silence, **self._where
            ):
                self.feed(None if kind == "DELETED" else observed)
                if self._outcome() is not None or self._state.wants_refresh:
                    return
        except ServerError as error:
            self._failed(error)

    @property
    def _where(self) -> dict[str, str]:
        # With its project, an Application that is gone is told from one that can't be looked at.
        application = self._state.application
        return {"namespace": self._destination.namespace, "project": application.project if application else ""}

    def _failed(self, error: ServerError) -> None:
        """Feed what the error says for certain; raise it if asking again is in vain."""
        seen = self._state.application is not None
        if seen and isinstance(error, NotFound):
            self.feed(None)
            return
        appears = isinstance(error, NotFound | NotPermitted) and self._clock() - self._started < APPEARANCE_SECONDS
        # Of one that was seen, what the API server, the server or a proxy in front say while they start is passing.
        if isinstance(error, TokenRefused) or not (seen or appears or isinstance(error, Unavailable)):
            raise error
        if not self._away:
            until = "until it appears" if appears and not seen else "until the time limit"
            self._on_note(f"{error.message}; asking again {until}")
        self._away = True

    def _is_back(self) -> None:
        if self._away:
            self._on_note("Argo CD answers again")
        self._away = False

    def _ended(self, outcome: Outcome) -> Followed:
        return Followed(
            environment=self._destination.overlay.environment,
            application=self._destination.application,
            outcome=outcome,
            state=self._state,
            seconds=self._clock() - self._started,
            events=self._events() if outcome is not Outcome.HEALTHY else (),
        )

    def _events(self) -> tuple[tuple[str, Event], ...]:
        hooks = {str(result) for result in self._state.failed if result.hook_type}
        found: list[tuple[str, Event]] = []
        with contextlib.suppress(ServerError):  # they only explain a failure that is reported anyway
            nodes = self._client.nodes(self._destination.application, **self._where) if hooks else ()
            uids = {node.uid for node in nodes if str(node) in hooks}
            for node in nodes:
                if node.uid in uids or uids & set(node.parents):
                    events = self._client.events(self._destination.application, node, **self._where)
                    found += [(str(node), event) for event in events]
        return tuple(found)


def seconds(text: str) -> float:
    """A time limit from the command line. Raises `UsageError`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise UsageError(f"--time-limit {text}: must be a number of seconds above zero, and at most a day")
    return value
