"""Results of deliveries for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from kustodian.console import paint, plural
from kustodian.delivery.drift import IS_THERE, Kind
from kustodian.delivery.fields import ABSENT
from kustodian.delivery.follow import Outcome
from kustodian.errors import ExitCode, task
from kustodian.git import SHORT, short
from kustodian.secrets.seal import PREFIX

if TYPE_CHECKING:
    from kustodian.argocd.application import Application
    from kustodian.delivery.drift import Drift
    from kustodian.delivery.emergency import Emergency
    from kustodian.delivery.follow import Followed
    from kustodian.delivery.history import History
    from kustodian.delivery.publish import Pushed
    from kustodian.delivery.rollback import RolledBack
    from kustodian.delivery.status import Row

_LONGEST = 160
"""How much of one value is shown."""


def pushed(result: Pushed, stream: TextIO) -> None:
    name = result.destination.overlay.environment
    what = f"{short(result.commit)} to {result.branch}"
    if result.committed:
        _line(f"committed {plural(len(result.committed), 'file')}: {', '.join(result.committed)}", stream)
    if not result.changed:
        _well(f"{name}: {result.branch} is at {short(result.commit)} already; nothing was pushed", stream)
        return
    _well(f"{name}: pushed {what}", stream)
    if others := [path for path in result.affected if path != result.destination.overlay.path]:
        _line(f"    it changes {', '.join(others)}, too", stream)
    if result.pull_request:
        _line(f"    {', '.join(result.protected)}: protected, so that a pull request brings it there", stream)
        _line(f"    → open one{f': {result.page}' if result.page else ' from this branch'}", stream)


def rolled_back(result: RolledBack, environment: str, stream: TextIO) -> None:
    if result.pushed is None:
        _well(f"{environment}: HEAD renders as {result.target} already; nothing was changed", stream)
        return
    _line(f"{environment}: back to {result.target}, byte for byte", stream)
    _line(f"    it was {result.before}", stream)
    if result.others:
        _line(f"    it changes {', '.join(result.others)}, too", stream)
    pushed(result.pushed, stream)


def emergency(result: Emergency, stream: TextIO) -> None:
    name, revision = result.environment, short(result.revision)
    operation = result.operation
    if operation is None:
        _bad(f"{name}: the rollback to {revision} (history entry {result.entry.id}) is not over yet", stream)
    elif result.exit_code is ExitCode.CLEAN:
        _well(
            f"{name}: Argo CD rolled back to {revision} (history entry {result.entry.id}); it is {result.health}",
            stream,
        )
    else:
        _bad(f"{name}: the rollback to {revision} ended as {operation.phase}: {operation.message}", stream)
    before = "off now" if result.automated_before else "off, as it was before"
    _line(f"    auto-sync of {result.application} is {before}, and git still says something else", stream)
    _line(f"    → let git say it: {task(f'rollback --env {name} --to {revision}')}", stream)
    _line(f"    → then switch auto-sync on again: {task(f'sync --env {name} --auto')}", stream)


def requested(application: Application, environment: str, branch: str, stream: TextIO) -> None:
    prune = "" if application.prunes else "; what git no longer has stays, as the Application says"
    _well(f"{environment}: asked Argo CD to sync {application.name} at the tip of {branch}{prune}", stream)


def followed(result: Followed, stream: TextIO) -> None:
    name, commit, reason = result.environment, short(result.state.target), result.state.reason
    if result.outcome is Outcome.HEALTHY:
        _well(f"{name}: {commit} is synced and healthy ({result.seconds:.0f} s)", stream)
        return
    said = {
        Outcome.FAILED: f"the sync of {commit} failed: {reason}",
        Outcome.DEGRADED: f"{commit} is synced, and stays degraded: {reason}",
        Outcome.SUPERSEDED: f"{commit} was not waited for any longer: {reason}",
        Outcome.DELETED: f"{commit} can't be waited for: {reason}",
        Outcome.TIMED_OUT: f"{commit} is not synced and healthy after {result.seconds:.0f} s: "
        f"{reason or 'Argo CD did not answer'}",
    }
    _bad(f"{name}: {said[result.outcome]}", stream)
    if result.outcome not in (Outcome.SUPERSEDED, Outcome.DELETED):
        for line in dict.fromkeys(" ".join(cause.splitlines()) for cause in _causes(result)):
            _line(f"    {line}", stream)
    _line(f"    → {task(f'status --env {name}')}, {task(f'drift --env {name}')}", stream)


def status(rows: Sequence[Row], server: str, stream: TextIO, now: datetime | None = None) -> None:
    now = now or datetime.now(UTC)
    heads = ("ENV", "APPLICATION", "WANTED", "RUNNING", "SYNC", "HEALTH", "DRIFT", "LAST SYNC", "PUSHED BY", "IMAGES")
    table = [heads, *(_cells(row, now) for row in rows)]
    for cells, row in zip(_aligned(table), (None, *rows), strict=True):
        colour = "bold" if row is None else "" if row.exit_code is ExitCode.CLEAN else "red"
        _line(paint(cells, colour, stream) if colour else cells, stream)
    for row in rows:
        if row.problem:
            mark = paint("✗", "red", stream) if row.deployed else "·"
            _line(f"{mark} {row.environment}: {row.problem}", stream)
    _line(f"as {server} says", stream)


def history(found: History, stream: TextIO, now: datetime | None = None) -> None:
    now = now or datetime.now(UTC)
    if not found.syncs:
        _line(f"{found.environment}: {found.application} was never synced", stream)
        return
    rows = [
        (
            str(sync.id),
            short(sync.revision),
            age(sync.deployed, now),
            sync.initiated_by or "-",
            sync.commit.author if sync.commit else "-",
            sync.commit.subject if sync.commit else "(not a commit that git has here)",
        )
        for sync in found.syncs
    ]
    for line in _aligned([("ID", "REVISION", "WHEN", "BY", "AUTHOR", "SUBJECT"), *rows]):
        _line(line, stream)


def drift(found: Drift, stream: TextIO) -> None:
    what = f"{found.environment}: {plural(found.resources, 'resource')} compared with {short(found.revision)}"
    if not found.differences:
        _well(f"{what}: no drift", stream)
        return
    _bad(f"{what}: {plural(len(found.differences), 'difference')} (in the cluster → in git)", stream)
    for difference in found.differences:
        said = {
            Kind.CHANGED: "",
            Kind.MISSING: "  is missing in the cluster",
            Kind.EXTRA: "  is not in git (a sync with prune removes it)",
        }
        _line(f"  {difference.resource}{said[difference.kind]}", stream)
        for change in difference.changes:
            _line(f"      {change.path}: {shown(change.live)} → {shown(change.git)}", stream)


def age(when: str, now: datetime) -> str:
    """How long ago a time (RFC 3339) was, in its largest unit: `3 min ago`."""
    try:
        seconds = (now - datetime.fromisoformat(when)).total_seconds()
    except (ValueError, TypeError):
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def image(name: str) -> str:
    """An image as short as it can still be recognized: `backend@1a81f0c`, `backend:1.2`."""
    last = name.rpartition("/")[2]
    bare, _at, digest = last.partition("@")
    return f"{bare.partition(':')[0]}@{digest.rpartition(':')[2][:7]}" if digest else bare


def shown(value: object) -> str:
    """A value on one line, as JSON; what stands for a value that may not be shown as it is."""
    if value is ABSENT:
        return "absent"
    if isinstance(value, str) and (value == IS_THERE or value.startswith(PREFIX)):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _causes(result: Followed) -> Iterator[str]:
    state = result.state
    for failed in state.failed:
        what = f"{failed.hook_type} hook, {failed.hook_phase}" if failed.hook_type else failed.status
        yield f"{failed}  {what}: {failed.message}"
    for resource, event in result.events:
        yield f"{resource}  {event.type} {event.reason}: {event.message}{f' ({event.count} times)' * (event.count > 1)}"
    for unsynced in state.unsynced:
        yield f"{unsynced}  {unsynced.sync}"
    for unhealthy in state.unhealthy:
        yield f"{unhealthy}  {unhealthy.health}{f': {unhealthy.message}' if unhealthy.message else ''}"
    for condition in state.application.conditions if state.application else ():
        if condition.is_error and " ".join(condition.message.split()) not in state.reason:
            yield f"{condition.type}: {condition.message}"


def _cells(row: Row, now: datetime) -> tuple[str, ...]:
    if not row.sync:
        return (row.environment, row.application or "-", row.wanted[:SHORT] or "-", *["-"] * 7)
    running = f"{row.sync} ({row.operation})" if row.operation not in ("", "Succeeded") else row.sync
    return (
        row.environment,
        row.application,
        row.wanted[:SHORT] or "?",
        row.running[:SHORT] or "-",
        running,
        row.health,
        str(row.drift),
        age(row.synced, now),
        row.pushed_by or "-",
        " ".join(image(name) for name in row.images) or "-",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _well(text: str, stream: TextIO) -> None:
    _line(f"{paint('✓', 'green', stream)} {text}", stream)


def _bad(text: str, stream: TextIO) -> None:
    _line(f"{paint('✗', 'red', stream)} {text}", stream)


def _line(text: str, stream: TextIO) -> None:
    print(text, file=stream)
