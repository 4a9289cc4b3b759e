"""An Argo CD Application as its server shows it, reduced to what delivery looks at.

Source: the `Application` of https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml and the API's own
documents (`GET /api/v1/applications/{name}`). A field that a server leaves out is empty here, never an error: an
Application that was created a second ago has no status at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """One of an Application's sources. `path` and `target_revision` are as the spec has them."""

    repo_url: str
    path: str = ""
    target_revision: str = ""


@dataclass(frozen=True)
class ResourceState:
    """A resource of an Application. `health` is empty where Argo CD judges none; `message` is the health's."""

    group: str
    kind: str
    namespace: str
    name: str
    sync: str = ""
    """`Synced`, `OutOfSync` or `Unknown`."""
    health: str = ""
    message: str = ""
    hook: bool = False

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True)
class ResourceResult:
    """What the operation did with one resource. `status` is `Synced`, `SyncFailed`, `Pruned`, `PruneSkipped`."""

    kind: str
    namespace: str
    name: str
    status: str = ""
    message: str = ""
    hook_type: str = ""
    hook_phase: str = ""
    """`Running`, `Succeeded`, `Failed`, `Error` or `Terminating`; for anything but a hook what the wave waits for."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True)
class Operation:
    """The running or the last operation. `phase` is `Running`, `Terminating`, `Succeeded`, `Failed` or `Error`."""

    phase: str
    message: str = ""
    revisions: tuple[str, ...] = ()
    """What it syncs, one for each source; what it was asked to sync as long as that is not resolved, if it was."""
    started: str = ""
    finished: str = ""
    """Also set while it is `Running`, when an attempt has failed and the next one is to come."""
    retries: int = 0
    initiated_by: str = ""
    """The user's name, or `automated`."""
    partial: bool = False
    """Whether it syncs some resources only, as self-healing does: it runs no hooks and stays out of the history."""
    results: tuple[ResourceResult, ...] = ()


@dataclass(frozen=True)
class Condition:
    type: str
    message: str

    @property
    def is_error(self) -> bool:
        return self.type.endswith("Error")


@dataclass(frozen=True)
class HistoryEntry:
    """A sync that succeeded, as Argo CD keeps the last ten of them."""

    id: int
    revisions: tuple[str, ...]
    deployed: str
    """When it was over, RFC 3339."""
    initiated_by: str = ""


