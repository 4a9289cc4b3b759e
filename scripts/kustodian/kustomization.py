"""Reads Kustomizations: what each refers to, and all that building one of them reads.

kustomize itself decides what a Kustomization means; this module only finds files. It is used to find a repository's
overlays, to start no plugin that an overlay does not ask for, to name the file that a resource comes from, and to
explain an error of kustomize in terms of the files at fault.

Fields as in https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
FUNCTION_ANNOTATION = "config.kubernetes.io/function"

_FOLDERS_OR_FILES = ("resources", "bases", "components")
_PLUGINS = ("generators", "transformers", "validators")
_FILES = ("crds", "configurations")
_FILES_IN_ITEMS = ("patches", "patchesJson6902", "replacements")
_DATA_GENERATORS = ("configMapGenerator", "secretGenerator")
_MOST_LINKS = 40
"""One after the other, as Linux has it."""
_FIELDS = {
    name.lower(): name
    for name in (
        *(*_FOLDERS_OR_FILES, *_PLUGINS, *_FILES, *_FILES_IN_ITEMS, *_DATA_GENERATORS),
        *("apiVersion", "kind", "patchesStrategicMerge", "openapi"),
    )
}


@dataclass(frozen=True)
class Kustomization:
    """One kustomization file. `document` is empty when the file does not parse; `problem` then says why."""

    directory: Path
    file: Path
    document: dict[str, Any] = field(compare=False)
    problem: str = ""

    @property
    def is_component(self) -> bool:
        return self.document.get("kind") == "Component"


@dataclass(frozen=True)
class Closure:
    """All that building one Kustomization reads from the disk, in the order in which it is met."""

    kustomizations: tuple[Kustomization, ...]
    resources: tuple[Path, ...]
    """Files of resources and of patches: where a rendered resource can come from."""
    plugins: tuple[dict[str, Any], ...]
    """The documents of generators, transformers and validators."""
    plugin_folders: tuple[Path, ...]
    """Folders among those, which kustomize builds before it takes their resources for plugins."""
    unread_plugins: tuple[str, ...]
    """Why a file of plugins could not be read, a line each: what is in it is not known."""
    inputs: tuple[Path, ...]
    """Everything else that is read: data of generators, encrypted files, schemas, the plugins' own files."""
    links: tuple[Path, ...]
    """The symbolic links on the way to all of these, which are named here by what the links lead to."""
    remote: tuple[str, ...]
    problems: tuple[str, ...]
    """What is missing or does not parse, a line each, naming the file that asks for it."""

    @cached_property
    def files(self) -> frozenset[Path]:
        return frozenset((*(k.file for k in self.kustomizations), *self.resources, *self.inputs))


def file_of(directory: Path) -> Path | None:
    """The kustomization file of a folder, if it has one. A folder that may not be entered has none."""
    return next((directory / name for name in FILE_NAMES if _is_file(directory / name)), None)


class Tree:
    """The Kustomizations of one repository, each read once. For one run: it does not see later changes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[Path, Kustomization] = {}

    def read(self, file: Path) -> Kustomization:
        """The Kustomization in `file`; a file that can't be read or parsed comes back with its `problem`."""
        if file not in self._read:
            documents, problem = load_yaml(file)
            document: Any = documents[0] if documents else {}
            if not problem and not isinstance(document, dict):
                document, problem = {}, "must be a mapping"
            self._read[file] = Kustomization(file.parent, file, _canonical(document or {}), problem)
        return self._read[file]

    def closure(self, directory: Path, *, parse_resources: bool = False) -> Closure:
        """What building `directory` reads. `parse_resources` also reports resource files that do not parse."""
        walk = _Walk(self, parse_resources)
        walk.folder(directory, asked_by=None)
        return Closure(
            tuple(walk.kustomizations.values()),
            tuple(dict.fromkeys(walk.resources)),
            tuple(walk.plugins),
            tuple(dict.fromkeys(walk.plugin_folders)),
            tuple(dict.fromkeys(walk.unread_plugins)),
            tuple(dict.fromkeys(walk.inputs)),
            tuple(dict.fromkeys(walk.links)),
            tuple(dict.fromkeys(walk.remote)),
            tuple(dict.fromkeys(walk.problems)),
        )

    def folders_referred_to(self, kustomization: Kustomization) -> Iterator[Path]:
        """The local folders that a Kustomization builds on, those of its plugins among them."""
        for key in (*_FOLDERS_OR_FILES, *_PLUGINS):
            for entry in _strings(kustomization.document.get(key)):
                path = kustomization.directory / entry
                if "://" not in entry and _is_folder(path):
                    yield path.resolve()

    def name(self, path: Path) -> str:
        """A path as messages show it: relative to the repository where it lies inside."""
        try:
            return path.relative_to(self.root).as_posix() or "."
        except ValueError:
            return str(path)


