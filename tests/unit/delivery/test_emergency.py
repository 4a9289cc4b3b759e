"""Argo CD's own rollback: what is switched off, ended and followed, and what is said when it breaks off."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from kustodian.delivery.emergency import Emergency, rollback
from kustodian.errors import ExitCode, Interrupted, ServerError, UsageError

from .kit import Answer, Document, Remote, Server, application, git, operation, refused

OLD, NEW = "a" * 40, "b" * 40
PAST = [
    {"id": 3, "revision": OLD, "deployedAt": "2026-01-01T00:00:00Z"},
    {"id": 4, "revision": NEW, "deployedAt": "2026-01-02T00:00:00Z"},
]


class ArgoCD:
    """A server with one Application: auto-sync, the running operation, and a rollback that takes two looks."""

    def __init__(self, *, running: bool = False, automated: bool = True, ends_as: str = "Succeeded") -> None:
        self.automated, self.ends_as = automated, ends_as
        self.operation: Document = operation(NEW, "Running" if running else "Succeeded")
        self.looks_left = 0

    def __call__(self, request: httpx.Request) -> Answer:
        if request.method == "PATCH":
            wanted = json.loads(json.loads(request.content)["patch"])
            self.automated = wanted["spec"]["syncPolicy"]["automated"]["enabled"]
        elif request.method == "DELETE":
            self.operation = operation(NEW, "Failed")
            return {}
        elif request.method == "POST":
            if self.automated:
                return refused(400, "rollback cannot be initiated when auto-sync is enabled")
            if self.operation["phase"] == "Running":
                return refused(400, "another operation is already in progress")
            self.looks_left = 2
        elif self.looks_left:
            self.looks_left -= 1
            phase = "Running" if self.looks_left else self.ends_as
            self.operation = operation(OLD, phase, started="2026-01-02T00:00:00Z", message="what it says")
        document = application(NEW, operation=self.operation, history=PAST)
        document["spec"]["syncPolicy"]["automated"]["enabled"] = self.automated
        return document


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return Remote.make(tmp_path_factory.mktemp("remote"))


def run(server: Server, remote: Remote, **options: Any) -> Emergency:
    with server.client() as client:
        options = {"limit": 60, "clock": server.clock, "sleep": server.clock.sleep, **options}
        return rollback(client, remote.commits, **options)


def test_auto_sync_is_switched_off_and_the_rollback_followed(remote: Remote) -> None:
    server = Server(argo := ArgoCD())
    found = run(server, remote)
    assert (found.entry.id, found.revision, found.automated_before) == (3, OLD, True)
    assert found.operation is not None
    assert (found.operation.phase, found.exit_code) == ("Succeeded", ExitCode.CLEAN)
    assert not argo.automated
    assert server.paths == [
        "GET /api/v1/applications/app",
        "PATCH /api/v1/applications/app",
        "POST /api/v1/applications/app/rollback",
        "GET /api/v1/applications/app",
        "GET /api/v1/applications/app",
    ]
    assert json.loads(server.requests[2].content)["id"] == 3


def test_a_sync_that_hangs_is_ended_first(remote: Remote) -> None:
    server = Server(ArgoCD(running=True))
    assert run(server, remote).exit_code is ExitCode.CLEAN
    assert "DELETE /api/v1/applications/app/operation" in server.paths


def test_auto_sync_that_is_off_is_left_so(remote: Remote) -> None:
    server = Server(ArgoCD(automated=False))
    assert not run(server, remote).automated_before
    assert not [path for path in server.paths if path.startswith("PATCH")]


def test_a_rollback_that_fails(remote: Remote) -> None:
    found = run(Server(ArgoCD(ends_as="Failed")), remote)
    assert found.operation is not None
    assert (found.operation.message, found.exit_code) == ("what it says", ExitCode.FINDINGS)


def test_a_rollback_that_does_not_end(remote: Remote) -> None:
    found = run(Server(ArgoCD(ends_as="Running")), remote)
    assert (found.operation, found.exit_code) == (None, ExitCode.FINDINGS)


@pytest.mark.parametrize("to", [OLD, OLD[:7]])
def test_a_revision_that_argo_cd_has_synced(to: str, remote: Remote) -> None:
    assert run(Server(ArgoCD()), remote, to=to).entry.id == 3


@pytest.mark.parametrize("to", ["a", "aaa"])
def test_a_commit_that_is_hardly_named_is_not_guessed(to: str, remote: Remote) -> None:
    with pytest.raises(UsageError, match=f"^{to} is too short to name a sync of app: it may be {OLD}"):
        run(Server(ArgoCD()), remote, to=to)


def test_a_revision_that_it_has_not_changes_nothing(remote: Remote) -> None:
    head = git(remote.root, "rev-parse", "HEAD")
    server = Server(ArgoCD())
    with pytest.raises(UsageError, match=f"has no sync of {head}"):
        run(server, remote, to="main")
    assert server.paths == ["GET /api/v1/applications/app"]


def refuses(verb: str, answer: Callable[[], Answer]) -> Callable[[httpx.Request], Answer]:
    argo = ArgoCD()
    return lambda request: answer() if request.method == verb else argo(request)


def test_what_is_refused_half_way_says_what_may_be_off(remote: Remote) -> None:
    server = Server(refuses("POST", lambda: refused(400, "it says no")))
    with pytest.raises(ServerError) as caught:
        run(server, remote)
    assert "it says no" in caught.value.message
    assert "auto-sync of app may be off now" in caught.value.message
    assert caught.value.hint == "to switch it on again: invoke sync --env dev --auto"


def test_ctrl_c_half_way_says_what_may_be_off(remote: Remote) -> None:
    def ctrl_c() -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="auto-sync of app may be off now") as caught:
        run(Server(refuses("POST", ctrl_c)), remote)
    assert caught.value.hint == "to switch it on again: invoke sync --env dev --auto"


def test_an_operation_that_can_not_be_ended_is_an_error_at_the_time_limit(remote: Remote) -> None:
    argo = ArgoCD(running=True)
    server = Server(lambda request: refused(400, "no") if request.method == "DELETE" else argo(request))
    with pytest.raises(ServerError, match="did not end within the time limit"):
        run(server, remote, limit=20)


def test_a_server_that_restarts_meanwhile_is_asked_again(remote: Remote) -> None:
    argo, faults = ArgoCD(), [httpx.ConnectError("refused")] * 6

    def handler(request: httpx.Request) -> Answer:
        return faults.pop() if faults and argo.looks_left and request.method == "GET" else argo(request)

    assert run(Server(handler), remote).exit_code is ExitCode.CLEAN
    assert not faults
