"""Checks of the files themselves, rendered or not: what must be encrypted is, and no Secret lies in the open.

Findings name file, line and key; never a value.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kustodian import process
from kustodian.errors import RepositoryError, SecretsError, task
from kustodian.finding import Finding
from kustodian.secrets import envelope, seal, sops

if TYPE_CHECKING:
    import yaml

ENCRYPTED = "encrypted"
PLAIN_SECRET = "plain-secret"  # noqa: S105  a rule's id

_MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
_LARGEST = 10 * 1024 * 1024
_SECRET = re.compile(rb"""kind["']?\s*:\s*[^\n]{0,60}?Secret""")
"""Only chooses the files that are parsed. The limit keeps it quick in a long line of JSON."""
_GENERATOR = re.compile(rb"secretGenerator")
_DEFINITION = re.compile(rb"CustomResourceDefinition")
_COVER = "encrypt it anew by a rule in .sops.yaml that covers it, such as encrypted_regex: ^(data|stringData)$"
_SECRET_FIELDS = ("data", "stringData")
_BUILTIN_GENERATOR = ("builtin", "SecretGenerator")
_NULL = "tag:yaml.org,2002:null"
_ENCRYPTED_NAME = re.compile(r".+\.sops\.(yaml|yml|json|env|ini)$")


def files(root: Path, ignore: Sequence[str]) -> list[Path]:
    """The repository's files: those that git tracks or would add. Without `ignore`d ones.

    Without git, or outside of a git repository: all that are not hidden and not in the output folder.
    Raises `RepositoryError` when git or the disk won't tell.
    """
    listed = _listed_by_git(root)
    if listed is None:
        listed = [path.relative_to(root).as_posix() for path in _walk(root)]
    kept = (name for name in sorted(filter(None, listed)) if not any(fnmatch(name, glob) for glob in ignore))
    try:
        return [path for name in kept if (path := root / name).is_file() and not path.is_symlink()]
    except OSError as error:
        raise _unreadable(error, root) from None


def _listed_by_git(root: Path) -> list[str] | None:
    if not shutil.which("git"):
        return None
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = process.run(command, cwd=root, timeout=60, env={**os.environ, "LC_ALL": "C"})
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "surrogateescape").split("\0")
    if "not a git repository" in done.error_text:
        return None
    reason = (done.error_text.splitlines() or ["it does not say why"])[0].removeprefix("fatal: ")
    raise RepositoryError(
        f"git can't list the files of {root}: {reason}",
        hint=f"for a folder of another owner: git config --global --add safe.directory {root}",
    )


def _unreadable(error: OSError, root: Path) -> RepositoryError:
    path = Path(error.filename or root)
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return RepositoryError(
        f"{name}: can't read it: {error.strerror}", hint="allow reading it, or list it under `ignore` in kustodian.yaml"
    )


def check(root: Path, paths: Sequence[Path]) -> tuple[list[Finding], list[dict[str, Any]]]:
    """Findings in the files, and the CustomResourceDefinitions met on the way (each file is read once).

    Raises `RepositoryError` for a file that can't be read.
    """
    findings: list[Finding] = []
    definitions: list[dict[str, Any]] = []
    for path in paths:
        encrypted = bool(_ENCRYPTED_NAME.match(path.name))
        if not encrypted and path.suffix.lower() not in _MANIFEST_SUFFIXES and path.name != "Kustomization":
            continue
        try:
            if path.stat().st_size > _LARGEST:
                continue
            text = path.read_bytes()
        except OSError as error:
            raise _unreadable(error, root) from None
        name = path.relative_to(root).as_posix()
        if encrypted:
            findings += _encrypted(text, name)
        elif _SECRET.search(text) or _GENERATOR.search(text):
            findings += _plain_secrets(text, name)
        if _DEFINITION.search(text):
            definitions += _definitions(path)
    return findings, definitions


