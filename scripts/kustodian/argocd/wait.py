"""Whether one commit is what runs: a state machine over observed Applications, without I/O and without a clock.

    COMPARING ─► SYNCING ─► CONFIRMING ─► PROGRESSING ◄─► DEGRADED
        └───────────┴────────────┴─────────────┴──────────────┴──►  SUCCEEDED   this commit is synced and healthy
                                                                    FAILED      its operation failed for good
                                                                    SUPERSEDED  a newer commit took its place
                                                                    DELETED     the Application is gone, or going

The states at the right are final; of the others each may follow each, because Argo CD looks again at any time. The
driver (whoever holds the clock and the client) does three things that the machine can't:

- While `wants_refresh` is true it asks Argo CD to look again, not more often than every second or two. Without that a
  commit is seen only by the next poll, minutes later.
- `DEGRADED` is not final: pods that are just being replaced look so for a moment. A driver gives it some patience (half
  a minute, say), then calls it a failure. The same for everything at the end of its time limit; `reason` says what was
  waited for.
- It feeds an Application that it knows to be deleted as None; an answer that merely failed it does not feed at all.

What counts, in this order: the revision that the sync status was computed for, then the operation, then the health.
An operation need not be there: a commit that changes nothing of the Application is synced without one. Then only a
comparison that was asked for counts. One that Argo CD makes by itself takes results that it has kept where the revision
is the same as before, even if the comparison before has failed; it calls a commit synced that the API server refuses
(`useDiffCache` in controller/state.go, v3.6; https://github.com/argoproj/argo-cd/issues/28722).

A commit that arrives while another is being synced may be taken for a repair: Argo CD then syncs what differs and runs
no hooks (https://github.com/argoproj/argo-cd/issues/22795). Where hooks are seen, that is no success.

What Argo CD says can be stale, from its controller (controller/appcontroller.go, v3.6): sync status, revision, health
and resources are written together by a comparison, the operation's state by another worker. When an operation ends,
they still say what a comparison before its end saw. `reconciledAt` is the second in which the last full comparison
began, `finishedAt` the second in which the operation ended: only a greater one proves that the comparison is the later.
Where both are equal, another comparison must be asked for (`CONFIRMING`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from kustodian.argocd.application import Application, Operation, ResourceResult, ResourceState


class Relation(Enum):
    """How an observed revision stands to the commit that is waited for."""

    BEFORE = "before"
    TARGET = "target"
    AFTER = "after"
    """A descendant of it."""
    UNKNOWN = "unknown"
    """Of another branch, not fetched, or not a commit at all."""


class Phase(Enum):
    COMPARING = "comparing"
    """Argo CD has not yet compared the cluster with the commit, or can't."""
    SYNCING = "syncing"
    """An operation runs, is asked for, or is missing although the cluster differs from the commit."""
    CONFIRMING = "confirming"
    """The operation is over; what is said of the cluster may be older than that, or is being looked at again."""
    PROGRESSING = "progressing"
    """Synced; not everything is healthy yet."""
    DEGRADED = "degraded"
    """Synced; something is broken, maybe for a moment only."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    DELETED = "deleted"


_FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.SUPERSEDED, Phase.DELETED})


@dataclass(frozen=True)
class State:
    """Where the wait for `target` stands. `State(target, source)` is the beginning."""

    target: str
    """The commit, in full."""
    source: int = 0
    """Its repository's index among the Application's sources."""
    phase: Phase = Phase.COMPARING
    reason: str = ""
    """What is waited for, or why it ended, for a person; one line."""
    application: Application | None = None
    """As it was last observed."""

    @property
    def is_final(self) -> bool:
        return self.phase in _FINAL

    @property
    def wants_refresh(self) -> bool:
        """Whether only another comparison brings the wait further, and none is asked for yet."""
        pending = self.application is not None and self.application.refresh_requested
        return self.phase in (Phase.COMPARING, Phase.CONFIRMING) and not pending

    @property
    def revision(self) -> str:
        """What the last observed sync status was computed for; empty where that is not known."""
        return _at(self.application.revisions, self.source) if self.application else ""

    @property
    def unhealthy(self) -> tuple[ResourceState, ...]:
        """The resources that Argo CD judges and does not call healthy."""
        resources = self.application.resources if self.application else ()
        return tuple(resource for resource in resources if resource.health not in ("", "Healthy"))

    @property
    def unsynced(self) -> tuple[ResourceState, ...]:
        resources = self.application.resources if self.application else ()
        return tuple(resource for resource in resources if resource.sync == "OutOfSync")

    @property
    def failed(self) -> tuple[ResourceResult, ...]:
        """What failed of the commit's operation, hooks included."""
        operation = self.application.operation if self.application else None
        if operation is None or _at(operation.revisions, self.source) != self.target:
            return ()
        return tuple(
            result
            for result in operation.results
            if result.status == "SyncFailed" or result.hook_phase in ("Failed", "Error")
        )


