"""The table over all environments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from kustodian.argocd.application import parse
from kustodian.delivery.destination import Destination
from kustodian.delivery.status import Row, running, status
from kustodian.errors import ExitCode, TokenRefused, Unavailable
from kustodian.git import Git
from kustodian.repository import Overlay

from .kit import Answer, Document, Remote, Server, application, git, operation, refused, resource

HISTORY = {"id": 0, "deployedAt": "2026-01-01T00:00:05Z"}


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote.make(tmp_path)


def ask(remote: Remote, *applications: Document, destinations: dict[str, Destination] | None = None) -> tuple[Row, ...]:
    known = {"overlays/dev": remote.destination} if destinations is None else destinations
    overlays = [Overlay(path, remote.root / path) for path in ("overlays/dev", *known) if path in known or not known]

    def handler(request: httpx.Request) -> Answer:
        if request.url.path == "/api/v1/applications":
            return {"items": list(applications)}
        return next(one for one in applications if request.url.path.endswith(one["metadata"]["name"]))

    with Server(handler).client() as client:
        return status(client, Git(remote.root), list(dict.fromkeys(overlays)), known)


def test_an_environment_that_is_well(remote: Remote) -> None:
    tip = remote.commit("ours", "2")
    document = application(
        tip,
        operation=operation(tip),
        history=[{**HISTORY, "revision": tip}],
        summary={"images": ["r/b:2", "r/a:1"]},
        resources=[resource("Deployment", "d", health="Healthy")],
    )
    (row,) = ask(remote, document)
    assert row == Row(
        environment="dev",
        application="app",
        branch="main",
        wanted=tip,
        running=tip,
        sync="Synced",
        health="Healthy",
        operation="Succeeded",
        images=("r/a:1", "r/b:2"),
        drift=0,
        synced="2026-01-01T00:00:05Z",
        pushed_by="Tester",
    )
    assert row.exit_code is ExitCode.CLEAN


def test_a_commit_that_did_not_arrive_yet(remote: Remote) -> None:
    old = git(remote.root, "rev-parse", "HEAD")
    tip = remote.commit("ours", "2")
    document = application(old, history=[{**HISTORY, "revision": old}])
    (row,) = ask(remote, document)
    assert (row.wanted, row.running, row.exit_code) == (tip, old, ExitCode.FINDINGS)


def test_an_application_that_lags_behind_is_asked_to_look_again(remote: Remote) -> None:
    """A commit that does not concern an environment reaches its Application only at Argo CD's next round."""
    old = git(remote.root, "rev-parse", "HEAD")
    tip = remote.commit("for another environment", "2")
    seen: list[str] = []

    def handler(request: httpx.Request) -> Answer:
        seen.append(f"{request.url.path}?{request.url.params}")
        if request.url.path == "/api/v1/applications":
            return {"items": [application(old)]}
        return application(tip)

    with Server(handler).client() as client:
        destinations = {"overlays/dev": remote.destination}
        (row,) = status(client, Git(remote.root), [remote.destination.overlay], destinations)
    assert (row.running, row.exit_code) == (tip, ExitCode.CLEAN)
    assert seen == ["/api/v1/applications?", "/api/v1/applications/app?refresh=normal&appNamespace=argocd"]


@pytest.mark.parametrize(
    ("status", "drift"),
    [
        ({"health": "Degraded"}, 0),
        ({"sync": "OutOfSync", "resources": [resource("Job", "j", "OutOfSync"), resource("Job", "k")]}, 1),
        ({"conditions": [{"type": "ComparisonError", "message": "no such path"}]}, 0),
    ],
)
def test_an_environment_that_is_not_well(status: dict[str, object], drift: int, remote: Remote) -> None:
    tip = git(remote.root, "rev-parse", "HEAD")
    document = application(tip, history=[{**HISTORY, "revision": tip}], **status)  # type: ignore[arg-type]
    (row,) = ask(remote, document)
    assert (row.exit_code, row.drift, row.running) == (ExitCode.FINDINGS, drift, tip)
    assert row.problem == ("no such path" if "conditions" in status else "")