def _canonical(document: dict[Any, Any]) -> dict[str, Any]:
    """The document with the fields that are looked at here as they are written here; kustomize ignores their case."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        field_name = _FIELDS.get(str(key).lower(), str(key))
        before = found.get(field_name)
        # Which of two counts is not known.
        found[field_name] = before + value if isinstance(before, list) and isinstance(value, list) else value
    return found


def load_yaml(file: Path) -> tuple[list[Any], str]:
    """The documents of a YAML file, and in one line why it can't be read (or an empty string)."""
    try:
        return _documents(file.read_bytes())
    except OSError as error:
        return [], error.strerror or str(error)


def _documents(text: bytes | str) -> tuple[list[Any], str]:
    import yaml

    try:
        return list(yaml.load_all(text, Loader=yaml.CSafeLoader)), ""
    # Not only YAMLError: PyYAML takes `2024-13-01`, bytes that are not UTF-8, `!!bool x` and `!!timestamp x` otherwise.
    except (yaml.YAMLError, ValueError, KeyError, AttributeError) as error:
        return [], yaml_problem(error)


def yaml_problem(error: Exception) -> str:
    """A YAML error in one line with its place, and without the text around it (which may be secret)."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    what = getattr(error, "problem", None) or type(error).__name__
    return f"not YAML: {where}{what.partition(' for the tag ')[0]}"  # a tag may be a password that starts with `!`


def is_inline(entry: str) -> bool:
    """Whether an entry of a Kustomization is a document written into it, and not the path of one."""
    return "\n" in entry or entry.lstrip().startswith("{")


class _Walk:
    def __init__(self, tree: Tree, parse_resources: bool, inside: tuple[Path, ...] = ()) -> None:
        self.inside = inside
        """The folders of plugins that this walk is in, so that a circle of them ends."""
        self.tree = tree
        self.parse_resources = parse_resources
        self.kustomizations: dict[Path, Kustomization] = {}
        self.resources: list[Path] = []
        self.plugins: list[dict[str, Any]] = []
        self.plugin_folders: list[Path] = []
        self.unread_plugins: list[str] = []
        self.inputs: list[Path] = []
        self.links: list[Path] = []
        self.remote: list[str] = []
        self.problems: list[str] = []

    def folder(self, directory: Path, asked_by: Kustomization | None) -> None:
        directory = self._resolved(directory)
        if directory in self.kustomizations:
            return
        file = file_of(directory)
        if file is None:
            asked = f"{self.tree.name(asked_by.file)}: " if asked_by else ""
            what = "has no kustomization.yaml" if _may_enter(directory) else "can't be entered: Permission denied"
            self.problems.append(f"{asked}{self.tree.name(directory)} {what}")
            return
        found = self.tree.read(file)
        self.kustomizations[directory] = found
        self.inputs += [self._resolved(file)] if file.is_symlink() else []
        if found.problem:
            self._unread(f"{self.tree.name(file)}: {found.problem}")
        for key in _FOLDERS_OR_FILES:
            for entry in _strings(found.document.get(key)):
                self._resource(found, key, entry)
        for key, entry in _resource_files(found.document):
            self._file(found, key, entry, self.resources)
        for key, entry in _input_files(found.document):
            self._file(found, key, entry, self.inputs)
        for key in _PLUGINS:
            for entry in _strings(found.document.get(key)):
                self._plugin(found, key, entry)

    def _resolved(self, path: Path) -> Path:
        """What a path leads to; the links on the way are noted."""
        resolved, plain = path.resolve(), Path(os.path.normpath(path))
        for _link in range(_MOST_LINKS):
            if plain == resolved:
                break
            link = next((step for step in (*reversed(plain.parents), plain) if step.is_symlink()), None)
            if link is None:
                break
            self.links.append(link)
            plain = Path(os.path.normpath(link.parent / link.readlink() / plain.relative_to(link)))
        return resolved

    def _resource(self, by: Kustomization, key: str, entry: str) -> None:
        path = by.directory / entry
        if "://" not in entry and _is_folder(path):
            self.folder(path, asked_by=by)
        elif "://" not in entry and _is_file(path):
            self.resources.append(self._resolved(path))
            if self.parse_resources:
                self._parse(path)
        elif _is_remote(entry):
            self.remote.append(entry)
        else:
            self.problems.append(f"{self.tree.name(by.file)}: {key}: {entry} does not exist")

    def _file(self, by: Kustomization, key: str, entry: str, into: list[Path]) -> None:
        path = by.directory / entry
        if _is_file(path):
            into.append(self._resolved(path))
        elif _is_remote(entry):
            self.remote.append(entry)
        else:
            self.problems.append(f"{self.tree.name(by.file)}: {key}: {entry} does not exist")

    def _plugin(self, by: Kustomization, key: str, entry: str) -> None:
        if "\n" in entry or "{" in entry:  # kustomize looks first whether it is a document, wherever its brace stands
            documents, problem = _documents(entry)
            if problem:
                self._unread(f"{self.tree.name(by.file)}: {key}: {problem}")
            if problem or any(isinstance(document, dict) for document in documents):
                self._plugin_documents(by.directory, documents)
                return
        path = by.directory / entry
        if _is_folder(path):
            self._plugin_folder(self._resolved(path), asked_by=by)
            return
        self._file(by, key, entry, self.inputs)
        if _is_file(path):
            self._plugin_documents(by.directory, self._plugin_file(path))

    def _plugin_folder(self, folder: Path, asked_by: Kustomization) -> None:
        # kustomize builds the folder and takes what comes out for plugins: it holds them as resources. The walk is one
        # of its own, because the folder may be among the resources as well.
        self.plugin_folders.append(folder)
        if folder in self.inside:
            return
        below = _Walk(self.tree, self.parse_resources, (*self.inside, folder))
        below.folder(folder, asked_by)
        self.kustomizations |= {k: v for k, v in below.kustomizations.items() if k not in self.kustomizations}
        self.resources += below.resources
        self.plugins += below.plugins
        self.plugin_folders += below.plugin_folders
        self.unread_plugins += below.unread_plugins
        self.inputs += below.inputs
        self.links += below.links
        self.remote += below.remote
        self.problems += below.problems
        for file in dict.fromkeys(below.resources):
            self._plugin_documents(file.parent, self._plugin_file(file))

    def _plugin_file(self, path: Path) -> list[Any]:
        documents, problem = load_yaml(path)
        if problem:
            self._unread(f"{self.tree.name(path)}: {problem}")
        return documents

    def _unread(self, problem: str) -> None:
        self.problems.append(problem)
        self.unread_plugins.append(problem)

    def _plugin_documents(self, base: Path, documents: Iterable[object]) -> None:
        for document in documents:
            if isinstance(document, dict):
                self.plugins.append(document)
                self.inputs += [self._resolved(path) for path in _ksops_inputs(base, document) if _is_file(path)]

    def _parse(self, path: Path) -> list[Any]:
        documents, problem = load_yaml(path)
        if problem:
            self.problems.append(f"{self.tree.name(path)}: {problem}")
        return documents


def _resource_files(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Patches and replacements: each field with the path that it names."""
    for entry in _strings(document.get("patchesStrategicMerge")):
        if not is_inline(entry):
            yield "patchesStrategicMerge", entry
    for key in _FILES_IN_ITEMS:
        for item in _mappings(document.get(key)):
            if isinstance(path := item.get("path"), str):
                yield key, path


