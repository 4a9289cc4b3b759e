"""The client against a function in place of the network, for what it asks and for faults that can't be made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from kustodian.argocd import session
from kustodian.argocd.client import Client, Event, ManagedResource, Node
from kustodian.argocd.connection import Connection
from kustodian.errors import NotFound, NotPermitted, ServerError, TokenRefused, Unavailable

TOKEN = "the.secret.token"
CONNECTION = Connection("https://cd.example.com/argo", TOKEN, origin="kustodian.yaml")
APPLICATION = {"metadata": {"name": "web", "resourceVersion": "7"}}

Answer = httpx.Response | Exception | dict[str, Any]


class Server:
    """Answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    @property
    def client(self) -> Client:
        return Client(CONNECTION, transport=httpx.MockTransport(self), sleep=self.pauses.append)

    @property
    def lines(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.asked]

    @property
    def body(self) -> Any:
        return json.loads(self.asked[-1].content)


def refusal(status: int, message: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": message, "message": message, "code": 1}, headers=headers)


def failure(server: Server, ask: Callable[[Client], object] = lambda client: client.application("web")) -> ServerError:
    with pytest.raises(ServerError) as raised, server.client as client:
        ask(client)
    assert TOKEN not in str(raised.value)
    assert "\n" not in raised.value.message
    return raised.value


# What is asked


def test_every_request_is_json_with_the_token() -> None:
    server = Server(APPLICATION)
    with server.client as client:
        client.application("web")
        client.terminate("web")
    for request in server.asked:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("kustodian/")


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda c: c.version(), "GET /argo/api/version"),
        (lambda c: c.applications(), "GET /argo/api/v1/applications"),
        (
            lambda c: c.applications(namespace="n", project="p"),
            "GET /argo/api/v1/applications?appNamespace=n&project=p",
        ),
        (lambda c: c.application("web"), "GET /argo/api/v1/applications/web"),
        (lambda c: c.application("a/b ?é"), "GET /argo/api/v1/applications/a%2Fb%20%3F%C3%A9"),
        (lambda c: c.application("web", "hard"), "GET /argo/api/v1/applications/web?refresh=hard"),
        (lambda c: c.application("web", project="p"), "GET /argo/api/v1/applications/web?project=p"),
        (lambda c: c.managed_resources("web"), "GET /argo/api/v1/applications/web/managed-resources"),
        (lambda c: c.nodes("web"), "GET /argo/api/v1/applications/web/resource-tree"),
        (lambda c: c.events("web"), "GET /argo/api/v1/applications/web/events"),
        (
            lambda c: c.events("web", Node("batch", "Job", "n", "migrate", "u-1"), project="p"),
            "GET /argo/api/v1/applications/web/events"
            "?resourceName=migrate&resourceUID=u-1&resourceNamespace=n&project=p",
        ),
        (
            lambda c: c.terminate("web", namespace="n"),
            "DELETE /argo/api/v1/applications/web/operation?appNamespace=n",
        ),
        (
            lambda c: list(c.watch("web", "7", project="p")),
            "GET /argo/api/v1/stream/applications?name=web&resourceVersion=7&project=p",
        ),
    ],
)
def test_what_is_read_has_its_path(ask: Callable[[Client], object], line: str) -> None:
    server = Server(APPLICATION)
    with server.client as client:
        ask(client)
    assert server.lines == [line]


@pytest.mark.parametrize(
    ("ask", "line", "body"),
    [
        (lambda c: c.sync("web"), "POST …/web/sync", {"name": "web", "prune": True}),
        (
            lambda c: c.sync("web", "abc", prune=False, project="p"),
            "POST …/web/sync",
            {"name": "web", "prune": False, "revision": "abc", "project": "p"},
        ),
        (
            lambda c: c.sync("web", "abc", source=1, namespace="n"),
            "POST …/web/sync",
            {"name": "web", "prune": True, "revisions": ["abc"], "sourcePositions": [2], "appNamespace": "n"},
        ),
        (lambda c: c.rollback("web", 3), "POST …/web/rollback", {"name": "web", "id": 3, "prune": True}),
        (
            lambda c: c.set_automated("web", False),
            "PATCH …/web",
            {
                "name": "web",
                "patch": '{"spec": {"syncPolicy": {"automated": {"enabled": false}}}}',
                "patchType": "merge",
            },
        ),
    ],
)
def test_what_is_changed_has_its_body(ask: Callable[[Client], Any], line: str, body: object) -> None:
    server = Server(APPLICATION)
    with server.client as client:
        assert ask(client).name == "web"
    assert server.lines == [line.replace("…", "/argo/api/v1/applications")]
    assert server.body == body


# What is answered


def test_applications_are_read() -> None:
    with Server({"items": [APPLICATION, {"metadata": {"name": "b"}}]}).client as client:
        assert [found.name for found in client.applications()] == ["web", "b"]
    with Server({"items": None}).client as client:
        assert client.applications() == ()
    with Server({"Version": "v3.6.1+abc"}).client as client:
        assert client.version() == "v3.6.1+abc"


