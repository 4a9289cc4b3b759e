"""A small client of the Kubernetes API server of a trial cluster, for what a cluster needs before Argo CD is there.

Paths and verbs: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from kustodian.cluster.certificates import Certificates
from kustodian.errors import ToolError

FIELD_MANAGER = "kustodian-cluster"


class Refused(ToolError):
    """The API server refused a request. `code` is the HTTP status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def context(certificates: Certificates) -> ssl.SSLContext:
    """TLS that trusts the cluster's own authority and presents its administrator."""
    return client_context(certificates.authority, certificates.admin.certificate, certificates.admin.key)


def client_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(cafile=str(authority))
    found.load_cert_chain(certificate, key)
    return found


class Api:
    """The API server at `base` (`https://127.0.0.1:PORT`). Raises `Refused`; a lost connection is httpx's error."""

    def __init__(self, base: str, verify: ssl.SSLContext, *, seconds: float = 30.0) -> None:
        import httpx

        # No proxy of the environment: the server is on this machine.
        self._http = httpx.Client(base_url=base, verify=verify, timeout=seconds, trust_env=False)
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def apply(self, document: Mapping[str, Any], *, namespace: str = "", status: bool = False) -> dict[str, Any]:
        """Server-side apply. `status` applies to the status subresource. Returns the object."""
        path = self.path_of(document, namespace=namespace) + ("/status" if status else "")
        return self.request(
            "PATCH",
            path,
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            json=dict(document),
        )

    def get(self, path: str, **params: str) -> dict[str, Any]:
        return self.request("GET", path, params=params)

    def patch(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON merge patch (RFC 7386)."""
        return self.request("PATCH", path, headers={"Content-Type": "application/merge-patch+json"}, json=dict(patch))

    def delete(self, path: str) -> dict[str, Any]:
        return self.request("DELETE", path)

    def request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """One request; the body as parsed JSON. Raises `Refused` with the server's own message."""
        answer = self._http.request(method, path, **arguments)
        if answer.is_success:
            found = answer.json()
            return found if isinstance(found, dict) else {}
        try:
            message = str(answer.json().get("message", ""))
        except (ValueError, AttributeError):
            message = ""
        raise Refused(
            f"{method} {path}: {answer.status_code} {message or answer.text[:200]}".strip(), answer.status_code
        )

    def path_of(self, document: Mapping[str, Any], *, namespace: str = "") -> str:
        """The path of the object that a document describes."""
        metadata = document["metadata"]
        collection = self.collection(document["apiVersion"], document["kind"], metadata.get("namespace") or namespace)
        return f"{collection}/{metadata['name']}"

    def collection(self, api_version: str, kind: str, namespace: str = "") -> str:
        """The path of all objects of a kind, in a namespace where the kind has one and one is given."""
        base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if kind not in self._kinds.get(api_version, {}):
            resources = self.get(base)["resources"]
            self._kinds[api_version] = {
                item["kind"]: (item["name"], item["namespaced"]) for item in resources if "/" not in item["name"]
            }
        if kind not in self._kinds[api_version]:
            raise Refused(f"GET {base}: there is no kind {kind}", 404)
        plural, namespaced = self._kinds[api_version][kind]
        return f"{base}/namespaces/{namespace or 'default'}/{plural}" if namespaced else f"{base}/{plural}"

    def apply_all(self, documents: Iterable[Mapping[str, Any]]) -> None:
        for document in documents:
            self.apply(document)
