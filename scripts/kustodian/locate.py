"""Names the file that a rendered resource, or one of its fields, comes from, where that can be known.

kustomize does not say. The files that it read are known, though: the one that sets the field in a document of the same
kind and name is the answer, patches before the resource itself because they are applied last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kustodian.errors import SecretsError
from kustodian.kustomization import Closure, Kustomization, is_inline
from kustodian.resource import without_hash
from kustodian.secrets import envelope

if TYPE_CHECKING:
    import yaml

Place = tuple[Path, int]
"""A file and a line in it, counted from 1; 0 where only the file is known."""


def declarations(closure: Closure, kind: str, name: str) -> list[Place]:
    """Every file that declares a resource of this kind and name; patches look the same and are among them."""
    return [
        (file, document.start_mark.line + 1)
        for file, document, inline in _documents_of(closure, kind, name)
        if not inline
    ]


def resource(closure: Closure, kind: str, name: str, pointer: str = "") -> Place | None:
    """Where the field at a JSON pointer of a resource is set; where the resource is declared if that is not found.

    Of several documents that set it the last one applied counts: the outermost Kustomization's, and there a patch
    rather than the resource.
    """
    keys = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    outermost = closure.kustomizations[0].directory if closure.kustomizations else Path()
    declared: Place | None = None
    setting: list[tuple[bool, Place]] = []
    for file, document, inline in _documents_of(closure, kind, name):
        if declared is None and not inline:
            declared = file, document.start_mark.line + 1
        depth, node = _descend(document, keys)
        if keys and depth == len(keys):
            setting.append((file.is_relative_to(outermost), (file, 0 if inline else node.start_mark.line + 1)))
    return max(reversed(setting), key=lambda found: found[0])[1] if setting else declared


def config_key(closure: Closure, directory: Path, key: str) -> Place | None:
    """The line that sets `key` in a generator's file: the overlay's own, else the only one that there is."""
    pattern = re.compile(rb"^[ \t]*(?:export[ \t]+)?" + re.escape(key.encode()) + rb"[ \t]*=", re.MULTILINE)
    found: list[Place] = []
    for path in closure.inputs:
        try:
            text = path.read_bytes()
        except OSError:
            continue
        match = pattern.search(text)
        if match:
            found.append((path, text.count(b"\n", 0, match.start()) + 1))
    own = [place for place in found if place[0].is_relative_to(directory)]
    return own[0] if own else (found[0] if len(found) == 1 else None)


def _documents_of(closure: Closure, kind: str, name: str) -> list[tuple[Path, yaml.Node, bool]]:
    """The documents of a rendered resource: of its kind, and of the name that is most like its own.

    A prefix or a suffix of a Kustomization, and a content hash, stand around the name that a file has.
    """
    bare = without_hash(name)
    found = []
    for file, document, inline in _documents(closure):
        own = envelope.scalar(document, "metadata", "name")
        if own and envelope.scalar(document, "kind") == kind and (own == name or own in bare):
            found.append((len(own), (file, document, inline)))
    longest = max((length for length, _document in found), default=0)
    return [document for length, document in found if length == longest]


def _documents(closure: Closure) -> Iterator[tuple[Path, yaml.Node, bool]]:
    for path in closure.resources:
        try:
            for document in envelope.compose(path.read_bytes(), path.name):
                yield path, document, False
        except (OSError, SecretsError):
            continue
    for kustomization in closure.kustomizations:
        for text in _inline_patches(kustomization):
            try:
                for document in envelope.compose(text.encode(), kustomization.file.name):
                    yield kustomization.file, document, True
            except SecretsError:
                continue


def _inline_patches(kustomization: Kustomization) -> Iterator[str]:
    for item in kustomization.document.get("patches") or []:
        if isinstance(item, dict) and isinstance(item.get("patch"), str):
            yield item["patch"]
    for item in kustomization.document.get("patchesStrategicMerge") or []:
        if isinstance(item, str) and is_inline(item):
            yield item


def _descend(node: yaml.Node, keys: Sequence[str]) -> tuple[int, yaml.Node]:
    """How many of the keys lead to a node, and the last node reached."""
    import yaml

    for depth, key in enumerate(keys):
        below: yaml.Node | None = None
        if isinstance(node, yaml.SequenceNode):
            below = node.value[int(key)] if key.isdigit() and int(key) < len(node.value) else None
        elif isinstance(node, yaml.MappingNode):
            below = envelope.child(node, key)
        if below is None:
            return depth, node
        node = below
    return len(keys), node
