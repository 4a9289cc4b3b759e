"""Argo CD's REST API, as much of it as delivery uses.

Source: server/application/application.proto of Argo CD v3.6, from which its paths, parameters and bodies are made.
Every method raises `ServerError` or one of its subclasses. `namespace` is the Application's own, where that is not
Argo CD's; with `project` a missing Application is told from a forbidden one (`NotFound`, else `NotPermitted`).

While the Kubernetes API server is away, Argo CD answers `NotPermitted` for every Application (`getAppEnforceRBAC`): who
has seen one before does well to ask again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from kustodian.argocd import application, session
from kustodian.argocd.application import Application, mapping
from kustodian.argocd.connection import Connection
from kustodian.errors import ServerError

if TYPE_CHECKING:
    import httpx

APPLICATIONS = "/api/v1/applications"
REFRESH_SECONDS = 10.0
"""How long a refresh is waited for."""
_VERSION = "is that the address of Argo CD's API, of version 3?"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class ManagedResource:
    """A resource of an Application as Argo CD compares it. In Secrets it puts `+` for each character of a value.

    Each document is None where there is none: `live` before the resource is created, `target` where it is to be pruned.
    """

    group: str
    kind: str
    namespace: str
    name: str
    live: Document | None = field(repr=False, default=None)
    target: Document | None = field(repr=False, default=None)
    """As it was rendered."""
    normalized: Document | None = field(repr=False, default=None)
    """`live` without what Argo CD is told to ignore."""
    predicted: Document | None = field(repr=False, default=None)
    """What `live` would be after a sync. It differs from `normalized` exactly where there is drift."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True)
class Node:
    """A live resource of an Application, or one that such a resource made (a Pod of a Job)."""

    group: str
    kind: str
    namespace: str
    name: str
    uid: str
    parents: tuple[str, ...] = ()
    """Their uids."""
    health: str = ""
    message: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True)
class Event:
    """A Kubernetes event. `type` is `Normal` or `Warning`; `last` is RFC 3339."""

    type: str
    reason: str
    message: str
    last: str = ""
    count: int = 1


