"""Asking Argo CD to sync now, and switching auto-sync on again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kustodian.delivery.destination import Destination
from kustodian.delivery.sync import switch_on, sync
from kustodian.errors import ServerError
from kustodian.repository import Overlay

from .kit import Answer, Server, application, refused

DESTINATION = Destination(Overlay("overlays/dev", Path("overlays/dev")), "app", "argocd", "r", "main", 0)


@pytest.mark.parametrize(
    ("policy", "prune"),
    [({"automated": {"prune": True}}, True), ({"automated": {"prune": False}}, False), ({}, False)],
)
def test_it_looks_first_and_prunes_as_the_application_does(policy: dict[str, object], prune: bool) -> None:
    document = application("a")
    document["spec"]["syncPolicy"] = policy
    server = Server(lambda request: {**document, "operation": {}} if request.method == "POST" else document)
    with server.client() as client:
        found = sync(client, DESTINATION)
    look, ask = server.requests
    assert (look.url.params["refresh"], look.url.params["appNamespace"]) == ("normal", "argocd")
    assert (ask.method, ask.url.path) == ("POST", "/api/v1/applications/app/sync")
    # Named revisions are refused while auto-sync is on.
    assert json.loads(ask.content) == {"name": "app", "prune": prune, "appNamespace": "argocd"}
    assert found.name == "app"


def test_an_operation_that_runs_already_is_an_error() -> None:
    def handler(request: object) -> Answer:
        posts = getattr(request, "method", "") == "POST"
        return refused(400, "another operation is already in progress") if posts else application("a")

    with Server(handler).client() as client, pytest.raises(ServerError, match="another operation is already in"):
        sync(client, DESTINATION)


def test_auto_sync_is_switched_on_where_it_is_off() -> None:
    document = application("a")
    server = Server(lambda _request: document)
    with server.client() as client:
        assert not switch_on(client, DESTINATION)
        document["spec"]["syncPolicy"]["automated"]["enabled"] = False
        assert switch_on(client, DESTINATION)
    assert server.paths[-1] == "PATCH /api/v1/applications/app"
    patch = json.loads(json.loads(server.requests[-1].content)["patch"])
    assert patch == {"spec": {"syncPolicy": {"automated": {"enabled": True}}}}
