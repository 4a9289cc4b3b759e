"""`argocd.argoproj.io/manifest-generate-paths`: which folders and files an overlay reads.

Argo CD renders an Application anew when a commit changes one of these paths, and takes what it rendered before where
none is changed. A path that is missing means a change that is never deployed; one too many, a render for nothing. What
a path covers is as in Argo CD's `util/app/path/path.go` (`GetSourceRefreshPaths`, `AppFilesHaveChanged`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from kustodian.kustomization import Closure
from kustodian.repository import Overlay, Repository

ANNOTATION = "argocd.argoproj.io/manifest-generate-paths"
_SEPARATOR = ";"
_ROOT = PurePosixPath()


def split(annotation: str) -> tuple[str, ...]:
    """The paths of an annotation's value."""
    return tuple(filter(None, (item.strip() for item in annotation.split(_SEPARATOR))))


def join(paths: Iterable[str]) -> str:
    """An annotation's value."""
    return _SEPARATOR.join(paths)


def absolute(path: str, source: str) -> str:
    """A path of the annotation from the repository's root, with a leading `/`; others start at the source's path."""
    return path if path.startswith("/") else f"/{posixpath.normpath(posixpath.join(source, path))}"


def covers(path: str, file: str) -> bool:
    """Whether a change of `file` (repository-relative) is one of `path` (with a leading `/`): of the file itself, of
    something in that folder, or of something that a pattern fits, in which no `*` stands for a `/`.
    """
    file = f"/{file}"
    if file == path:
        return True
    folder, parent = _clean(path), posixpath.dirname(file)
    if folder in ("/", parent) or parent.startswith(f"{folder}/"):
        return True
    pattern = _pattern(path)
    return bool(pattern and pattern.fullmatch(file))


def read(root: Path, closure: Closure) -> frozenset[str]:
    """The files that a render reads, and the symbolic links on the way to them; relative to the repository's root."""
    return frozenset(_relative(root, (*closure.files, *closure.links)))


def cover(repository: Repository, overlay: Overlay, closure: Closure) -> tuple[str, ...]:
    """The fewest paths that cover all that rendering the overlay reads: folders of Kustomizations, and single files.

    A Kustomization's folder is taken whole, since kustomize lets it read files there and below only, so that a new file
    needs no new path. But not the repository's root, and not a folder in which another overlay lies: there, each file
    by itself.
    """
    folders = {overlay.path, *_relative(repository.root, (found.directory for found in closure.kustomizations))}
    others = [other.path for other in repository.overlays if other.path not in folders]
    whole = [
        folder for folder in folders if folder != "." and not any(other.startswith(f"{folder}/") for other in others)
    ]
    found = {_writable(PurePosixPath(path)) for path in (*whole, *read(repository.root, closure))}
    return tuple(sorted(f"/{path if path != _ROOT else ''}" for path in found if not found.intersection(path.parents)))


def _relative(root: Path, paths: Iterable[Path]) -> Iterable[str]:
    return (path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root))


def _writable(path: PurePosixPath) -> PurePosixPath:
    """The path, or the nearest folder above it that the annotation has a way to write."""
    while _SEPARATOR in str(path) or str(path) != str(path).strip():
        path = path.parent
    return path


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


@cache
def _pattern(path: str) -> re.Pattern[str] | None:
    """The expression of a pattern as Go's `filepath.Match` reads it; nothing for a path that is none, or malformed."""
    if not set("*?[\\") & set(path):
        return None
    found, place = "", 0
    while place < len(path):
        character = path[place]
        place += 1
        if character == "[":
            end = path.find("]", place + 1)
            if end < 0:
                return None
            inside = path[place:end].replace("[", r"\[").replace("&&", r"&\&").replace("||", r"|\|")
            found += f"[{inside}]"
            place = end + 1
        elif character == "\\":
            if place == len(path):
                return None
            found += re.escape(path[place])
            place += 1
        else:
            found += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
    try:
        return re.compile(found, re.DOTALL)
    except re.error:
        return None