class Client:
    """A context manager. `transport` stands for the network in tests, `sleep` for the pauses between repeats."""

    def __init__(
        self,
        connection: Connection,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session.Session(connection, transport=transport, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def version(self) -> str:
        """The server's, for example `v3.6.1+1234567`. Needs no permission."""
        return _text(self._get("/api/version"), "Version")

    def applications(self, *, namespace: str = "", project: str = "") -> tuple[Application, ...]:
        """All that the token may see."""
        found = self._get(APPLICATIONS, **_where(namespace, project))
        return tuple(application.parse(item) for item in _items(found, "items"))

    def application(self, name: str, refresh: str = "", *, namespace: str = "", project: str = "") -> Application:
        """One Application. With `refresh`, `normal` or `hard`, Argo CD compares it before it answers.

        Where that takes longer than ten seconds the Application comes as it is; its `refresh_requested` says so.
        """
        path, where = _path(name), _where(namespace, project)
        if refresh:
            try:
                return _application(
                    self._session.call("GET", path, query={"refresh": refresh, **where}, timeout=REFRESH_SECONDS)
                )
            except session.Silence:
                pass  # its controller is busy or away; the wish stays with the Application
        return _application(self._get(path, **where))

    def watch(
        self,
        name: str,
        resource_version: str = "",
        *,
        silence: float = session.READ_SECONDS,
        namespace: str = "",
        project: str = "",
    ) -> Iterator[tuple[str, Application]]:
        """Each state of one Application from `resource_version` on, with `ADDED`, `MODIFIED` or `DELETED`.

        The first comes at once. It ends without an error when the server or something on the way ends it, and after
        `silence` seconds in which nothing came: the caller then reads `application()`, because changes may have been
        missed, and watches again. It raises what a refused request raises.
        """
        query = {"name": name, "resourceVersion": resource_version, **_where(namespace, project)}
        for line in self._session.lines("/api/v1/stream/applications", query=query, silence=silence):
            result = mapping(mapping(line).get("result"))
            if not result:
                return  # `{"error": …}`: what is wrong, the next request says
            yield _text(result, "type"), _application(result.get("application"))

    def sync(
        self,
        name: str,
        revision: str = "",
        *,
        prune: bool = True,
        source: int | None = None,
        namespace: str = "",
        project: str = "",
    ) -> Application:
        """Ask for an operation; the answer has it as `operation_requested`.

        `revision` is a commit, or empty for the one that the Application follows: with auto-sync on, Argo CD refuses
        any other. An Application of several sources takes it for the one with the index `source`.
        """
        wanted: dict[str, Any] = {"revision": revision} if revision else {}
        if revision and source is not None:
            wanted = {"revisions": [revision], "sourcePositions": [source + 1]}
        return self._post(name, "sync", {"prune": prune, **wanted}, namespace, project)

    def rollback(
        self,
        name: str,
        id: int,  # noqa: A002  as in Argo CD's history
        *,
        prune: bool = True,
        namespace: str = "",
        project: str = "",
    ) -> Application:
        """Ask for an operation that syncs what the history's entry `id` has. Refused while auto-sync is on."""
        return self._post(name, "rollback", {"id": id, "prune": prune}, namespace, project)

    def terminate(self, name: str, *, namespace: str = "", project: str = "") -> None:
        """End the running operation. `ServerError` where none runs."""
        self._session.call("DELETE", f"{_path(name)}/operation", query=_where(namespace, project))

    def set_automated(self, name: str, enabled: bool, *, namespace: str = "", project: str = "") -> Application:
        """Switch auto-sync on or off; how it prunes and heals stays."""
        patch = {"spec": {"syncPolicy": {"automated": {"enabled": enabled}}}}
        body = {"name": name, "patch": json.dumps(patch), "patchType": "merge", **_where(namespace, project)}
        return _application(self._session.call("PATCH", _path(name), body=body, repeat=True))

    def managed_resources(self, name: str, *, namespace: str = "", project: str = "") -> tuple[ManagedResource, ...]:
        """What the Application renders to or has in the cluster, hooks excepted, as of the last comparison."""
        found = self._get(f"{_path(name)}/managed-resources", **_where(namespace, project))
        return tuple(
            ManagedResource(
                _text(item, "group"),
                _text(item, "kind"),
                _text(item, "namespace"),
                _text(item, "name"),
                live=_document(item, "liveState"),
                target=_document(item, "targetState"),
                normalized=_document(item, "normalizedLiveState"),
                predicted=_document(item, "predictedLiveState"),
            )
            for item in _items(found, "items")
        )

    def nodes(self, name: str, *, namespace: str = "", project: str = "") -> tuple[Node, ...]:
        """The live resources and what they made, as of the last comparison."""
        found = self._get(f"{_path(name)}/resource-tree", **_where(namespace, project))
        return tuple(
            Node(
                _text(item, "group"),
                _text(item, "kind"),
                _text(item, "namespace"),
                _text(item, "name"),
                _text(item, "uid"),
                parents=tuple(_text(parent, "uid") for parent in _items(item, "parentRefs")),
                health=_text(mapping(item.get("health")), "status"),
                message=_text(mapping(item.get("health")), "message"),
            )
            for item in _items(found, "nodes")
        )

    def events(
        self, name: str, node: Node | None = None, *, namespace: str = "", project: str = ""
    ) -> tuple[Event, ...]:
        """The events of one of the Application's `nodes()`, or of the Application itself; the oldest first."""
        of = {"resourceName": node.name, "resourceUID": node.uid, "resourceNamespace": node.namespace} if node else {}
        found = self._get(f"{_path(name)}/events", **of, **_where(namespace, project))
        events = (
            Event(
                _text(item, "type"),
                _text(item, "reason"),
                _text(item, "message"),
                _text(item, "lastTimestamp") or _text(item, "eventTime") or _text(item, "firstTimestamp"),
                item["count"] if isinstance(item.get("count"), int) else 1,
            )
            for item in _items(found, "items")
        )
        return tuple(sorted(events, key=lambda event: event.last))

    def _get(self, path: str, **query: str) -> Document:
        found = self._session.call("GET", path, query=query)
        if not isinstance(found, Mapping):
            raise ServerError(f"Argo CD answered GET {path} with no JSON object", hint=_VERSION)
        return found

    def _post(self, name: str, verb: str, body: Document, namespace: str, project: str) -> Application:
        whole = {"name": name, **body, **_where(namespace, project)}
        return _application(self._session.call("POST", f"{_path(name)}/{verb}", body=whole))


def _path(name: str) -> str:
    return f"{APPLICATIONS}/{quote(name, safe='')}"


def _where(namespace: str, project: str) -> dict[str, str]:
    return {key: value for key, value in (("appNamespace", namespace), ("project", project)) if value}


def _application(document: object) -> Application:
    found = application.parse(document)
    if not found.name:
        raise ServerError("Argo CD answered with something that is no Application", hint=_VERSION)
    return found


def _document(item: Document, key: str) -> Document | None:
    text = _text(item, key)
    try:
        document = json.loads(text) if text else None
    except (ValueError, RecursionError):
        raise ServerError(f"Argo CD's `{key}` of {_text(item, 'kind')}/{_text(item, 'name')} is not JSON") from None
    return document if isinstance(document, Mapping) else None


def _items(document: Document, key: str) -> list[Document]:
    items = document.get(key)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _text(document: Document, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
