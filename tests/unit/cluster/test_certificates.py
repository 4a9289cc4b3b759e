from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from kustodian.cluster import api, certificates
from kustodian.cluster.certificates import Certificates, Pair


def server_side(made: Certificates, pair: Pair) -> ssl.SSLContext:
    """A server that wants a client's certificate from the cluster's authority."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(pair.certificate, pair.key)
    found.load_verify_locations(made.authority)
    found.verify_mode = ssl.CERT_REQUIRED
    return found


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> dict[str, str]:
    """The subject that the server sees of the client. Raises what either side raises."""
    there, here = socket.socketpair()
    raised: list[BaseException] = []
    seen: list[Any] = []

    def serve() -> None:
        try:
            with there, server.wrap_socket(there, server_side=True) as stream:
                seen.append(stream.getpeercert())
                stream.sendall(stream.recv(16))
        except (ssl.SSLError, OSError) as error:
            raised.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with here, client.wrap_socket(here, server_hostname=name) as stream:
            stream.sendall(b"moin")
            assert stream.recv(16) == b"moin"
    finally:
        thread.join(10)
    assert raised == []
    return {key: value for ((key, value),) in seen[0]["subject"]}


def test_the_administrators_certificate_opens_the_server(made: Certificates) -> None:
    subject = handshake(server_side(made, made.server), api.context(made))
    assert subject["commonName"] == "trial-admin"
    assert subject["organizationName"] == "system:masters"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "kubernetes.default.svc"])
def test_the_server_is_known_by_each_of_its_names(name: str, made: Certificates) -> None:
    assert handshake(server_side(made, made.server), api.context(made), name)


def test_the_api_servers_own_certificate_is_nobodys_administrator(made: Certificates) -> None:
    client = api.client_context(made.authority, made.proxy.certificate, made.proxy.key)
    subject = handshake(server_side(made, made.server), client)
    assert subject["commonName"] == "aggregator"
    assert subject["organizationName"] != "system:masters"


def other_name(made: Certificates) -> tuple[ssl.SSLContext, str]:
    return api.context(made), "example.com"


def the_systems_trust(_made: Certificates) -> tuple[ssl.SSLContext, str]:
    return ssl.create_default_context(), "127.0.0.1"


@pytest.mark.parametrize("client", [other_name, the_systems_trust])
def test_a_client_refuses_what_it_does_not_know(
    client: Callable[[Certificates], tuple[ssl.SSLContext, str]], made: Certificates
) -> None:
    context, name = client(made)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_side(made, made.server), context, name)


def test_a_client_without_a_certificate_is_refused(made: Certificates) -> None:
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        handshake(server_side(made, made.server), ssl.create_default_context(cafile=str(made.authority)))


def test_the_authority_of_another_cluster_is_not_trusted(made: Certificates, tmp_path: Path) -> None:
    other = certificates.make(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_side(made, made.server), api.context(other))


def test_keys_are_readable_by_their_owner_only(made: Certificates) -> None:
    pairs = [getattr(made, field.name) for field in fields(made) if field.name != "authority"]
    keys = [pair.key for pair in pairs]
    assert len(set(keys)) == 4
    for key in keys:
        assert key.stat().st_mode & 0o777 == 0o600
        assert "PRIVATE KEY" in key.read_text("utf-8")
    # The authority's own key is kept nowhere.
    folder = made.authority.parent
    holding = {path for path in folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()}
    assert holding == set(keys)


def test_each_set_has_keys_of_its_own(made: Certificates, tmp_path: Path) -> None:
    again = certificates.make(tmp_path)
    assert again.server.key.read_bytes() != made.server.key.read_bytes()
    assert again.authority.read_bytes() != made.authority.read_bytes()