def _input_files(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Data of generators, and what teaches kustomize about kinds."""
    for key in _FILES:
        for entry in _strings(document.get(key)):
            yield key, entry
    for key in _DATA_GENERATORS:
        for item in _mappings(document.get(key)):
            for entry in (*_strings(item.get("files")), *_strings(item.get("envs")), *_strings(item.get("env"))):
                yield key, entry.split("=", 1)[-1]
    openapi = document.get("openapi")
    if isinstance(openapi, dict) and isinstance(path := openapi.get("path"), str):
        yield "openapi", path


def _ksops_inputs(base: Path, document: dict[str, Any]) -> Iterator[Path]:
    entries = [*_strings(document.get("files"))]
    for item in _mappings(document.get("secretFrom")):
        for key in ("files", "binaryFiles", "envs"):
            entries += [entry.split("=", 1)[-1] for entry in _strings(item.get(key))]
    for entry in entries:
        yield base / entry


def _is_file(path: Path) -> bool:
    # pathlib raises for a name that is too long and for a folder that may not be entered.
    with contextlib.suppress(OSError):
        return path.is_file()
    return False


def _may_enter(directory: Path) -> bool:
    try:
        (directory / FILE_NAMES[0]).stat()
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.is_dir()
    return False


def _is_remote(entry: str) -> bool:
    # kustomize's own rule is long (api/internal/git/repospec.go); these are its common forms.
    return (
        "://" in entry
        or entry.startswith(("git@", "git::", "github.com/", "gitlab.com/", "bitbucket.org/"))
        or ("?ref=" in entry or "//" in entry)
    )


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
