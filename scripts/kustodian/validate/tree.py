"""Checks of the files themselves, rendered or not: what must be encrypted is, and no Secret lies in the open.

Findings name file, line and key; never a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kustodian import process
from kustodian.errors import SecretsError, ToolError, task
from kustodian.finding import Finding
from kustodian.secrets import envelope, sops

if TYPE_CHECKING:
    import yaml

ENCRYPTED = "encrypted"
PLAIN_SECRET = "plain-secret"  # noqa: S105  a rule's id

_MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
_LARGEST = 10 * 1024 * 1024
_SECRET = re.compile(rb"""kind["']?\s*:\s*["']?Secret(List)?\b""")
_GENERATOR = re.compile(rb"secretGenerator")
_DEFINITION = re.compile(rb"CustomResourceDefinition")
_ENCRYPTED_NAME = re.compile(r".+\.sops\.(yaml|yml|json|env|ini)$")


def files(root: Path, ignore: Sequence[str]) -> list[Path]:
    """The repository's files: those that git tracks or would add, else all that are not hidden. Without `ignore`d."""
    try:
        done = process.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, timeout=60
        )
        listed = done.stdout.decode("utf-8", "surrogateescape").split("\0") if done.returncode == 0 else None
    except ToolError:  # no git on this machine
        listed = None
    if listed is None:
        listed = [path.relative_to(root).as_posix() for path in _walk(root)]
    kept = (name for name in sorted(filter(None, listed)) if not any(fnmatch(name, glob) for glob in ignore))
    return [path for name in kept if (path := root / name).is_file() and not path.is_symlink()]


def check(root: Path, paths: Sequence[Path]) -> tuple[list[Finding], list[dict[str, Any]]]:
    """Findings in the files, and the CustomResourceDefinitions met on the way (each file is read once)."""
    findings: list[Finding] = []
    definitions: list[dict[str, Any]] = []
    for path in paths:
        encrypted = bool(_ENCRYPTED_NAME.match(path.name))
        if not encrypted and path.suffix not in _MANIFEST_SUFFIXES and path.name != "Kustomization":
            continue
        if path.stat().st_size > _LARGEST:
            continue
        text = path.read_bytes()
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
            for entry in envelope.flat(text, name)[1]:
                yield _by_hand(entry.path, name, entry.line, mend)
            return
        for document in envelope.compose(text, name):
            head = envelope.header(document, name)
            if not envelope.TOKEN.fullmatch(head.mac):
                yield Finding(ENCRYPTED, "has no MAC, so that a change to it can't be noticed", file=name, mend=mend)
            if not head.recipients:
                yield Finding(ENCRYPTED, "is encrypted for nobody", file=name, mend=mend)
            for path, node in envelope.plain_values(document, head.rule):
                yield _by_hand(path, name, node.start_mark.line + 1, mend)
    except SecretsError as error:
        yield Finding(ENCRYPTED, error.message.removeprefix(f"{name}: "), file=name, mend=error.hint)


def _by_hand(path: envelope.Path, name: str, line: int, mend: str) -> Finding:
    place = ".".join(path)
    return Finding(
        ENCRYPTED, f"`{place}` is in plain text though the file's rule encrypts it", file=name, line=line, mend=mend
    )


def _plain_secrets(text: bytes, name: str) -> Iterator[Finding]:
    try:
        documents = envelope.compose(text, name)
    except SecretsError:
        return  # a template, or no YAML at all: nothing is known of it
    for document in documents:
        yield from _plain_secret(document, name)
        for generator in _items(document, "secretGenerator"):
            for key in ("literals", "envs", "env", "files"):
                node = envelope.child(generator, key)
                if node is not None and node.value:
                    yield Finding(
                        PLAIN_SECRET,
                        f"the secretGenerator {envelope.scalar(generator, 'name')!r} takes `{key}` that are in plain "
                        "text in the repository",
                        file=name,
                        line=node.start_mark.line + 1,
                        mend="encrypt the values with sops and bring them in by a ksops generator",
                    )

        for patch in (*_items(document, "patches"), *_items(document, "patchesStrategicMerge")):
            yield from _inline_patch(patch, name)


def _inline_patch(patch: yaml.Node, name: str) -> Iterator[Finding]:
    text = envelope.scalar(patch, "patch") or (patch.value if isinstance(patch.value, str) else "")
    if not _SECRET.search(text.encode()):
        return
    for finding in _plain_secrets(text.encode(), name):
        # Its own lines count from the patch's first; the patch's place is what a person finds.
        mend = (
            "encrypt the values in a file of their own; a ksops generator merges them (kustomize's `behavior: merge`)"
        )
        yield replace(finding, line=patch.start_mark.line + 1, mend=mend)


def _plain_secret(document: yaml.Node, name: str, kind: str = "") -> Iterator[Finding]:
    kind = envelope.scalar(document, "kind") or kind
    if kind.endswith("List"):
        for item in _items(document, "items"):
            yield from _plain_secret(item, name, kind.removesuffix("List"))
    if kind != "Secret":
        return
    for path, node in envelope.leaves(document):
        if path[0] in ("data", "stringData") and node.value and not envelope.TOKEN.fullmatch(node.value):
            if node.tag == "tag:yaml.org,2002:null":
                continue
            yield Finding(
                PLAIN_SECRET,
                f"the Secret holds `{'.'.join(path)}` in plain text",
                resource=f"Secret/{envelope.scalar(document, 'metadata', 'name')}",
                file=name,
                line=node.start_mark.line + 1,
                mend=f"name it *.sops.yaml and run: {task(f'encrypt {name}')}; replace the value, because git keeps it",
            )


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
    for folder, children, names in os.walk(root):
        children[:] = sorted(child for child in children if not child.startswith("."))
        yield from (Path(folder) / name for name in sorted(names))
