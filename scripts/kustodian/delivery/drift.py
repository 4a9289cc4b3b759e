"""What in the cluster differs from what git renders, as Argo CD compares them.

Argo CD's own `managed-resources` are compared, as its `app diff` does: the live resource without what it is told to
ignore, and the resource as applying git's would leave it. It masks the values of Secrets before they leave it; here
nothing of a value is shown at all, only git's fingerprint (of the ciphertext) where the checkout has the commit.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from kustodian.argocd.application import mapping
from kustodian.delivery.effect import Renders
from kustodian.delivery.fields import ABSENT, Change, changes, joined
from kustodian.delivery.snapshot import snapshot
from kustodian.errors import ExitCode, ServerError
from kustodian.resource import ResourceId, split, without_hash
from kustodian.secrets import seal

if TYPE_CHECKING:
    from kustodian.argocd.application import Application
    from kustodian.argocd.client import Client, ManagedResource
    from kustodian.delivery.commits import Commits
    from kustodian.render import Renderer

IS_THERE = "(a value that is not shown)"
"""Stands for a Secret's value in the cluster."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Repeats the whole resource, a Secret's values too, as kubectl applied it; no part of what is wanted."""


class Kind(Enum):
    CHANGED = "changed"
    MISSING = "missing"
    """Git has it, the cluster does not."""
    EXTRA = "extra"
    """The cluster has it, git does not (any more): the next sync with prune removes it."""


@dataclass(frozen=True)
class Difference:
    """One resource. `changes` is empty for one that is missing or extra."""

    resource: ResourceId
    kind: Kind
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Drift:
    environment: str
    application: str
    revision: str
    """The commit that Argo CD compared the cluster with."""
    resources: int
    """How many were compared."""
    differences: tuple[Difference, ...]

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.FINDINGS if self.differences else ExitCode.CLEAN


Fingerprints = Mapping[tuple[str, str], Mapping[str, str]]
"""Sealed values by a Secret's namespace and name (without the content hash), and key."""


def drift(client: Client, commits: Commits, renderer: Renderer) -> Drift:
    """Compare anew and tell what differs. `renderer` makes the sealed render in which Secrets' fingerprints stand.

    Raises `ServerError`, also when Argo CD could not compare.
    """
    destination = commits.destination
    name, namespace = destination.application, destination.namespace
    application = client.application(name, refresh="normal", namespace=namespace)
    refuse_uncompared(application)
    managed = client.managed_resources(name, namespace=namespace)
    revisions = application.revisions
    revision = revisions[destination.source] if destination.source < len(revisions) else ""
    found = tuple(differences(managed, {}))
    if any(one.resource.kind == "Secret" and one.changes for one in found) and commits.find(revision):
        sealed = _sealed(commits, renderer, revision)
        found = tuple(differences(managed, fingerprints(sealed) if sealed is not None else {}))
    return Drift(
        environment=destination.overlay.environment,
        application=destination.application,
        revision=revision,
        resources=len(managed),
        differences=found,
    )


def _sealed(commits: Commits, renderer: Renderer, revision: str) -> bytes | None:
    """The environment's sealed render at a commit; None where it does not render."""
    path = commits.destination.overlay.path
    with snapshot(commits.git) as folder:
        render = Renders(folder, renderer).at(revision, [path])[path]
    return render if isinstance(render, bytes) else None


def refuse_uncompared(application: Application) -> None:
    """Raises `ServerError` for an Application whose last comparison failed: what it shows is older."""
    problems = [condition.message for condition in application.conditions if condition.type == "ComparisonError"]
    if problems or application.sync == "Unknown":
        raise ServerError(
            f"Argo CD could not compare {application.name}: {'; '.join(problems) or 'its sync status is unknown'}",
            hint="what it shows of the cluster may be old; put this right first",
        )


def differences(managed: Iterable[ManagedResource], fingerprints: Fingerprints) -> Iterator[Difference]:
    """The resources that differ, in Argo CD's order."""
    for resource in managed:
        name = ResourceId(resource.kind, resource.namespace, resource.name)
        if resource.live is None and resource.target is not None:
            yield Difference(name, Kind.MISSING)
        elif resource.live is not None and resource.target is None and not _is_tolerated(resource.live):
            yield Difference(name, Kind.EXTRA)
        elif resource.live is not None and resource.target is not None:
            live, git = resource.normalized or {}, resource.predicted or {}
            if resource.kind == "Secret" and resource.group == "":
                key = resource.namespace, without_hash(resource.name)
                found = tuple(_in_secret(live, git, fingerprints.get(key, {})))
            else:
                found = tuple(_in_resource(live, git))
            if found:
                yield Difference(name, Kind.CHANGED, found)


def fingerprints(sealed: bytes) -> Fingerprints:
    """The sealed values of a sealed render's Secrets; a value that is plain in it is left out."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for resource in split(sealed):
        if resource.kind == "Secret":
            name = resource.id
            values = found.setdefault((name.namespace, without_hash(name.name)), {})
            for field in ("data", "stringData"):  # the second counts where both have a key, as for Kubernetes
                for key, value in mapping(resource.document.get(field)).items():
                    if fingerprint := _fingerprint(value):
                        values[str(key)] = fingerprint
    return found


def _in_resource(live: Mapping[str, Any], git: Mapping[str, Any]) -> Iterator[Change]:
    yield from changes(_without_repetition(live), _without_repetition(git))


def _without_repetition(document: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = mapping(document.get("metadata"))
    annotations = mapping(metadata.get("annotations"))
    if _LAST_APPLIED not in annotations:
        return document
    kept = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    return {**document, "metadata": {**metadata, "annotations": kept}}


def _in_secret(live: Mapping[str, Any], git: Mapping[str, Any], fingerprints: Mapping[str, str]) -> Iterator[Change]:
    values = ("data", "stringData")
    yield from _in_resource(*({key: side[key] for key in side if key not in values} for side in (live, git)))
    ours, theirs = ({key: mapping(side.get(key)) for key in values} for side in (live, git))
    for field in values:
        for key in (*ours[field], *(key for key in theirs[field] if key not in ours[field])):
            one, other = ours[field].get(key, ABSENT), theirs[field].get(key, ABSENT)
            if one != other:
                wanted = ABSENT if other is ABSENT else fingerprints.get(key, IS_THERE)
                yield Change(joined(field, key), _hidden(one), wanted)


def _hidden(value: object) -> object:
    return value if value is ABSENT else IS_THERE


def _fingerprint(value: object) -> str:
    text = str(value)
    if text.startswith(seal.STARTS[1]):
        try:
            text = base64.b64decode(text).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return text if text.startswith(seal.PREFIX) else ""


def _is_tolerated(live: Mapping[str, Any]) -> bool:
    """Whether an extra resource says of itself that it may stay (`IgnoreExtraneous`)."""
    options = mapping(mapping(live.get("metadata")).get("annotations")).get("argocd.argoproj.io/compare-options", "")
    return "IgnoreExtraneous" in {option.strip() for option in str(options).split(",")}
