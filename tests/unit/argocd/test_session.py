"""The client against a real server on this machine: TLS, cut streams, silence, and proxies."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from kustodian.argocd.client import Client
from kustodian.argocd.connection import Connection
from kustodian.errors import ServerError, Unavailable, UsageError

EVENT = json.dumps({"result": {"type": "ADDED", "application": {"metadata": {"name": "web"}}}}).encode() + b"\n"

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@contextmanager
def serving(answer: Answer, certificate: trustme.LeafCert | None = None) -> Iterator[int]:
    """A server whose every GET is `answer`ed; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that turns away is what the tests are about

    server = Quiet(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def version(handler: BaseHTTPRequestHandler) -> None:
    body = b'{"Version": "v1"}'
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def stream(*parts: bytes, then: Callable[[BaseHTTPRequestHandler], object] = lambda _handler: None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        handler.wfile.flush()
        then(handler)
        handler.close_connection = True

    return answer


def ask(server: str, ca: Path | None = None, *, verify: bool = True) -> str:
    with Client(Connection(server, "token", ca, verify), sleep=lambda _seconds: None) as client:
        return client.version()


def test_a_server_whose_certificate_the_named_file_signs_is_trusted(authority: trustme.CA, ca: Path) -> None:
    with serving(version, authority.issue_cert("127.0.0.1")) as port:
        assert ask(f"https://127.0.0.1:{port}", ca) == "v1"


@pytest.mark.parametrize("own", [False, True])
def test_a_server_that_an_unknown_authority_signed_is_not_trusted(
    authority: trustme.CA, ca: Path, own: bool, tmp_path: Path
) -> None:
    other = trustme.CA() if own else authority
    with (
        serving(version, other.issue_cert("127.0.0.1")) as port,
        pytest.raises(ServerError) as raised,
    ):
        ask(f"https://127.0.0.1:{port}", ca if own else None)
    assert type(raised.value) is ServerError  # nothing that passes
    assert "no trustworthy connection: unable to get local issuer certificate" in raised.value.message
    assert "ARGOCD_CA" in raised.value.hint


def test_a_server_with_another_ones_certificate_is_not_trusted(authority: trustme.CA, ca: Path) -> None:
    with (
        serving(version, authority.issue_cert("cd.example.com")) as port,
        pytest.raises(ServerError, match="no trustworthy connection: IP address mismatch"),
    ):
        ask(f"https://127.0.0.1:{port}", ca)


def test_only_who_says_so_does_without_verification(authority: trustme.CA) -> None:
    with serving(version, authority.issue_cert("cd.example.com")) as port:
        assert ask(f"https://127.0.0.1:{port}", verify=False) == "v1"


def test_a_server_without_tls_is_told() -> None:
    with serving(version) as port:
        with pytest.raises(ServerError, match="no trustworthy connection") as raised:
            ask(f"https://127.0.0.1:{port}")
        assert "http://" in raised.value.hint
        assert ask(f"http://127.0.0.1:{port}") == "v1"


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(content)
    with pytest.raises(UsageError) as raised:
        ask("https://127.0.0.1:1", file)
    assert raised.value.message.startswith(f"{file}: holds no certificate")


def test_a_port_where_nobody_listens_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unavailable) as raised:
            ask(f"https://127.0.0.1:{port}")
    assert raised.value.message.endswith("GET /api/version: Connection refused")


def test_no_proxy_is_used_for_this_machines_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(version) as port:
        assert ask(f"http://127.0.0.1:{port}") == "v1"
    with pytest.raises(Unavailable, match="Connection refused"):  # by the proxy
        ask("http://cd.example.com")


def watch(port: int, silence: float = 5) -> list[str]:
    with Client(Connection(f"http://127.0.0.1:{port}", "token")) as client:
        return [application.name for _kind, application in client.watch("web", silence=silence)]


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection, as a server does that is killed."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    handler.connection.shutdown(socket.SHUT_RDWR)


def test_a_stream_that_is_cut_ends_the_watch() -> None:
    with serving(stream(EVENT, EVENT, then=cut)) as port:
        assert watch(port) == ["web", "web"]
    with serving(stream(EVENT, EVENT[:20])) as port:
        assert watch(port) == ["web"]


def test_a_stream_that_falls_silent_ends_the_watch() -> None:
    over = threading.Event()
    with serving(stream(EVENT, then=lambda _handler: over.wait(5))) as port:
        started = time.monotonic()
        assert watch(port, silence=0.2) == ["web"]
        assert time.monotonic() - started < 3
        over.set()


def test_each_event_is_there_as_soon_as_it_comes() -> None:
    seen = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        stream(EVENT, then=lambda _handler: seen.wait(5))(handler)

    with serving(answer) as port, Client(Connection(f"http://127.0.0.1:{port}", "token")) as client:
        for _kind, application in client.watch("web"):
            assert application.name == "web"
            assert not seen.is_set()
            seen.set()