@pytest.mark.parametrize(
    ("phase", "problem"), [("Failed", "the sync of it failed: a hook failed"), ("Running", ""), ("Terminating", "")]
)
def test_what_is_healthy_without_its_hooks_is_not_well(phase: str, problem: str, remote: Remote) -> None:
    tip = git(remote.root, "rev-parse", "HEAD")
    (row,) = ask(remote, application(tip, operation=operation(tip, phase, message="a hook failed")))
    assert (row.sync, row.health, row.problem, row.exit_code) == ("Synced", "Healthy", problem, ExitCode.FINDINGS)


def test_the_failed_sync_of_an_earlier_commit_counts_no_more(remote: Remote) -> None:
    old = git(remote.root, "rev-parse", "HEAD")
    tip = remote.commit("which changes nothing of it", "2")
    (row,) = ask(remote, application(tip, operation=operation(old, "Failed", message="a hook failed")))
    assert (row.problem, row.exit_code) == ("", ExitCode.CLEAN)


def test_an_application_that_is_not_there_is_a_row_that_says_so(remote: Remote) -> None:
    (row,) = ask(remote, application("x", name="another"))
    assert (row.environment, row.application, row.sync, row.exit_code) == ("dev", "app", "", ExitCode.FINDINGS)
    assert row.problem == "there is no such Application at the server (or the token may not see it)"


def test_what_a_trial_leaves_out_is_shown_and_not_judged(remote: Remote) -> None:
    destinations = {"overlays/dev": replace(remote.destination, trial=True)}
    (row,) = ask(remote, destinations=destinations)
    assert row.problem.startswith("it is not in the trial")
    assert (row.deployed, row.exit_code) == (False, ExitCode.CLEAN)


def test_an_application_of_another_namespace_is_another_one(remote: Remote) -> None:
    destination = replace(remote.destination, namespace="team-a")
    (row,) = ask(remote, application("x"), destinations={"overlays/dev": destination})
    assert row.problem.startswith("there is no such Application")


def test_an_overlay_that_no_application_deploys_is_shown_and_not_judged(remote: Remote) -> None:
    (row,) = ask(remote, destinations={})
    assert (row.environment, row.problem) == ("dev", "no Application of the repository deploys it")
    assert row.exit_code is ExitCode.CLEAN


def test_what_git_wants_is_not_known_while_its_remote_is_away(remote: Remote) -> None:
    tip = git(remote.root, "rev-parse", "HEAD")
    remote.url.rename(remote.url.with_name("moved.git"))
    destinations = {
        f"overlays/{name}": replace(
            remote.destination, overlay=Overlay(f"overlays/{name}", remote.root / name), application=name
        )
        for name in ("dev", "prod")
    }
    rows = ask(remote, *(application(tip, name=name) for name in ("dev", "prod")), destinations=destinations)
    assert [(row.environment, row.wanted, row.running, row.exit_code) for row in rows] == [
        ("dev", "", tip, ExitCode.ERROR),
        ("prod", "", tip, ExitCode.ERROR),
    ]
    assert all("ls-remote" in row.problem for row in rows)


def test_who_started_the_sync_where_git_does_not_know_the_commit(remote: Remote) -> None:
    unknown = "0" * 40
    document = application(unknown, operation=operation(unknown))
    (row,) = ask(remote, document)
    assert row.pushed_by == "automated"


@pytest.mark.parametrize(
    ("answer", "error"),
    [(refused(401, "expired"), TokenRefused), (httpx.ConnectError("refused"), Unavailable)],
)
def test_a_server_that_can_not_be_asked_is_an_error(answer: Answer, error: type[Exception], remote: Remote) -> None:
    with Server(lambda _request: answer).client() as client, pytest.raises(error):
        status(client, Git(remote.root), [], {})


def test_what_runs_is_what_was_synced_last_while_something_differs() -> None:
    past = [{**HISTORY, "revision": "a"}, {**HISTORY, "revision": "b"}]
    assert running(parse(application("c", sync="OutOfSync", history=past)), 0) == "b"
    assert running(parse(application("c", history=past)), 0) == "c"
    assert running(parse(application("c", sync="OutOfSync")), 0) == ""
    several = application("c", history=[{**HISTORY, "revisions": ["x", "y"]}], sync="OutOfSync")
    assert running(parse(several), 1) == "y"
