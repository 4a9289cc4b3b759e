"""What a change of the files does to the renders: of which overlays, between any two states that git holds.

Renders are sealed, so that no key is needed. A sealed value is a fingerprint of its *ciphertext*: two sealed renders
with the same bytes hold the same ciphertexts, and so the same secrets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from kustodian import pool, settings
from kustodian.argocd import paths
from kustodian.delivery.snapshot import Entry, Snapshot, entries
from kustodian.errors import Interrupted, KustodianError
from kustodian.render import Renderer
from kustodian.repository import Repository

Render = bytes | KustodianError
"""What became of rendering one overlay."""

_READ_BY_ALL = (".gitattributes", settings.FILE)
"""Names of files that can change how any other is checked out or rendered."""


@dataclass(frozen=True)
class Renders:
    """Renders of states of one repository, all made in the same folder, so that nothing differs by place."""

    snapshot: Snapshot
    renderer: Renderer
    """Of the working tree; its program is used."""
    _entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _closures: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    _made: dict[tuple[str, str], Render] = field(default_factory=dict)

    @property
    def prefix(self) -> PurePosixPath:
        """Where the repository lies in git's working tree."""
        return PurePosixPath(self.renderer.repository.root.relative_to(self.snapshot.git.top).as_posix())

    def path(self, overlay: str) -> str:
        """An overlay's folder as git names it."""
        return (self.prefix / overlay).as_posix()

    def show(self, tree: str) -> Repository:
        """The repository in a state, until the next one is shown. Raises `KustodianError` if it is none."""
        self.snapshot.show(tree)
        return Repository.open(self.snapshot.folder / self.prefix)

    def entries(self, tree: str) -> Mapping[str, Entry]:
        if tree not in self._entries:
            self._entries[tree] = entries(self.snapshot.git, tree)
        return self._entries[tree]

    def closures(self, tree: str) -> Mapping[str, frozenset[str]]:
        """The overlays of a state, each with all the files that its render reads; none if it is no repository."""
        if tree not in self._closures:
            try:
                repository = self.show(tree)
                self._closures[tree] = {
                    overlay.path: self._files(repository, overlay.directory) for overlay in repository.overlays
                }
            except Interrupted:
                raise
            except KustodianError:
                self._closures[tree] = {}
        return self._closures[tree]

    def settings(self, tree: str) -> settings.Settings:
        """The settings of a state; the default ones if its file can't be read."""
        try:
            return self.show(tree).settings
        except Interrupted:
            raise
        except KustodianError:
            return settings.Settings()

    def at(self, tree: str, overlays: Collection[str]) -> dict[str, Render | None]:
        """The overlays' renders in a state; None for one that it does not have."""
        there = self.closures(tree)
        missing = [path for path in overlays if path in there and (tree, path) not in self._made]
        if missing:
            repository = self.show(tree)
            renderer = Renderer(repository, self.renderer.kustomize)

            def render(path: str) -> Render:
                try:
                    return renderer.render(repository.overlay_at(repository.root / path))
                except Interrupted:
                    raise
                except KustodianError as error:
                    return error

            for position, made in pool.each(render, missing):
                self._made[tree, missing[position]] = made
        return {path: self._made[tree, path] if path in there else None for path in overlays}

    def reached(self, before: str, after: str) -> tuple[str, ...]:
        """The overlays that read, before or after, a file that differs: only their renders can differ.

        `before` is empty for nothing at all.
        """
        old = self.closures(before) if before else {}
        new = self.closures(after)
        changed = self.changed_files(before, after)
        every = any(PurePosixPath(path).name in _READ_BY_ALL for path in changed)
        return tuple(
            path
            for path in sorted(old.keys() | new.keys())
            if every or old.get(path) != new.get(path) or changed & (old.get(path, changed) | new.get(path, changed))
        )

    def changed_files(self, before: str, after: str) -> frozenset[str]:
        old: Mapping[str, Entry] = self.entries(before) if before else {}
        new = self.entries(after)
        return frozenset(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))

    def changed(self, before: str, after: str, overlays: Collection[str]) -> tuple[str, ...]:
        """Those of the overlays whose render differs: in a byte, or in that there is one."""
        new = self.at(after, overlays)  # first, because `reached` has left the folder there
        old: Mapping[str, Render | None] = self.at(before, overlays) if before else {}
        return tuple(path for path in overlays if not same(old.get(path), new[path]))

    def _files(self, repository: Repository, directory: Path) -> frozenset[str]:
        return paths.read(self.snapshot.folder, repository.tree.closure(directory))


def same(one: Render | None, other: Render | None) -> bool:
    """Whether two outcomes are alike: the same bytes, both no render, or both absent."""
    if isinstance(one, KustodianError) or isinstance(other, KustodianError):
        return isinstance(one, KustodianError) and isinstance(other, KustodianError)
    return one == other
