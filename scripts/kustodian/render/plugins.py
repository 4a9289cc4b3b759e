"""Says whether an overlay asks for our generator, and refuses one that would start any other program.

kustomize's plugins are switched on for a whole build: what else is a plugin in it would run as well, and a render must
not run code that a commit brings along. So every plugin is held to the one function that is allowed, in every place
where kustomize looks for functions (kyaml's `fn/runtime/runtimeutil`), before kustomize is started.
What a remote folder brings can't be seen before kustomize has fetched it, so that it is refused beside our generator
unless the repository trusts it (`trustRemoteBases` in kustodian.yaml). A remote *file* holds resources and no plugins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kustodian.errors import RenderError
from kustodian.kustomization import FUNCTION_ANNOTATION, Closure, Tree
from kustodian.resource import split
from kustodian.secrets import ksops

_ANNOTATIONS = (FUNCTION_ANNOTATION, "config.k8s.io/function")
_CONTAINER = "config.kubernetes.io/container"
_PROGRAM = "ksops"
_HINT = "only `path: ksops` is started: a render must not run code that a commit brings along"

_REMOTE_FILE = re.compile(r"https?://[^?#]+\.(ya?ml|json)")

_LISTING = frozenset({"apiVersion", "kind", "metadata", "resources"})
"""Fields of a Kustomization that leave the resources as they stand in their files."""


def needed(
    path: str, closure: Closure, tree: Tree, build: Callable[[Path], bytes], *, trust_remote: bool = False
) -> bool:
    """Whether the overlay at `path` needs plugins. `build` is kustomize without plugins, for a folder of them.

    Raises `RenderError` if one of them is, or may be, something else than our generator.
    """
    ours = _all_ours(path, closure.plugins)
    if not ours:
        return False
    folders = [entry for entry in closure.remote if not _REMOTE_FILE.fullmatch(entry)]
    if folders and not trust_remote:
        raise RenderError(
            f"{path}: the remote base {folders[0]} beside a secrets generator could start programs of its own",
            hint="copy it into the repository, or say `trustRemoteBases: true` in kustodian.yaml",
        )
    if closure.unread_plugins:
        raise RenderError(f"{path}: {closure.unread_plugins[0]}", hint=_HINT)
    for folder in closure.plugin_folders:
        # A patch there could make another program of what stands in the files.
        below = tree.closure(folder)
        if below.remote or any(not _LISTING.issuperset(found.document) for found in below.kustomizations):
            _all_ours(path, (resource.document for resource in split(build(folder))))
    return True


def _all_ours(path: str, documents: Iterable[dict[str, Any]]) -> bool:
    ours = False
    for document in _flattened(documents):
        functions = list(_functions(document))
        for function in functions:
            if function is None or set(function) != {"exec"}:
                raise RenderError(f"{path}: the plugin {_name(document)} is another function than ksops", hint=_HINT)
            execution = function["exec"]
            program = execution.get("path") if isinstance(execution, dict) else None
            if program != _PROGRAM:
                raise RenderError(f"{path}: the plugin {_name(document)} starts the program {program!r}", hint=_HINT)
        ours = ours or bool(functions) or ksops.is_ksops(document)
    return ours


def _functions(document: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Each function that a document declares; None for one that can't be read."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict):
        yield from (_read(annotations[key]) for key in _ANNOTATIONS if annotations.get(key))
        if annotations.get(_CONTAINER):
            yield None
    if function := metadata.get("configFn"):
        yield function if isinstance(function, dict) else None


def _read(text: object) -> dict[str, Any] | None:
    import yaml

    try:
        function = yaml.load(str(text), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, KeyError, AttributeError):
        return None  # kustomize's reader may take it: it stops at a second document, say
    return function if isinstance(function, dict) else None


def _flattened(documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The documents, and the items of those that are a `List`, as kustomize takes them."""
    for document in documents:
        yield document
        items = document.get("items")
        if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
            yield from _flattened(item for item in items if isinstance(item, dict))


def _name(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    return f"{document.get('kind')}/{metadata.get('name') if isinstance(metadata, dict) else None}"