def observe(
    state: State, application: Application | None, relation: Callable[[str], Relation], *, answers: bool = False
) -> State:
    """The state after one more observation; None is an Application that was deleted.

    `relation` says of a revision how it stands to the commit (from git); it is not asked about the commit itself.
    `answers` says that the observation is the answer to a request to look again. A final state stays as it is, and an
    observation that is older than the last one (a watch that lags behind) changes nothing.
    """
    if state.is_final:
        return state
    if application is None:
        return replace(state, phase=Phase.DELETED, reason="the Application was deleted")
    if state.application is not None and _is_older(application, state.application):
        return state

    def related(revision: str) -> Relation:
        if revision == state.target:
            return Relation.TARGET
        found = relation(revision) if revision else Relation.UNKNOWN
        return Relation.UNKNOWN if found is Relation.TARGET else found

    answers = answers or _answers(application, state.application)
    phase, reason = _judge(application, state.source, related, answers=answers)
    return replace(state, phase=phase, reason=" ".join(reason.split()), application=application)


def _judge(
    application: Application, source: int, related: Callable[[str], Relation], *, answers: bool
) -> tuple[Phase, str]:
    compared = _at(application.revisions, source)
    where = related(compared)
    operation = application.operation
    operated = _at(operation.revisions, source) if operation else ""
    doing = related(operated)
    running = operation is not None and _runs(operation)

    if application.deleting:
        return Phase.DELETED, "the Application is being deleted"
    if where is Relation.AFTER:
        return Phase.SUPERSEDED, f"a newer commit, {_short(compared)}, took its place"
    if running and doing is Relation.AFTER:
        return Phase.SUPERSEDED, f"a newer commit, {_short(operated)}, is being synced"
    if application.operation_requested or running:
        if where is Relation.TARGET or doing is Relation.TARGET:
            return Phase.SYNCING, _progress(operation)
        return Phase.COMPARING, f"waits for the operation on {_short(operated) or 'another commit'} to end"
    if operation is not None and doing is Relation.TARGET and operation.phase in ("Failed", "Error"):
        return Phase.FAILED, operation.message or "the operation failed, and Argo CD does not say why"
    if where is not Relation.TARGET or application.sync == "Unknown":
        return Phase.COMPARING, _errors(application, but="SyncError") or _not_compared(compared, where)
    phase, reason = _judge_cluster(application, ours=doing is Relation.TARGET or not operated)
    if phase is Phase.SUCCEEDED and doing is Relation.TARGET and _left_hooks_out(application, source, operated):
        return Phase.FAILED, _HOOKS_LEFT_OUT
    whole = operation is not None and doing is Relation.TARGET and not operation.partial
    if phase is Phase.SUCCEEDED and not (whole or answers):
        return Phase.CONFIRMING, "nothing had to be synced for it; waits until Argo CD has looked again"
    return phase, reason