def test_managed_resources_are_read_and_not_printed() -> None:
    item = {
        "kind": "Secret",
        "namespace": "n",
        "name": "s",
        "liveState": '{"data": {"key": "++++"}}',
        "targetState": "null",
        "normalizedLiveState": "{}",
    }
    with Server({"items": [item]}).client as client:
        (found,) = client.managed_resources("web")
    assert found == ManagedResource("", "Secret", "n", "s", live={"data": {"key": "++++"}}, normalized={})
    assert (found.target, found.predicted) == (None, None)
    assert str(found) == "Secret/n/s"
    assert "++++" not in repr(found)


def test_a_document_in_a_resource_that_is_none_is_told() -> None:
    server = Server({"items": [{"kind": "Secret", "name": "s", "liveState": "{plain"}]})
    error = failure(server, lambda client: client.managed_resources("web"))
    assert error.message == "Argo CD's `liveState` of Secret/s is not JSON"


def test_nodes_and_events_are_read() -> None:
    pod = {"kind": "Pod", "namespace": "n", "name": "m-1", "uid": "u-2", "parentRefs": [{"kind": "Job", "uid": "u-1"}]}
    with Server({"nodes": [pod | {"health": {"status": "Degraded", "message": "m"}}]}).client as client:
        assert client.nodes("web") == (Node("", "Pod", "n", "m-1", "u-2", ("u-1",), "Degraded", "m"),)
    items = [
        {"type": "Warning", "reason": "BackOff", "message": "m", "lastTimestamp": "2026-01-01T00:00:02Z", "count": 4},
        {
            "type": "Normal",
            "reason": "Created",
            "message": "m",
            "lastTimestamp": None,
            "eventTime": "2026-01-01T00:00:01Z",
        },
    ]
    with Server({"items": items}).client as client:
        assert client.events("web") == (
            Event("Normal", "Created", "m", "2026-01-01T00:00:01Z"),
            Event("Warning", "BackOff", "m", "2026-01-01T00:00:02Z", 4),
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "with something that is no Application"),
        ({"metadata": {}}, "with something that is no Application"),
        (httpx.Response(200, text="[1]"), "GET /api/v1/applications/web with no JSON object"),
        (httpx.Response(200, text="null"), "GET /api/v1/applications/web with no JSON object"),
    ],
)
def test_an_answer_that_is_no_application_is_told(answer: Answer, message: str) -> None:
    assert failure(Server(answer)).message == f"Argo CD answered {message}"


@pytest.mark.parametrize("text", ["<html>log in</html>", "", "{", "[" * 100_000])
def test_an_answer_that_is_no_json_is_told(text: str) -> None:
    error = failure(Server(httpx.Response(200, text=text, headers={"content-type": "text/html; charset=utf-8"})))
    assert error.message == (
        "Argo CD at https://cd.example.com/argo: GET /argo/api/v1/applications/web: "
        "the answer (200, text/html) is none of Argo CD's"
    )
    assert "login page" in error.hint


# What is refused


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, TokenRefused, "log in with `argocd login cd.example.com --sso`, or set ARGOCD_AUTH_TOKEN"),
        (403, NotPermitted, "or there is no such Application: the answer is the same"),
        (404, NotFound, "names of Applications and projects are as in Argo CD"),
        (500, Unavailable, "try it again"),
        (503, Unavailable, "try it again"),
        (400, ServerError, ""),
    ],
)
def test_a_refusal_says_why_and_what_to_do(status: int, kind: type[ServerError], hint: str) -> None:
    error = failure(Server(refusal(status, f"because of\n {TOKEN}")))
    assert type(error) is kind
    why = "it does not accept the token: because of ***" if status == 401 else "because of ***"
    assert error.message == (
        f"Argo CD at https://cd.example.com/argo: GET /argo/api/v1/applications/web: {why} ({status})"
    )
    assert hint in error.hint


def test_a_refusal_that_is_none_of_argo_cds_is_told() -> None:
    error = failure(Server(httpx.Response(404, text="<html>nginx</html>", headers={"content-type": "text/html"})))
    assert type(error) is ServerError
    assert "the answer (404, text/html) is none of Argo CD's" in error.message


def test_the_token_is_not_carried_elsewhere() -> None:
    server = Server(httpx.Response(307, headers={"location": "https://elsewhere.example.com/"}))
    error = failure(server)
    assert "leads elsewhere, to https://elsewhere.example.com/" in error.message
    assert len(server.asked) == 1


# What is repeated


@pytest.mark.parametrize(
    "fault",
    [
        refusal(429),
        refusal(502),
        refusal(503),
        httpx.Response(504, text="<html>"),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
    ],
)
def test_a_passing_fault_is_not_seen_by_who_reads(fault: Answer) -> None:
    server = Server(fault, fault, APPLICATION)
    with server.client as client:
        assert client.application("web").name == "web"
    assert server.pauses == [0.5, 1.0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (refusal(503, "starting"), "starting (503)"),
        (httpx.ConnectError("Name or service not known"), "Name or service not known"),
        (httpx.ConnectTimeout("timed out"), "no connection within 5 s"),
        (httpx.ReadError(""), "ReadError"),
    ],
)
def test_a_lasting_fault_ends_after_four_tries(fault: Answer, message: str) -> None:
    server = Server(fault)
    error = failure(server)
    assert isinstance(error, Unavailable)
    assert error.message.endswith(f"applications/web: {message}")
    assert (len(server.asked), server.pauses) == (4, [0.5, 1.0, 2.0])


