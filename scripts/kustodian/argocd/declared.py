"""The Applications that the repository declares: what Argo CD is told, before any server is asked.

They are the documents of kind Application in the render of the Kustomization that `kustodian.yaml` names
(`argocd.applications`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kustodian.argocd import paths
from kustodian.argocd.application import Source, mapping, sources
from kustodian.render import Renderer
from kustodian.repository import Overlay
from kustodian.resource import split

_GROUP = "argoproj.io/"


@dataclass(frozen=True)
class Declared:
    """An Application of the repository. `namespace` is empty where it is left to whoever applies it."""

    name: str
    namespace: str
    project: str
    sources: tuple[Source, ...]
    destination_namespace: str
    paths: tuple[str, ...] = ()
    """Of the annotation `argocd.argoproj.io/manifest-generate-paths`, as it has them."""

    def __str__(self) -> str:
        return "/".join(filter(None, ("Application", self.namespace, self.name)))


def read(renderer: Renderer) -> tuple[Declared, ...]:
    """The declared Applications, in the render's order; none where `kustodian.yaml` names no folder of them.

    Raises `RenderError`, `ToolTimeout`, `Interrupted`.
    """
    repository = renderer.repository
    folder = repository.settings.argocd_applications
    if not folder:
        return ()
    resources = split(renderer.render(repository.overlay_at(repository.root / folder)))
    return tuple(
        parse(resource.document)
        for resource in resources
        if resource.kind == "Application" and resource.api_version.startswith(_GROUP)
    )


def parse(document: Mapping[str, Any]) -> Declared:
    """The Application in a document of a repository."""
    metadata, spec = (mapping(document.get(key)) for key in ("metadata", "spec"))
    annotation = mapping(metadata.get("annotations")).get(paths.ANNOTATION)
    return Declared(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        project=str(spec.get("project", "")),
        sources=sources(spec),
        destination_namespace=str(mapping(spec.get("destination")).get("namespace") or ""),
        paths=paths.split(annotation) if isinstance(annotation, str) else (),
    )


def of(declared: Iterable[Declared], overlay: Overlay) -> Declared | None:
    """The first Application one of whose sources is the overlay's folder."""
    return next((found for found in declared if overlay.path in map(path_of, found.sources)), None)


def path_of(source: Source) -> str:
    """A source's path as overlays have theirs; empty for a source without one (a chart). The root is `.`."""
    return posixpath.normpath(source.path) if source.path else ""
