"""What people and programs are told of deliveries."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kustodian.argocd.application import HistoryEntry, Operation, parse
from kustodian.argocd.client import Event
from kustodian.argocd.wait import Phase, State
from kustodian.delivery.destination import Destination
from kustodian.delivery.drift import IS_THERE, Difference, Drift, Kind
from kustodian.delivery.emergency import Emergency
from kustodian.delivery.fields import ABSENT, Change
from kustodian.delivery.follow import Followed, Outcome
from kustodian.delivery.history import History, Sync
from kustodian.delivery.publish import Pushed
from kustodian.delivery.rollback import RolledBack
from kustodian.delivery.status import Row
from kustodian.git import Commit
from kustodian.report import delivery_json, delivery_reporter, delivery_text, progress
from kustodian.repository import Overlay
from kustodian.resource import ResourceId

from .delivery.kit import application, operation, resource

A, B = "a" * 40, "b" * 40
NOW = datetime(2026, 1, 2, tzinfo=UTC)
DESTINATION = Destination(
    Overlay("overlays/dev", Path("overlays/dev")), "app", "argocd", "https://git.example.com/r", "main", 0
)
COMMIT = Commit(A, "Ada", "ada@example.com", "2026-01-01T10:00:00+00:00", "Raise the limits")


def printed(function: Callable[..., None], *arguments: Any, **options: Any) -> str:
    stream = io.StringIO()
    function(*arguments, stream, **options)
    return stream.getvalue()


def test_a_format_that_is_none() -> None:
    with pytest.raises(Exception, match="--format yaml: unknown"):
        delivery_reporter("yaml")
    assert (delivery_reporter(), delivery_reporter("json")) == (delivery_text, delivery_json)


# push and rollback


def test_a_push() -> None:
    pushed = Pushed(DESTINATION, A, "main", affected=("overlays/dev", "overlays/qa"), committed=("x", "y"))
    assert printed(delivery_text.pushed, pushed) == (
        "committed 2 files: x, y\n✓ dev: pushed aaaaaaaaaa to main\n    it changes overlays/qa, too\n"
    )


def test_a_push_of_nothing() -> None:
    pushed = Pushed(DESTINATION, A, "main", changed=False)
    assert printed(delivery_text.pushed, pushed) == "✓ dev: main is at aaaaaaaaaa already; nothing was pushed\n"


@pytest.mark.parametrize(("page", "where"), [("https://x/compare", ": https://x/compare"), ("", " from this branch")])
def test_a_push_for_review(page: str, where: str) -> None:
    pushed = Pushed(DESTINATION, A, "dev/aaaa", pull_request=True, protected=("overlays/dev",), page=page)
    assert printed(delivery_text.pushed, pushed) == (
        "✓ dev: pushed aaaaaaaaaa to dev/aaaa\n"
        "    overlays/dev: protected, so that a pull request brings it there\n"
        f"    → open one{where}\n"
    )


def test_a_rollback() -> None:
    before = replace(COMMIT, id=B, subject="Lower them")
    found = RolledBack(COMMIT, before, others=("overlays/qa",), pushed=Pushed(DESTINATION, B, "main"))
    assert printed(delivery_text.rolled_back, found, "dev") == (
        "dev: back to aaaaaaaaaa Raise the limits (Ada, 2026-01-01), byte for byte\n"
        "    it was bbbbbbbbbb Lower them (Ada, 2026-01-01)\n"
        "    it changes overlays/qa, too\n"
        "✓ dev: pushed bbbbbbbbbb to main\n"
    )


def test_a_rollback_to_what_is_there() -> None:
    assert printed(delivery_text.rolled_back, RolledBack(COMMIT, COMMIT), "dev") == (
        "✓ dev: HEAD renders as aaaaaaaaaa Raise the limits (Ada, 2026-01-01) already; nothing was changed\n"
    )


@pytest.mark.parametrize(
    ("done", "automated", "first", "off"),
    [
        (Operation("Succeeded"), True, "✓ dev: Argo CD rolled back to aaaaaaaaaa (history entry 3); it is Healthy", ""),
        (Operation("Failed", "no"), True, "✗ dev: the rollback to aaaaaaaaaa ended as Failed: no", ""),
        (None, False, "✗ dev: the rollback to aaaaaaaaaa (history entry 3) is not over yet", "as it was before"),
    ],
)
def test_an_emergency_says_what_it_leaves_behind(done: Operation | None, automated: bool, first: str, off: str) -> None:
    entry = HistoryEntry(3, (A,), "2026-01-01T00:00:00Z")
    found = Emergency("dev", "app", entry, A, automated, done, "Healthy")
    assert printed(delivery_text.emergency, found) == (
        f"{first}\n"
        f"    auto-sync of app is {f'off, {off}' if off else 'off now'}, and git still says something else\n"
        "    → let git say it: invoke rollback --env dev --to aaaaaaaaaa\n"
        "    → then switch auto-sync on again: invoke sync --env dev --auto\n"
    )


def test_a_sync_that_was_asked_for() -> None:
    document = application(A)
    assert printed(delivery_text.requested, parse(document), "dev", "main") == (
        "✓ dev: asked Argo CD to sync app at the tip of main\n"
    )
    document["spec"]["syncPolicy"] = {}
    assert "what git no longer has stays" in printed(delivery_text.requested, parse(document), "dev", "main")


# following


def followed(outcome: Outcome, reason: str, document: Any = None, events: Any = ()) -> str:
    state = State(A, 0, Phase.SYNCING, reason, parse(document) if document else None)
    return printed(delivery_text.followed, Followed("dev", "app", outcome, state, 61.4, events))


def test_a_healthy_end() -> None:
    assert followed(Outcome.HEALTHY, "synced and healthy") == "✓ dev: aaaaaaaaaa is synced and healthy (61 s)\n"


def test_a_failed_hook_is_shown_with_all_that_is_known() -> None:
    hook = {
        **{"kind": "Job", "namespace": "dev", "name": "m", "hookType": "PreSync", "hookPhase": "Failed"},  # noqa: PIE800
        "message": "backoff\nlimit",
    }
    refused = {"kind": "Service", "namespace": "dev", "name": "s", "status": "SyncFailed", "message": "is invalid"}
    unhealthy = resource("Deployment", "d", "OutOfSync", "Degraded", "deadline exceeded")
    document = application(
        A,
        operation=operation(A, "Failed", resources=[hook, refused]),
        resources=[unhealthy, resource("ConfigMap", "c")],
        conditions=[
            {"type": "SyncError", "message": "one or more\ntasks failed"},
            {"type": "ComparisonError", "message": "no such\npath"},
            {"type": "SharedResourceWarning", "message": "no"},
        ],
    )
    events = (
        ("Job/dev/m", Event("Warning", "BackoffLimitExceeded", "too often", count=3)),
        ("Pod/dev/m-x", Event("Normal", "Pulled", "image")),
    )
    assert followed(Outcome.FAILED, "one or more tasks failed", document, events) == (
        "✗ dev: the sync of aaaaaaaaaa failed: one or more tasks failed\n"
        "    Job/dev/m  PreSync hook, Failed: backoff limit\n"
        "    Service/dev/s  SyncFailed: is invalid\n"
        "    Job/dev/m  Warning BackoffLimitExceeded: too often (3 times)\n"
        "    Pod/dev/m-x  Normal Pulled: image\n"
        "    Deployment/dev/d  OutOfSync\n"
        "    Deployment/dev/d  Degraded: deadline exceeded\n"
        "    ComparisonError: no such path\n"
        "    → invoke status --env dev, invoke drift --env dev\n"
    )


@pytest.mark.parametrize(
    ("outcome", "reason", "first"),
    [
        (Outcome.DEGRADED, "Pod/p is Degraded", "aaaaaaaaaa is synced, and stays degraded: Pod/p is Degraded"),
        (Outcome.SUPERSEDED, "a newer commit", "aaaaaaaaaa was not waited for any longer: a newer commit"),
        (Outcome.DELETED, "it was deleted", "aaaaaaaaaa can't be waited for: it was deleted"),
        (Outcome.TIMED_OUT, "waits", "aaaaaaaaaa is not synced and healthy after 61 s: waits"),
        (Outcome.TIMED_OUT, "", "aaaaaaaaaa is not synced and healthy after 61 s: Argo CD did not answer"),
    ],
)
def test_another_end(outcome: Outcome, reason: str, first: str) -> None:
    assert followed(outcome, reason) == f"✗ dev: {first}\n    → invoke status --env dev, invoke drift --env dev\n"


# status, history, drift


WELL = Row(
    environment="dev",
    application="app",
    branch="main",
    wanted=A,
    running=A,
    sync="Synced",
    health="Healthy",
    operation="Succeeded",
    images=("registry.example.com/team/backend:1.2", f"r:5000/web@sha256:{B}"),
    synced="2026-01-01T23:57:00Z",
    pushed_by="Ada",
)
ROWS = (
    WELL,
    replace(WELL, environment="qa", running=B, sync="OutOfSync", operation="Running", drift=3, images=()),
    Row("prod", "app-prod", "main", A, problem="there is no such Application"),
    Row("lab", problem="no Application of the repository deploys it", deployed=False),
)


def test_the_table_of_environments() -> None:
    assert printed(delivery_text.status, ROWS, "https://argocd.example.com (kustodian.yaml)", now=NOW) == (
        "ENV   APPLICATION  WANTED      RUNNING     SYNC                 HEALTH   DRIFT  LAST SYNC  PUSHED BY  IMAGES\n"
        "dev   app          aaaaaaaaaa  aaaaaaaaaa  Synced               Healthy  0      3 min ago  Ada        "
        "backend:1.2 web@bbbbbbb\n"
        "qa    app          aaaaaaaaaa  bbbbbbbbbb  OutOfSync (Running)  Healthy  3      3 min ago  Ada        -\n"
        "prod  app-prod     aaaaaaaaaa  -           -                    -        -      -          -          -\n"
        "lab   -            -           -           -                    -        -      -          -          -\n"
        "✗ prod: there is no such Application\n"
        "· lab: no Application of the repository deploys it\n"
        "as https://argocd.example.com (kustodian.yaml) says\n"
    )


def test_the_environments_for_programs() -> None:
    document = json.loads(printed(delivery_json.status, ROWS, "server"))
    assert document["server"] == "server"
    assert [row["well"] for row in document["environments"]] == [True, False, False, False]
    assert document["environments"][0]["syncedAt"] == "2026-01-01T23:57:00Z"


HISTORY = History(
    "dev",
    "app",
    (Sync(4, A, "2026-01-01T00:00:00Z", "ada", COMMIT), Sync(3, B, "2025-12-01T00:00:00Z", "automated")),
)


def test_the_table_of_past_syncs() -> None:
    assert printed(delivery_text.history, HISTORY, now=NOW) == (
        "ID  REVISION    WHEN      BY         AUTHOR  SUBJECT\n"
        "4   aaaaaaaaaa  1 d ago   ada        Ada     Raise the limits\n"
        "3   bbbbbbbbbb  32 d ago  automated  -       (not a commit that git has here)\n"
    )
    assert printed(delivery_text.history, History("dev", "app", ())) == "dev: app was never synced\n"


def test_past_syncs_for_programs() -> None:
    first, second = json.loads(printed(delivery_json.history, HISTORY))["syncs"]
    assert (first["subject"], first["author"]) == ("Raise the limits", "Ada")
    assert (second["subject"], second["id"], second["revision"]) == (None, 3, B)


DRIFT = Drift(
    "dev",
    "app",
    A,
    12,
    (
        Difference(
            ResourceId("Deployment", "dev", "d"),
            Kind.CHANGED,
            (
                Change("spec.replicas", 5, 3),
                Change("spec.paused", True, ABSENT),
                Change("metadata.note", "x" * 200, ""),
            ),
        ),
        Difference(
            ResourceId("Secret", "dev", "s"),
            Kind.CHANGED,
            (Change("data.a", IS_THERE, "sealed:0123456789abcdef"), Change("data.b", IS_THERE, IS_THERE)),
        ),
        Difference(ResourceId("Job", "dev", "j"), Kind.MISSING),
        Difference(ResourceId("Pod", "dev", "p"), Kind.EXTRA),
    ),
)


def test_drift() -> None:
    assert printed(delivery_text.drift, DRIFT) == (
        "✗ dev: 12 resources compared with aaaaaaaaaa: 4 differences (in the cluster → in git)\n"
        "  Deployment/dev/d\n"
        "      spec.replicas: 5 → 3\n"
        "      spec.paused: true → absent\n"
        f'      metadata.note: "{"x" * 159}… (202 characters) → ""\n'
        "  Secret/dev/s\n"
        "      data.a: (a value that is not shown) → sealed:0123456789abcdef\n"
        "      data.b: (a value that is not shown) → (a value that is not shown)\n"
        "  Job/dev/j  is missing in the cluster\n"
        "  Pod/dev/p  is not in git (a sync with prune removes it)\n"
    )


def test_no_drift() -> None:
    assert printed(delivery_text.drift, Drift("dev", "app", A, 1, ())) == (
        "✓ dev: 1 resource compared with aaaaaaaaaa: no drift\n"
    )


def test_drift_for_programs() -> None:
    document = json.loads(printed(delivery_json.drift, DRIFT))
    first = document["differences"][0]
    assert (first["resource"], first["difference"]) == ("Deployment/dev/d", "changed")
    assert first["changes"][:2] == [
        {"path": "spec.replicas", "live": 5, "git": 3},
        {"path": "spec.paused", "live": True},
    ]


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(seconds=-5), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=400), "400 d ago"),
    ],
)
def test_ages(before: timedelta, text: str) -> None:
    assert delivery_text.age((NOW - before).isoformat(), NOW) == text


@pytest.mark.parametrize("when", ["", "yesterday", "2026-01-01T00:00:00"])
def test_the_age_of_what_is_no_time(when: str) -> None:
    assert delivery_text.age(when, NOW) == "-"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("redis", "redis"),
        ("redis:7", "redis:7"),
        ("r:5000/a/web:1.2", "web:1.2"),
        (f"r/web:1.2@sha256:{A}", "web@aaaaaaa"),
        (f"r:5000/web@sha256:{B}", "web@bbbbbbb"),
    ],
)
def test_images(name: str, short: str) -> None:
    assert delivery_text.image(name) == short


# progress


def states(*documents: Any) -> list[State]:
    return [State(A, 0, Phase.SYNCING, "syncs", parse(document)) for document in documents]


def test_lines_tell_what_changed_and_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    hook = {"kind": "Job", "name": "m", "hookType": "PreSync", "hookPhase": "Running", "message": "waits"}
    config, deployment = resource("ConfigMap", "c"), resource("Deployment", "d", "OutOfSync", "Missing")
    first = application(A, resources=[config, deployment], operation=operation(A, "Running", resources=[hook]))
    progressing = resource("Deployment", "d", health="Progressing", message="0 of 1")
    seeded = {**hook, "hookPhase": "Succeeded"}
    second = application(
        A, resources=[config, progressing, resource("Job", "m", "")], operation=operation(A, resources=[seeded])
    )
    third = application(A, resources=[config, resource("Deployment", "d", health="Healthy")])
    with progress.progress("dev", A, 900.0) as display:
        for state in states(first, first, second, second, third):
            display.show(state)
        display.say("Argo CD answers again")
    assert capsys.readouterr() == (
        "",
        "dev: following aaaaaaaaaa until it is synced and healthy (at most 900 s)\n"
        "dev: syncing: syncs\n"
        "  Deployment/dev/d  OutOfSync, Missing\n"
        "  Job/m  PreSync hook, Running: waits\n"
        "  Deployment/dev/d  Synced, Progressing: 0 of 1\n"
        "  Job/m  PreSync hook, Succeeded\n"
        "  Deployment/dev/d  Synced, Healthy\n"
        "dev: Argo CD answers again\n",
    )


def test_many_changes_at_once_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress.Lines("dev")
    lines.show(states(application(A, resources=[resource("Job", f"j{n}", "OutOfSync") for n in range(12)]))[0])
    assert capsys.readouterr().err.splitlines()[-1] == "  and 4 other resources"


def test_a_terminal_shows_a_table_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    unhealthy = resource("Deployment", "[d]", health="Degraded", message="deadline [exceeded]")
    document = application(A, resources=[unhealthy, resource("ConfigMap", "c")])
    with progress.progress("dev", A, 900.0) as display:
        display.show(states(document)[0])
        display.say("a note [that stays]")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "dev aaaaaaaaaa  syncing" in text
    assert "Deployment/dev/[d]" in text
    assert "Synced, Degraded: deadline [exceeded]" in text
    assert "1 of 2 resources well; syncs" in text
    assert "dev: a note [that stays]" in text
    assert stream.getvalue().endswith(("\x1b[?25h", "\x1b[2K"))  # the cursor is back, the table is not
