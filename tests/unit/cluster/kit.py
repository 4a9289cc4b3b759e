"""What tests of the trial cluster share: an API server that is a function, and one that keeps objects."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from kustodian.cluster.api import Api

Document = dict[str, Any]
Handler = Callable[[httpx.Request], httpx.Response]
DISCOVERY: dict[str, list[tuple[str, str, bool]]] = {
    "/api/v1": [
        ("Namespace", "namespaces", False),
        ("Node", "nodes", False),
        ("Node", "nodes/status", False),
        ("PersistentVolume", "persistentvolumes", False),
        ("PersistentVolumeClaim", "persistentvolumeclaims", True),
        ("Pod", "pods", True),
        ("ConfigMap", "configmaps", True),
    ],
    "/apis/apps/v1": [("Deployment", "deployments", True), ("Scale", "deployments/scale", True)],
    "/apis/metrics.k8s.io/v1beta1": [("PodMetrics", "pods", True)],
    "/apis/apiextensions.k8s.io/v1": [("CustomResourceDefinition", "customresourcedefinitions", False)],
}
"""Kind, plural and whether it is namespaced, by the path of the group's version."""


def speaking_to(handler: Handler) -> Api:
    """The client, with a function in the server's place."""
    api = Api("https://127.0.0.1:1", ssl.create_default_context())
    api._http.close()
    api._http = httpx.Client(base_url="https://127.0.0.1:1", transport=httpx.MockTransport(handler))
    return api


def kinds(path: str) -> Document:
    found = [{"kind": kind, "name": name, "namespaced": namespaced} for kind, name, namespaced in DISCOVERY[path]]
    return {"kind": "APIResourceList", "resources": found}


@dataclass
class Store:
    """Keeps what is applied, by path; a list is what lies below any namespace."""

    objects: dict[str, Document] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def client(self) -> Api:
        return speaking_to(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "PATCH":
            self.written.append(path)
            found = self.objects.setdefault(path, {})
            found.update(json.loads(request.content))
            return httpx.Response(200, json=found)
        if path in DISCOVERY:
            return httpx.Response(200, json=kinds(path))
        base, _slash, plural = path.rpartition("/")
        below = [object_ for name, object_ in self.objects.items() if name.startswith(base) and f"/{plural}/" in name]
        return httpx.Response(200, json={"items": below})