@pytest.mark.parametrize("fault", [refusal(401), refusal(403), refusal(404), refusal(500), httpx.ReadTimeout("slow")])
def test_what_will_not_pass_is_not_repeated(fault: Answer) -> None:
    server = Server(fault)
    failure(server)
    assert (len(server.asked), server.pauses) == (1, [])


@pytest.mark.parametrize(("asks_for", "pause"), [("3", 3.0), ("0", 0.5), ("3600", 10.0), ("tomorrow", 0.5)])
def test_a_server_may_ask_for_a_pause_within_reason(asks_for: str, pause: float) -> None:
    server = Server(refusal(429, **{"retry-after": asks_for}), APPLICATION)
    with server.client as client:
        client.application("web")
    assert server.pauses == [pause]


CHANGES: list[Callable[[Client], object]] = [
    lambda client: client.sync("web"),
    lambda client: client.rollback("web", 1),
    lambda client: client.terminate("web"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "fault",
    [refusal(429), refusal(503), httpx.ReadError("reset"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")],
)
def test_a_change_that_may_have_arrived_is_not_asked_for_twice(
    change: Callable[[Client], object], fault: Answer
) -> None:
    server = Server(fault)
    failure(server, change)
    assert len(server.asked) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_did_not_leave_is_asked_for_again(change: Callable[[Client], object]) -> None:
    server = Server(httpx.ConnectError("refused"), APPLICATION)
    with server.client as client:
        change(client)
    assert len(server.asked) == 2


def test_switching_auto_sync_may_arrive_twice() -> None:
    server = Server(httpx.ReadError("reset"), APPLICATION)
    with server.client as client:
        client.set_automated("web", True)
    assert len(server.asked) == 2


def test_a_refresh_that_takes_too_long_gives_the_application_as_it_is() -> None:
    server = Server(httpx.ReadTimeout("slow"), APPLICATION)
    with server.client as client:
        assert client.application("web", "normal").name == "web"
    assert [line.rpartition("/")[2] for line in server.lines] == ["web?refresh=normal", "web"]
    assert server.asked[0].extensions["timeout"]["read"] == 10.0


# Watching


class Stream(httpx.SyncByteStream):
    def __init__(self, *parts: bytes | Exception) -> None:
        self.parts = parts
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        self.closed = True


def event(kind: str, version: str) -> bytes:
    item = {"metadata": {"name": "web", "resourceVersion": version}}
    return json.dumps({"result": {"type": kind, "application": item}}).encode() + b"\n"


def watched(*parts: bytes | Exception) -> tuple[list[tuple[str, str]], Stream]:
    stream = Stream(*parts)
    with Server(httpx.Response(200, stream=stream)).client as client:
        found = [(kind, application.resource_version) for kind, application in client.watch("web")]
    return found, stream


@pytest.mark.parametrize(
    "end",
    [
        b"",
        b'{"result": {"type": "MODI',
        b'{"error": {"grpc_code": 14, "http_code": 503, "message": "transport is closing"}}\n',
        b"null\n",
        httpx.ReadTimeout("silent"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
    ],
)
def test_a_watch_ends_with_its_stream_however_that_ends(end: bytes | Exception) -> None:
    one, two = event("ADDED", "7"), event("MODIFIED", "8")
    # The network may cut lines anywhere.
    found, stream = watched(one[:10], one[10:] + two[:5], two[5:], b"\n", end)
    assert found == [("ADDED", "7"), ("MODIFIED", "8")]
    assert stream.closed


def test_a_watch_that_nobody_reads_on_is_closed() -> None:
    stream = Stream(event("ADDED", "7"), event("MODIFIED", "8"))
    with Server(httpx.Response(200, stream=stream)).client as client:
        watch = client.watch("web")
        assert next(watch)[0] == "ADDED"
        watch.close()  # type: ignore[attr-defined]
    assert stream.closed


def test_a_watch_that_is_silent_from_the_beginning_ends() -> None:
    server = Server(httpx.ReadTimeout("silent"))
    with server.client as client:
        assert list(client.watch("web", silence=1.5)) == []
    assert server.asked[0].extensions["timeout"]["read"] == 1.5
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("status", "kind"), [(401, TokenRefused), (403, NotPermitted), (503, Unavailable)])
def test_a_watch_that_is_refused_says_so(status: int, kind: type[ServerError]) -> None:
    assert type(failure(Server(refusal(status)), lambda client: list(client.watch("web")))) is kind


def test_a_watch_of_something_else_is_no_watch() -> None:
    assert watched(b"<html>\n", event("ADDED", "7"))[0] == []


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("cd.example.com", False)],
)
def test_which_addresses_are_this_machines_own(host: str, loopback: bool) -> None:
    assert session._is_loopback(host) is loopback