def _encrypted(text: bytes, name: str) -> Iterator[Finding]:
    mend = f"change it with: {task(f'edit {name}')}; what was in the open must be replaced, because git keeps it"
    try:
        if not sops.is_encrypted(text, name):
            yield Finding(ENCRYPTED, "is not encrypted", file=name, mend=task(f"encrypt {name}"))
            return
        if envelope.format_of(name) not in ("yaml", "json"):
            values, by_hand = envelope.flat(text, name)
            for entry in by_hand:
                yield _by_hand(entry.path, name, entry.line, mend)
            if not by_hand:
                yield from _none_encrypted([entry.value for entry in values], name)
            return
        documents = envelope.compose(text, name)
        found: list[Finding] = []
        for document in documents:
            found += (of_document := list(_document(document, name, mend)))
            yield from of_document
        if not any(finding.line for finding in found):
            leaves = [leaf for document in documents for _path, leaf in envelope.leaves(document)]
            yield from _none_encrypted([leaf.value for leaf in leaves if leaf.tag != _NULL], name)
    except SecretsError as error:
        yield Finding(ENCRYPTED, error.message.removeprefix(f"{name}: "), file=name, mend=error.hint)


def _document(document: yaml.Node, name: str, mend: str) -> Iterator[Finding]:
    head = envelope.header(document, name)
    if not envelope.TOKEN.fullmatch(head.mac):
        yield Finding(ENCRYPTED, "has no MAC, so that a change to it can't be noticed", file=name, mend=mend)
    if not head.recipients:
        yield Finding(ENCRYPTED, "is encrypted for nobody", file=name, mend=mend)
    by_hand = set()
    for path, node in envelope.plain_values(document, head.rule):
        by_hand.add(node)
        yield _by_hand(path, name, node.start_mark.line + 1, mend)
    for _secret, path, node in _open_values(document):
        if node not in by_hand:
            yield _left_open(path, name, node.start_mark.line + 1)


def _by_hand(path: envelope.Path, name: str, line: int, mend: str) -> Finding:
    place = ".".join(path)
    return Finding(
        ENCRYPTED, f"`{place}` is in plain text though the file's rule encrypts it", file=name, line=line, mend=mend
    )


def _left_open(path: envelope.Path, name: str, line: int) -> Finding:
    place = ".".join(path)
    return Finding(
        ENCRYPTED,
        f"`{place}` of a Secret is in plain text, because the file's rule leaves it so",
        file=name,
        line=line,
        mend=f"{_COVER}; replace the value, because git keeps it",
    )


def _none_encrypted(values: Sequence[str], name: str) -> Iterator[Finding]:
    if any(values) and not any(envelope.TOKEN.fullmatch(value) for value in values):
        yield Finding(
            ENCRYPTED,
            "encrypts none of its values",
            file=name,
            mend=f"{_COVER}; replace what was secret, because git keeps it",
        )


def _plain_secrets(text: bytes, name: str) -> Iterator[Finding]:
    try:
        documents = envelope.compose(text, name)
    except SecretsError:
        return  # a template, or no YAML at all: nothing is known of it
    for document in documents:
        for secret, path, node in _open_values(document):
            yield _plain_secret(envelope.scalar(secret, "metadata", "name"), path, name, node.start_mark.line + 1)
        for generator in _items(document, "secretGenerator"):
            yield from _generated(generator, envelope.scalar(generator, "name"), name)
        if (envelope.scalar(document, "apiVersion"), envelope.scalar(document, "kind")) == _BUILTIN_GENERATOR:
            yield from _generated(document, envelope.scalar(document, "metadata", "name"), name)
        for key in ("patches", "patchesStrategicMerge", "patchesJson6902", "generators"):
            for entry in _items(document, key):
                yield from _inline(entry, name)


