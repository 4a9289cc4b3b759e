"""Whether the Applications that the repository declares fit its overlays.

Each follows a Kustomization that is there, names all that it reads (or a change is not deployed) and nothing else (or
it renders for nothing), and goes to the namespace that the overlay sets; and each overlay is followed by one.

One with hooks names no paths: with them, Argo CD takes a commit that arrives while another is being synced for a
repair, and a repair runs no hooks (https://github.com/argoproj/argo-cd/issues/22795; recorded of v3.6.1 in
tests/unit/argocd/recorded). Rendering once too often is cheaper than a migration that never ran.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kustodian import kustomization, locate
from kustodian.argocd import declared, paths
from kustodian.argocd.declared import Declared
from kustodian.console import some
from kustodian.finding import Finding
from kustodian.kustomization import Closure
from kustodian.render import Renderer
from kustodian.repository import Overlay, Repository

ARGOCD = "argocd"

_ANNOTATION = "/metadata/annotations/" + paths.ANNOTATION.replace("/", "~1")
_HOOK = re.compile(rb"argocd\.argoproj\.io/hook[\"']?\s*:")
_SOME = 3
"""How many of many files a message names."""


def check(renderer: Renderer) -> list[Finding]:
    """Findings over the declared Applications; none where the repository declares none.

    Raises `RenderError`, `ToolTimeout`, `Interrupted`.
    """
    repository = renderer.repository
    folder = repository.settings.argocd_applications
    if not folder:
        return []
    applications = declared.read(renderer)
    checks = _Checks(repository, folder, repository.tree.closure(repository.root / folder), applications)
    return [*(finding for found in applications for finding in checks.application(found)), *checks.not_followed()]


@dataclass(frozen=True)
class _Followed:
    """A source of an Application that is an overlay here, and what that reads."""

    source: str
    overlay: Overlay
    closure: Closure


@dataclass(frozen=True)
class _Checks:
    repository: Repository
    folder: str
    closure: Closure
    """Of the Kustomization that renders the Applications."""
    applications: Sequence[Declared]

    def application(self, found: Declared) -> Iterator[Finding]:
        followed: list[_Followed] = []
        for number, source in enumerate(found.sources):
            if not source.path or source.repo_url not in self._own:
                continue
            directory = self.repository.root / declared.path_of(source)
            if wrong := self._no_overlay(directory):
                pointer = "/spec/source/path" if len(found.sources) == 1 else f"/spec/sources/{number}/path"
                mend = "name the folder of an overlay; where an overlay moves, its Application follows"
                yield self._finding(found, pointer, f"path {source.path}: {wrong}", mend)
                continue
            overlay = self.repository.overlay_at(directory)
            followed.append(_Followed(declared.path_of(source), overlay, self.repository.tree.closure(directory)))
        if followed:
            yield from self._paths(found, followed)
            yield from self._namespace(found, followed)

    def not_followed(self) -> Iterator[Finding]:
        """The overlays that no Application brings into a cluster."""
        sources = {declared.path_of(source) for found in self.applications for source in found.sources}
        for overlay in self.repository.overlays:
            file = kustomization.file_of(overlay.directory)
            if file and overlay.path not in sources:
                closure = self.repository.tree.closure(overlay.directory)
                value = "" if _hook_in(closure) else paths.join(paths.cover(self.repository, overlay, closure))
                annotated = f" and `{paths.ANNOTATION}: {value}`" if value else ""
                yield Finding(
                    ARGOCD,
                    "no Application follows this overlay, so nothing deploys it",
                    file=self.repository.tree.name(file),
                    line=1,
                    overlay=overlay.path,
                    mend=f"add one to {self.folder}/ with `path: {overlay.path}`{annotated}",
                )

    @cached_property
    def _own(self) -> set[str]:
        """The addresses of this repository: it does not know them, but some Application has a path in it."""
        return {
            source.repo_url
            for found in self.applications
            for source in found.sources
            if source.path and not self._no_overlay(self.repository.root / declared.path_of(source))
        }

    def _no_overlay(self, directory: Path) -> str:
        """Why a folder can't be an Application's; nothing if it can."""
        if not directory.resolve().is_relative_to(self.repository.root) or not directory.is_dir():
            return "no such folder in this repository"
        file = kustomization.file_of(directory)
        if file is None:
            return "that folder has no kustomization.yaml"
        is_component = self.repository.tree.read(file).is_component
        return "that is a Component, which can't be rendered alone" if is_component else ""

    def _paths(self, found: Declared, followed: Sequence[_Followed]) -> Iterator[Finding]:
        if hook := next((file for one in followed if (file := _hook_in(one.closure))), None):
            if found.paths:
                message = (
                    f"with {paths.ANNOTATION} a commit that arrives during a sync is synced without its hooks, "
                    f"and there are some: {self.repository.tree.name(hook)}"
                )
                mend = "remove the annotation (https://github.com/argoproj/argo-cd/issues/22795)"
                yield self._finding(found, _ANNOTATION, message, mend)
            return
        wanted = sorted({path for one in followed for path in paths.cover(self.repository, one.overlay, one.closure)})
        if not found.paths:
            message = f"without {paths.ANNOTATION} every commit renders it anew"
            yield self._finding(found, "", message, f"add {paths.ANNOTATION}: {paths.join(wanted)}")
            return
        mend = f"set it to: {paths.join(wanted)}"
        used: set[str] = set()
        for one in followed:
            read = paths.read(self.repository.root, one.closure)
            given = {path: paths.absolute(path, one.source) for path in found.paths}
            used |= {path for path, place in given.items() if any(paths.covers(place, file) for file in read)}
            if missed := sorted(file for file in read if not any(paths.covers(path, file) for path in given.values())):
                message = f"{paths.ANNOTATION} misses what {one.overlay.path} reads, so a change of it is not deployed"
                yield self._finding(found, _ANNOTATION, f"{message}: {some(missed, _SOME)}", mend)
            for path, place in given.items():
                if place not in wanted and (other := self._taken_in(place, followed)):
                    message = f"{paths.ANNOTATION}: {path} takes in {other}, which {one.overlay.path} does not read"
                    yield self._finding(found, _ANNOTATION, message, mend)
        for path in found.paths:
            if path not in used:
                message = f"{paths.ANNOTATION}: nothing that it renders reads {path}"
                yield self._finding(found, _ANNOTATION, message, mend)

    def _taken_in(self, path: str, followed: Sequence[_Followed]) -> str:
        """Another overlay in a path, that none of these reads."""
        read = {found.directory for one in followed for found in one.closure.kustomizations}
        for other in self.repository.overlays:
            file = kustomization.file_of(other.directory)
            if file and other.directory.resolve() not in read and paths.covers(path, self.repository.tree.name(file)):
                return other.path
        return ""

    def _namespace(self, found: Declared, followed: Iterable[_Followed]) -> Iterator[Finding]:
        for one in followed:
            own = one.closure.kustomizations[0].document.get("namespace")
            if isinstance(own, str) and own and own != found.destination_namespace:
                yield self._finding(
                    found,
                    "/spec/destination/namespace",
                    f"goes to the namespace {found.destination_namespace or '(none)'}, "
                    f"but {one.overlay.path} renders into {own}",
                    f"set destination.namespace to {own}",
                )

    def _finding(self, found: Declared, pointer: str, message: str, mend: str) -> Finding:
        place = locate.resource(self.closure, "Application", found.name, pointer)
        return Finding(
            ARGOCD,
            message,
            resource=str(found),
            file=self.repository.tree.name(place[0]) if place else "",
            line=place[1] if place else 0,
            mend=mend,
        )


def _hook_in(closure: Closure) -> Path | None:
    """A file of resources that declares a hook, if there is one."""
    for file in closure.resources:
        try:
            if _HOOK.search(file.read_bytes()):
                return file
        except OSError:  # the render of the overlay says so
            continue
    return None
