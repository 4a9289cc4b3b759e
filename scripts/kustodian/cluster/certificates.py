"""The certificates of a trial cluster: an authority of its own that nobody else trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kustodian.files import write_atomically


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    authority: Path
    server: Pair
    """For 127.0.0.1, localhost and the names inside the cluster."""
    admin: Pair
    """A client in the group system:masters."""
    proxy: Pair
    """The API server's own, when it passes requests on to an aggregated API server."""
    tokens: Pair
    """What service accounts' tokens are signed with."""


def make(folder: Path) -> Certificates:
    """Write a new set into `folder`, the keys readable by their owner only."""
    import trustme

    authority = trustme.CA(organization_name="kustodian trial cluster")
    ca = folder / "ca.crt"
    ca.write_bytes(authority.cert_pem.bytes())

    def issue(name: str, *identities: str, organization: str | None = None, common_name: str | None = None) -> Pair:
        # Without a subject alternative name the extension would be there and empty, which Go refuses.
        leaf = authority.issue_cert(
            *(identities or (f"{name}.trial",)), common_name=common_name, organization_name=organization
        )
        pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        write_atomically(pair.key, leaf.private_key_pem.bytes(), mode=0o600)
        return pair

    return Certificates(
        authority=ca,
        server=issue("server", "127.0.0.1", "localhost", "kubernetes.default.svc"),
        admin=issue("admin", organization="system:masters", common_name="trial-admin"),
        proxy=issue("proxy", common_name="aggregator"),
        tokens=issue("tokens", common_name="service-accounts"),
    )