def _generated(generator: yaml.Node, generator_name: str, name: str) -> Iterator[Finding]:
    for key in ("literals", "envs", "env", "files"):
        node = envelope.child(generator, key)
        if node is not None and node.value:
            yield Finding(
                PLAIN_SECRET,
                f"the secretGenerator {generator_name!r} takes `{key}` that are in plain text in the repository",
                file=name,
                line=node.start_mark.line + 1,
                mend="encrypt the values with sops and bring them in by a ksops generator",
            )


def _inline(entry: yaml.Node, name: str) -> Iterator[Finding]:
    """Findings in a document that is written into a kustomization: a patch, or a generator."""
    text = envelope.scalar(entry, "patch") or (entry.value if isinstance(entry.value, str) else "")
    of_secret = envelope.scalar(entry, "target", "kind") == "Secret"
    if not of_secret and not _SECRET.search(text.encode()):
        return
    findings = list(_plain_secrets(text.encode(), name))
    if of_secret:
        findings += _operations(text.encode(), envelope.scalar(entry, "target", "name"), name)
    for finding in findings:
        # Its own lines count from the entry's first; the entry's place is what a person finds.
        merge = (
            "encrypt the values in a file of their own; a ksops generator merges them (kustomize's `behavior: merge`)"
        )
        yield replace(finding, line=entry.start_mark.line + 1, mend=merge if finding.resource else finding.mend)


def _operations(text: bytes, target: str, name: str) -> Iterator[Finding]:
    """What a JSON 6902 patch of a Secret sets in the open."""
    import yaml

    try:
        documents = envelope.compose(text, name)
    except SecretsError:
        return
    for document in documents:
        for operation in document.value if isinstance(document, yaml.SequenceNode) else []:
            place = tuple(envelope.scalar(operation, "path").strip("/").split("/"))
            if place[0] not in _SECRET_FIELDS:
                continue
            for path, node in envelope.leaves(operation):
                if path[0] == "value" and _is_open(node):
                    yield _plain_secret(target, (*place, *path[1:]), name, node.start_mark.line + 1)


def _plain_secret(secret: str, path: envelope.Path, name: str, line: int) -> Finding:
    return Finding(
        PLAIN_SECRET,
        f"the Secret holds `{'.'.join(path)}` in plain text",
        resource=f"Secret/{secret}",
        file=name,
        line=line,
        mend=f"name it *.sops.yaml and run: {task(f'encrypt {name}')}; replace the value, because git keeps it",
    )


def _open_values(document: yaml.Node, kind: str = "") -> Iterator[tuple[yaml.Node, envelope.Path, yaml.ScalarNode]]:
    """The values of Secrets, also of those in a List, that are neither encrypted nor sealed nor empty."""
    kind = envelope.scalar(document, "kind") or kind
    if kind.endswith("List"):
        for item in _items(document, "items"):
            yield from _open_values(item, kind.removesuffix("List"))
    if kind == "Secret":
        for path, node in envelope.leaves(document):
            if path[0] in _SECRET_FIELDS and _is_open(node):
                yield document, path, node


def _is_open(node: yaml.ScalarNode) -> bool:
    value: str = node.value
    hidden = envelope.TOKEN.fullmatch(value) or value.startswith(seal.STARTS)
    return bool(value) and node.tag != _NULL and not hidden


def _items(node: yaml.Node, key: str) -> list[yaml.Node]:
    import yaml

    found = envelope.child(node, key)
    return list(found.value) if isinstance(found, yaml.SequenceNode) else []


def _definitions(path: Path) -> list[dict[str, Any]]:
    from kustodian.kustomization import load_yaml

    documents, _problem = load_yaml(path)
    return [
        document
        for document in documents
        if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition"
    ]


def _walk(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(error, root)

    for folder, children, names in os.walk(root, onerror=refuse):
        outputs = ("build",) if Path(folder) == root else ()
        children[:] = sorted(child for child in children if not child.startswith(".") and child not in outputs)
        yield from (Path(folder) / name for name in sorted(names))