def _judge_cluster(application: Application, *, ours: bool) -> tuple[Phase, str]:
    """The verdict where the commit is what was compared and nothing runs; `ours`: the last operation may be for it."""
    operation = application.operation
    if not _is_later(application.reconciled, operation):
        return Phase.CONFIRMING, "the operation is over; waits until Argo CD has looked again"
    if application.sync != "Synced":
        return Phase.SYNCING, _not_synced(application, done=operation is not None and ours)
    if operation is not None and ours and operation.phase != "Succeeded":
        return Phase.SYNCING, f"an operation ended as {operation.phase or 'nothing known'}: {operation.message}"
    if application.health != "Healthy":
        phase = Phase.DEGRADED if application.health == "Degraded" else Phase.PROGRESSING
        return phase, _not_healthy(application)
    if application.refresh_requested:
        return Phase.CONFIRMING, "synced and healthy; waits until Argo CD has looked again"
    return Phase.SUCCEEDED, "synced and healthy"


_HOOKS_LEFT_OUT = (
    "it arrived while another commit was being synced, and Argo CD took it for a repair: what differed is synced, but "
    "no hooks have run; `sync` makes up for it"
)


def _left_hooks_out(application: Application, source: int, target: str) -> bool:
    """Whether hooks are seen, and the last operation is a partial one of a commit that was never synced as a whole."""
    operation = application.operation
    synced = any(_at(entry.revisions, source) == target for entry in application.history[-1:])
    hooks = any(resource.hook for resource in application.resources)
    return operation is not None and operation.partial and hooks and not synced


def _not_compared(compared: str, where: Relation) -> str:
    if not compared:
        return "Argo CD has not compared anything yet"
    if where is Relation.TARGET:
        return "Argo CD could not compare the cluster with it"
    return f"Argo CD is at {_short(compared)}{'' if where is Relation.BEFORE else ', a commit that it is not built on'}"


def _progress(operation: Operation | None) -> str:
    if operation is None or not _runs(operation):
        return "an operation is asked for"
    return operation.message or f"the operation is {operation.phase.lower()}"


def _not_synced(application: Application, *, done: bool) -> str:
    unsynced = ", ".join(str(resource) for resource in application.resources if resource.sync == "OutOfSync")
    if errors := _errors(application):
        return errors
    if done:
        return f"applied, but still different in the cluster: {unsynced or 'Argo CD does not say what'}"
    if application.automated:
        return "out of sync; waits for auto-sync, or for a sync window that allows it"
    return "out of sync, and auto-sync is off"


def _not_healthy(application: Application) -> str:
    if application.health_message:
        return application.health_message
    unhealthy = [resource for resource in application.resources if resource.health not in ("", "Healthy")]
    unhealthy.sort(key=lambda resource: resource.health != application.health)  # those that it has its health from
    named = ", ".join(f"{resource} is {resource.health}" for resource in unhealthy[:3])
    more = f" and {len(unhealthy) - 3} more" if len(unhealthy) > 3 else ""
    return f"{named}{more}" or f"it is {application.health}"


def _errors(application: Application, *, but: str = "") -> str:
    found = (condition for condition in application.conditions if condition.is_error and condition.type != but)
    return "; ".join(condition.message for condition in found)


def _runs(operation: Operation) -> bool:
    # Running with an end is an attempt that failed and is to be repeated.
    return operation.phase in ("Running", "Terminating")


def _at(revisions: tuple[str, ...], source: int) -> str:
    return revisions[source] if source < len(revisions) else ""


def _answers(application: Application, last: Application | None) -> bool:
    """Whether it is what the controller makes of `last` at the end of a comparison that was asked for.

    It writes what the comparison found, and then takes the annotation away (`persistReconciliationStatus`).
    """
    if last is None or not last.refresh_requested:
        return False
    return application == replace(last, refresh_requested=False, resource_version=application.resource_version)


def _is_older(application: Application, than: Application) -> bool:
    """By `resourceVersion`, a number that grows; Argo CD's own server compares it as one."""
    new, old = application.resource_version, than.resource_version
    return new.isdecimal() and old.isdecimal() and int(new) < int(old)


def _is_later(reconciled: str, operation: Operation | None) -> bool:
    """Whether the comparison certainly began after the operation ended."""
    if operation is None:
        return True
    try:
        return datetime.fromisoformat(reconciled) > datetime.fromisoformat(operation.finished)
    except (ValueError, TypeError):  # one of them is missing, or only one has a time zone
        return False


def _short(revision: str) -> str:
    return revision[:7]
