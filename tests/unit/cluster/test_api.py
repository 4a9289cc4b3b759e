from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from kustodian.cluster import api
from kustodian.cluster.api import Refused
from kustodian.cluster.certificates import Certificates
from kustodian.errors import ToolError

from .kit import kinds, speaking_to
from .test_certificates import server_side


def answering(status: int, body: str | bytes) -> api.Api:
    return speaking_to(lambda _request: httpx.Response(status, content=body))


@contextmanager
def served(made: Certificates) -> Iterator[str]:
    """An HTTPS server that wants a client's certificate and says who asked for what."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            subject = {key: value for ((key, value),) in self.connection.getpeercert()["subject"]}
            content = json.dumps({"path": self.path, "user": subject["commonName"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = server_side(made, made.server).wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_asks_as_the_administrator_and_by_no_proxy(made: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with served(made) as base, api.Api(base, api.context(made)) as client:
        assert client.get("/api/v1/pods", limit="1") == {"path": "/api/v1/pods?limit=1", "user": "trial-admin"}


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (403, json.dumps({"kind": "Status", "message": "pods is forbidden"}), "GET /x: 403 pods is forbidden"),
        (503, "upstream is away", "GET /x: 503 upstream is away"),
        (500, json.dumps(["no", "status"]), 'GET /x: 500 ["no", "status"]'),
        (500, "", "GET /x: 500"),
        (502, "a" * 1000, f"GET /x: 502 {'a' * 200}"),
        (301, "", "GET /x: 301"),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_was_said(status: int, body: str, message: str) -> None:
    with answering(status, body) as client, pytest.raises(Refused) as raised:
        client.get("/x")
    assert raised.value.message == message
    assert raised.value.code == status
    assert isinstance(raised.value, ToolError)


def test_an_answer_that_is_no_mapping_is_an_empty_one() -> None:
    with answering(200, "[1]") as client:
        assert client.get("/x") == {}


@pytest.mark.parametrize(
    ("api_version", "kind", "namespace", "path"),
    [
        ("v1", "Namespace", "", "/api/v1/namespaces/n"),
        ("v1", "Node", "ignored", "/api/v1/nodes/n"),
        ("v1", "ConfigMap", "", "/api/v1/namespaces/default/configmaps/n"),
        ("v1", "ConfigMap", "dev", "/api/v1/namespaces/dev/configmaps/n"),
        ("apps/v1", "Deployment", "dev", "/apis/apps/v1/namespaces/dev/deployments/n"),
    ],
)
def test_the_path_of_an_object(api_version: str, kind: str, namespace: str, path: str) -> None:
    document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "n"}}
    with speaking_to(lambda request: httpx.Response(200, json=kinds(request.url.path))) as client:
        assert client.path_of(document, namespace=namespace) == path


def test_an_objects_own_namespace_counts_more_than_the_given_one() -> None:
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "namespace": "its"}}
    with speaking_to(lambda request: httpx.Response(200, json=kinds(request.url.path))) as client:
        assert client.path_of(document, namespace="given") == "/api/v1/namespaces/its/pods/n"


def test_kinds_are_asked_for_once_and_again_for_a_new_one() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        found = kinds(request.url.path)
        if len(asked) == 1:
            found["resources"] = [item for item in found["resources"] if item["kind"] != "Pod"]
        return httpx.Response(200, json=found)

    with speaking_to(answer) as client:
        for kind in ("Node", "ConfigMap", "Pod", "Pod"):
            client.collection("v1", kind)
    assert asked == ["/api/v1", "/api/v1"]


def test_a_kind_that_is_not_there_is_a_refusal() -> None:
    """A definition takes a moment until its kind is served."""
    with (
        speaking_to(lambda request: httpx.Response(200, json=kinds(request.url.path))) as client,
        pytest.raises(Refused) as raised,
    ):
        client.collection("v1", "Ledger")
    assert (raised.value.message, raised.value.code) == ("GET /api/v1: there is no kind Ledger", 404)


def test_apply_is_server_side_and_forced() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=kinds("/api/v1"))

    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    with speaking_to(answer) as client:
        client.apply(document)
        client.apply(document, status=True)
        client.patch("/api/v1/nodes/n", {"spec": {"taints": None}})
        client.delete("/api/v1/nodes/n")
        client.apply_all([document, document])
    assert [f"{request.method} {request.url.path}" for request in requests] == [
        "GET /api/v1",
        "PATCH /api/v1/nodes/n",
        "PATCH /api/v1/nodes/n/status",
        "PATCH /api/v1/nodes/n",
        "DELETE /api/v1/nodes/n",
        "PATCH /api/v1/nodes/n",
        "PATCH /api/v1/nodes/n",
    ]
    assert dict(requests[1].url.params) == {"fieldManager": "kustodian-cluster", "force": "true"}
    assert requests[1].headers["Content-Type"] == "application/apply-patch+yaml"
    assert requests[3].headers["Content-Type"] == "application/merge-patch+json"
