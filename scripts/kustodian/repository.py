"""A repository: its root, its settings, its overlays."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from kustodian import kustomization, settings
from kustodian.errors import RepositoryError, UsageError
from kustodian.kustomization import Tree

_ROOT_MARKS = ((settings.FILE, ".git"), ("overlays",), (".sops.yaml",))
"""What marks a root, the surest first: `overlays` and `.sops.yaml` may lie in any folder."""
_LEFT_OUT = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True)
class Overlay:
    """A Kustomization that is rendered for its own sake."""

    path: str
    """Repository-relative, with `/`; `.` for the repository's own root."""
    directory: Path

    @property
    def environment(self) -> str:
        """The folder's name, by which `--env` selects it."""
        return PurePosixPath(self.path).name or self.directory.name

    def file_name(self, suffix: str = ".yaml") -> PurePosixPath:
        """Where its render goes, relative to the output folder."""
        return PurePosixPath(("root" if self.path == "." else self.path) + suffix)


@dataclass(frozen=True)
class Repository:
    root: Path
    settings: settings.Settings

    @staticmethod
    def open(path: Path) -> Repository:
        """The repository whose root is `path`. Raises `UsageError`, `RepositoryError`."""
        if not path.is_dir():
            raise UsageError(f"{path} is not a folder", hint="--repo takes the root of a repository")
        root = path.resolve()
        return Repository(root, settings.load(root))

    @staticmethod
    def discover(start: Path) -> Repository:
        """The repository around `start`: the nearest folder upwards with the surest mark, else `start` itself."""
        start = start.resolve()
        for marks in _ROOT_MARKS:
            for folder in (start, *start.parents):
                if any((folder / mark).exists() for mark in marks):
                    return Repository.open(folder)
        return Repository.open(start)

    @cached_property
    def tree(self) -> Tree:
        return Tree(self.root)

    @cached_property
    def demo_keys(self) -> tuple[Path, ...]:
        return tuple(self.root / path for path in self.settings.demo_keys)

    @cached_property
    def overlays(self) -> tuple[Overlay, ...]:
        """Every overlay, by path. Raises `UsageError` when `kustodian.yaml` names a folder that is not there."""
        folders: list[Path] = []
        for pattern in self.settings.overlays:
            found = self._folders_at(pattern)
            if not found and "overlays" in self.settings.declared:
                raise UsageError(f"{settings.FILE}: `overlays`: no folder is at {pattern}")
            folders += found
        kustomizations = list(self._kustomizations(folders or [self.root], linked=bool(folders)))
        built_on = {found.directory.resolve(): set(self.tree.folders_referred_to(found)) for found in kustomizations}
        referred = set().union(*built_on.values())
        direct = {child for folder in folders for child in (folder, *_children(folder))}
        tops = {
            found.directory
            for found in kustomizations
            if found.directory.resolve() not in referred or found.directory in direct
        }
        reached = _reachable(tops, built_on)
        # What is left refers to each other in a circle. Its first stands for it, so that the circle is told.
        for directory in sorted(found.directory for found in kustomizations if not found.is_component):
            if directory.resolve() not in reached:
                tops.add(directory)
                reached |= _reachable([directory], built_on)
        return tuple(
            self.overlay_at(found.directory)
            for found in kustomizations
            if not found.is_component and found.directory in tops
        )

    def _folders_at(self, pattern: str) -> list[Path]:
        if PurePosixPath(pattern) == PurePosixPath():  # the root itself, which glob() can't be asked for
            return [self.root]
        try:
            return sorted(path for path in self.root.glob(pattern) if path.is_dir())
        except ValueError as error:
            raise UsageError(f"{settings.FILE}: `overlays`: {pattern}: {error}") from None

    def overlay_at(self, directory: Path) -> Overlay:
        """The overlay in any folder, inside the repository or not."""
        directory = Path(os.path.normpath(directory.absolute()))
        try:
            path = directory.relative_to(self.root).as_posix()
        except ValueError:
            resolved = directory.resolve()
            path = resolved.relative_to(self.root).as_posix() if resolved.is_relative_to(self.root) else resolved.name
        return Overlay(path, directory)

    def select(self, *, environments: Iterable[str], every: bool, roots: Iterable[Path]) -> tuple[Overlay, ...]:
        """The overlays that a command asks for, each once, in the order asked. Raises `UsageError`."""
        environments, roots = list(environments), list(roots)
        if every:
            if environments:
                raise UsageError("--all and --env contradict each other", hint="give one of them")
            if not self.overlays:
                raise UsageError(f"{self.root} has no Kustomization to build")
            return tuple(dict.fromkeys((*self.overlays, *(self._root(path) for path in roots))))
        if not environments and not roots:
            raise UsageError("nothing to do: no overlay was named", hint=f"give --env NAME or --all; {self._known()}")
        named = [overlay for name in environments for overlay in self._named(name)]
        return tuple(dict.fromkeys((*named, *(self._root(path) for path in roots))))

    def _root(self, path: Path) -> Overlay:
        if not path.is_dir():
            raise UsageError(f"--root {path}: no such folder")
        return self.overlay_at(path)

    def _named(self, name: str) -> list[Overlay]:
        name = str(PurePosixPath(name)) if name else ""  # `overlays/a/` is what a shell completes
        found = [
            overlay for overlay in self.overlays if name in (overlay.environment, overlay.path)
        ] or self._folder_named(name)
        if found:
            return found
        names = sorted({overlay.environment for overlay in self.overlays})
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else self._known()
        raise UsageError(f"no environment is called {name!r}", hint=hint)

    def _folder_named(self, name: str) -> list[Overlay]:
        # A folder without a kustomization is no overlay, but whoever names it deserves to be told what it lacks.
        if name in ("", "..") or PurePosixPath(name).name != name:
            return []
        folders = [self.root / pattern / name for pattern in self.settings.overlays if not set("*?[") & set(pattern)]
        return [self.overlay_at(folder) for folder in folders if folder.is_dir()]

    def _known(self) -> str:
        names = sorted({overlay.environment for overlay in self.overlays})
        return f"there are: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}" if names else "there are none"

    def _kustomizations(self, folders: Iterable[Path], *, linked: bool) -> Iterator[kustomization.Kustomization]:
        """Those in the folders and below; if `linked`, also those in folders that are symbolic links right in them."""
        seen: set[Path] = set()
        for top in folders:
            found: list[Path] = []
            for current, children, files in os.walk(top):
                children[:] = [child for child in children if child not in _LEFT_OUT and not child.startswith(".")]
                directory = Path(current)
                links = [directory / child for child in children if linked and directory == top]
                found += [file for link in links if link.is_symlink() and (file := kustomization.file_of(link))]
                found += [directory / name for name in kustomization.FILE_NAMES if name in files][:1]
            for file in sorted(found, key=lambda file: file.parent):
                if file.parent not in seen:
                    seen.add(file.parent)
                    yield self.tree.read(file)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise RepositoryError(f"{folder}: can't read it: {error.strerror}") from None


def _reachable(start: Iterable[Path], built_on: Mapping[Path, set[Path]]) -> set[Path]:
    """The folders at `start` and all that they build on."""
    reached: set[Path] = set()
    waiting = [directory.resolve() for directory in start]
    while waiting:
        directory = waiting.pop()
        if directory not in reached:
            reached.add(directory)
            waiting += built_on.get(directory, ())
    return reached