@dataclass(frozen=True)
class Application:
    name: str
    namespace: str
    project: str
    sources: tuple[Source, ...]
    destination_namespace: str = ""
    resource_version: str = ""
    automated: bool = False
    prunes: bool = False
    """Whether auto-sync removes what git no longer has; says so while auto-sync is off, too."""
    sync: str = "Unknown"
    """`Synced`, `OutOfSync` or `Unknown`."""
    revisions: tuple[str, ...] = ()
    """What the sync status was computed for: a commit for each source."""
    health: str = "Missing"
    """`Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`."""
    health_message: str = ""
    reconciled: str = ""
    """When the controller last compared, RFC 3339."""
    operation: Operation | None = None
    operation_requested: bool = False
    """Whether an operation is asked for (`.operation`): the controller takes that away when it is over."""
    refresh_requested: bool = False
    """Whether the annotation `argocd.argoproj.io/refresh` is there: the controller has yet to look again."""
    deleting: bool = False
    """Whether it is being deleted: nothing is synced any more, and a cascade takes its resources."""
    resources: tuple[ResourceState, ...] = ()
    conditions: tuple[Condition, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    images: tuple[str, ...] = ()


def parse(document: object) -> Application:
    """The Application in a document of the API. Raises nothing, whatever is missing or of another type."""
    document = mapping(document)
    metadata, spec, status = (mapping(document.get(key)) for key in ("metadata", "spec", "status"))
    sync, health = mapping(status.get("sync")), mapping(status.get("health"))
    return Application(
        name=_text(metadata.get("name")),
        namespace=_text(metadata.get("namespace")),
        project=_text(spec.get("project")),
        sources=sources(spec),
        destination_namespace=_text(mapping(spec.get("destination")).get("namespace")),
        resource_version=_text(metadata.get("resourceVersion")),
        automated=_is_automated(spec),
        prunes=mapping(mapping(spec.get("syncPolicy")).get("automated")).get("prune") is True,
        sync=_text(sync.get("status")) or "Unknown",
        revisions=_revisions(sync),
        health=_text(health.get("status")) or "Missing",
        health_message=_text(health.get("message")),
        reconciled=_text(status.get("reconciledAt")),
        operation=_operation(mapping(status.get("operationState"))),
        operation_requested=bool(document.get("operation")),
        refresh_requested="argocd.argoproj.io/refresh" in mapping(metadata.get("annotations")),
        deleting=bool(metadata.get("deletionTimestamp")),
        resources=tuple(_resource(item) for item in _mappings(status.get("resources"))),
        conditions=tuple(
            Condition(_text(item.get("type")), _text(item.get("message")))
            for item in _mappings(status.get("conditions"))
        ),
        history=tuple(
            HistoryEntry(
                _number(item.get("id")),
                _revisions(item),
                _text(item.get("deployedAt")),
                _initiator(mapping(item.get("initiatedBy"))),
            )
            for item in _mappings(status.get("history"))
        ),
        images=tuple(item for item in _list(mapping(status.get("summary")).get("images")) if isinstance(item, str)),
    )


def sources(spec: Mapping[str, Any]) -> tuple[Source, ...]:
    """`source` or `sources` of an Application's spec; the second counts where both are there, as for Argo CD."""
    listed = _mappings(spec.get("sources")) or _mappings([spec.get("source")])
    return tuple(
        Source(_text(item.get("repoURL")), _text(item.get("path")), _text(item.get("targetRevision")))
        for item in listed
    )


def _is_automated(spec: Mapping[str, Any]) -> bool:
    automated = mapping(spec.get("syncPolicy")).get("automated")
    # `automated: {}` switches it on; `enabled: false` (Argo CD 3.1) off again.
    return isinstance(automated, Mapping) and automated.get("enabled") is not False


def _operation(state: Mapping[str, Any]) -> Operation | None:
    if not state:
        return None
    result, asked = mapping(state.get("syncResult")), mapping(state.get("operation"))
    return Operation(
        phase=_text(state.get("phase")),
        message=_text(state.get("message")),
        revisions=_revisions(result) or _revisions(mapping(asked.get("sync"))),
        started=_text(state.get("startedAt")),
        finished=_text(state.get("finishedAt")),
        retries=_number(state.get("retryCount")),
        initiated_by=_initiator(mapping(asked.get("initiatedBy"))),
        partial=bool(_list(mapping(asked.get("sync")).get("resources"))),
        results=tuple(
            ResourceResult(
                kind=_text(item.get("kind")),
                namespace=_text(item.get("namespace")),
                name=_text(item.get("name")),
                status=_text(item.get("status")),
                message=_text(item.get("message")),
                hook_type=_text(item.get("hookType")),
                hook_phase=_text(item.get("hookPhase")),
            )
            for item in _mappings(result.get("resources"))
        ),
    )


def _resource(item: Mapping[str, Any]) -> ResourceState:
    health = mapping(item.get("health"))
    return ResourceState(
        group=_text(item.get("group")),
        kind=_text(item.get("kind")),
        namespace=_text(item.get("namespace")),
        name=_text(item.get("name")),
        sync=_text(item.get("status")),
        health=_text(health.get("status")),
        message=_text(health.get("message")),
        hook=bool(item.get("hook")),
    )


def _revisions(item: Mapping[str, Any]) -> tuple[str, ...]:
    several = tuple(_text(revision) for revision in _list(item.get("revisions")))  # each keeps its source's index
    one = _text(item.get("revision"))
    return several if any(several) else ((one,) if one else ())


def _initiator(item: Mapping[str, Any]) -> str:
    return _text(item.get("username")) or ("automated" if item.get("automated") else "")


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping; an empty one instead of anything else."""
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
