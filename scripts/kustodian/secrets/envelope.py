"""Reads SOPS files without any key: their header, and which of their values are encrypted.

The format is that of https://getsops.io/docs/ : the encrypted values stand in place as `ENC[AES256_GCM,…]`, and a
`sops` entry holds the data key, encrypted for each recipient, a MAC over the values, and the rule by which values were
chosen. Documents are handled as YAML node graphs, so that scalars are never interpreted and are written back as they
stood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from kustodian.errors import SecretsError, task
from kustodian.secrets.goregex import compiled

if TYPE_CHECKING:
    import yaml

TOKEN = re.compile(r"ENC\[AES256_GCM,data:[^,\]]*,iv:[^,\]]*,tag:[^,\]]*,type:(\w+)\]")
"""An encrypted value. Group 1 is the type of the plain one: str, int, float, bytes, bool, comment, time."""

METADATA = "sops"

_DEPTH = 100
"""How deeply a document may be nested."""

_ALIASED_DEPTH = 200
"""The same with its aliases followed."""

_LEAVES = 1_000_000
"""How many values a document may have, its aliases followed."""

Path = tuple[str, ...]
"""Keys from a document's root to a value; list positions do not count, as in SOPS."""


@dataclass(frozen=True)
class Rule:
    """Which values a file's own header says are encrypted (SOPS' `Tree.shouldBeEncrypted`)."""

    unencrypted_suffix: str = ""
    encrypted_suffix: str = ""
    unencrypted_regex: str = ""
    encrypted_regex: str = ""
    by_comment: bool = False
    """Comments choose as well; they are not in the node graph, so that nothing can be said of a plain value."""

    def covers(self, path: Path) -> bool:
        encrypted = True
        if self.unencrypted_suffix:
            encrypted = not any(key.endswith(self.unencrypted_suffix) for key in path)
        if self.encrypted_suffix:
            encrypted = any(key.endswith(self.encrypted_suffix) for key in path)
        if self.unencrypted_regex and any(map(compiled(self.unencrypted_regex).search, path)):
            encrypted = False
        if self.encrypted_regex:
            encrypted = any(map(compiled(self.encrypted_regex).search, path))
        return encrypted


@dataclass(frozen=True)
class Recipient:
    """Somebody who can decrypt a file: `kind` is age, pgp, kms, gcp_kms, azure_kv or hc_vault; `name` a public name."""

    kind: str
    name: str


@dataclass(frozen=True)
class Header:
    """A file's `sops` entry. `mac` is empty when the file has none, which SOPS never writes."""

    rule: Rule
    recipients: tuple[Recipient, ...]
    mac: str
    last_modified: str
    version: str


def format_of(path: str | PurePath) -> str:
    """SOPS' format for a file name: yaml, json, dotenv, ini or binary."""
    suffixes = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv", ".ini": "ini"}
    return suffixes.get(PurePath(path).suffix, "binary")


def compose(text: bytes, name: str) -> list[yaml.Node]:
    """The documents of a YAML or JSON text, empty ones left out. Raises `SecretsError` without quoting the text.

    Refused as well: what is nested too deeply, contains itself, or grows beyond measure by its aliases.
    """
    import yaml

    from kustodian.kustomization import yaml_problem

    try:
        aliased = _refuse_deep(yaml.parse(text, Loader=yaml.CSafeLoader), name)
        documents = [node for node in yaml.compose_all(text, Loader=yaml.CSafeLoader) if not _is_null(node)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SecretsError(f"{name}: {yaml_problem(error)}") from None
    for document in documents if aliased else ():
        for _leaf in _leaves(document, (), _Visited(name)):
            pass
    return documents


def _refuse_deep(events: Iterator[yaml.Event], name: str) -> bool:
    """Refuse what would overflow the stack of libyaml's composer, which is recursive; its events are not.

    Returns whether there are aliases: only with them can a node graph be larger than its text.
    """
    from yaml import AliasEvent, CollectionEndEvent, CollectionStartEvent

    depth, aliased = 0, False
    for event in events:
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                raise SecretsError(f"{name}: too deeply nested")
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        elif isinstance(event, AliasEvent):
            aliased = True
    return aliased


def header(document: yaml.Node, name: str) -> Header:
    """The header of one document. Raises `SecretsError` when it has none: the document is not encrypted."""
    node = child(document, METADATA)
    if node is None or not entries(node):
        raise SecretsError(
            f"{name}: not encrypted: it has no `sops` entry", hint=f"encrypt it: {task(f'encrypt {name}')}"
        )
    values = {key: value.value for key, value in entries(node) if _is_scalar(value)}
    return Header(
        rule=_rule(values, name),
        recipients=tuple(_recipients(node)),
        mac=values.get("mac", ""),
        last_modified=values.get("lastmodified", ""),
        version=values.get("version", ""),
    )


def _rule(values: Mapping[str, str], name: str) -> Rule:
    for regex in ("unencrypted_regex", "encrypted_regex"):
        try:
            compiled(values.get(regex, ""))
        except ValueError as error:
            raise SecretsError(f"{name}: its rule `{regex}` is no regular expression known here: {error}") from None
    return Rule(
        values.get("unencrypted_suffix", ""),
        values.get("encrypted_suffix", ""),
        values.get("unencrypted_regex", ""),
        values.get("encrypted_regex", ""),
        bool(values.get("encrypted_comment_regex") or values.get("unencrypted_comment_regex")),
    )


@dataclass(frozen=True)
class Entry:
    """A value of a dotenv or INI file. `line` counts from 1."""

    path: Path
    value: str
    line: int


def flat(text: bytes, name: str) -> tuple[list[Entry], list[Entry]]:
    """The values of an encrypted dotenv or INI file, and those among them that were put in by hand.

    Raises `SecretsError` for a file that is not encrypted.
    """
    dotenv = format_of(name) == "dotenv"
    found: list[Entry] = []
    metadata: dict[str, str] = {}
    section: Path = () if dotenv else ("DEFAULT",)
    for number, line in enumerate(text.decode("utf-8", "replace").split("\n"), 1):
        key, equals, value = line.rstrip("\r").partition("=")
        if not dotenv:
            key, value = key.strip(), value.strip()
        if line.lstrip().startswith("#" if dotenv else ("#", ";")):
            continue
        if not dotenv and key.startswith("[") and key.endswith("]") and not equals:
            section = (key[1:-1],)
        elif not equals:
            continue
        elif dotenv and key.startswith("sops_"):
            metadata[key.removeprefix("sops_")] = value
        elif section == (METADATA,):
            metadata[key] = value
        else:
            found.append(Entry((*section, key), value, number))
    if not metadata:
        missing = "`sops_…` entries" if dotenv else "`sops` section"
        raise SecretsError(f"{name}: not encrypted: it has no {missing}", hint=f"encrypt it: {task(f'encrypt {name}')}")
    rule = _rule(metadata, name)
    open_ones = [entry for entry in found if entry.value and not TOKEN.fullmatch(entry.value)]
    return found, [entry for entry in open_ones if rule.covers(entry.path) and not rule.by_comment]


def plain_values(document: yaml.Node, rule: Rule) -> Iterator[tuple[Path, yaml.Node]]:
    """Values that the file's rule says are encrypted, and that are not: somebody edited the file by hand.

    Empty strings and nulls are left out, because SOPS never encrypts them.
    """
    if rule.by_comment:
        return
    for path, node in leaves(document):
        if rule.covers(path) and not TOKEN.fullmatch(node.value) and not is_empty(node):
            yield path, node


def edited_by_hand(name: str, path: Path, line: int) -> SecretsError:
    """The error for a value of `plain_values` or `flat`."""
    return SecretsError(
        f"{name}:{line}: `{'.'.join(path)}` is not encrypted though the file's rule says it must be "
        "(edited by hand after encrypting?)",
        hint=f"take the plain value out of git's reach, restore the file, and change it with: {task(f'edit {name}')}",
    )


def leaves(document: yaml.Node) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    """Every scalar outside of the `sops` entry with its path."""
    visited = _Visited("the document")
    for key, value in entries(document):
        if key != METADATA:
            yield from _leaves(value, (key,), visited)
    if not entries(document):
        yield from _leaves(document, (), visited)


def entries(node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    """The pairs of a mapping node whose keys are scalars; nothing for another node."""
    from yaml import MappingNode

    if not isinstance(node, MappingNode):
        return []
    return [(key.value, value) for key, value in node.value if _is_scalar(key)]


def child(node: yaml.Node, key: str) -> yaml.Node | None:
    return next((value for name, value in entries(node) if name == key), None)


def scalar(node: yaml.Node, *keys: str) -> str:
    """The text at a path of keys, or an empty string."""
    current: yaml.Node | None = node
    for key in keys:
        current = child(current, key) if current is not None else None
    return str(current.value) if current is not None and _is_scalar(current) else ""


@dataclass
class _Visited:
    name: str
    nodes: int = 0
    open: set[int] = field(default_factory=set)
    """The identities of the collections on the way from the root."""


def _leaves(node: yaml.Node, path: Path, visited: _Visited) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    from yaml import MappingNode, ScalarNode, SequenceNode

    visited.nodes += 1
    if visited.nodes > _LEAVES or len(visited.open) > _ALIASED_DEPTH:
        raise SecretsError(f"{visited.name}: its aliases make it too large")
    if id(node) in visited.open:
        raise SecretsError(f"{visited.name}:{node.start_mark.line + 1}: `{'.'.join(path)}` contains itself")
    if isinstance(node, ScalarNode):
        yield path, node
    elif isinstance(node, SequenceNode):
        visited.open.add(id(node))
        for item in node.value:
            yield from _leaves(item, path, visited)
        visited.open.remove(id(node))
    elif isinstance(node, MappingNode):
        visited.open.add(id(node))
        for key, value in node.value:
            yield from _leaves(value, (*path, key.value if _is_scalar(key) else ""), visited)
        visited.open.remove(id(node))


_RECIPIENT_FIELDS = {
    "age": "recipient",
    "pgp": "fp",
    "kms": "arn",
    "gcp_kms": "resource_id",
    "azure_kv": "name",
    "hc_vault": "key_name",
}


def _recipients(node: yaml.Node) -> Iterator[Recipient]:
    for key, value in entries(node):
        if key == "key_groups":
            for group in value.value if isinstance(value.value, list) else []:
                yield from _recipients(group)
        elif key in _RECIPIENT_FIELDS and isinstance(value.value, list):
            for item in value.value:
                if name := scalar(item, _RECIPIENT_FIELDS[key]):
                    yield Recipient(key, name)


def _is_scalar(node: yaml.Node) -> bool:
    from yaml import ScalarNode

    return isinstance(node, ScalarNode)


def _is_null(node: yaml.Node) -> bool:
    return _is_scalar(node) and node.tag == "tag:yaml.org,2002:null"


def is_empty(node: yaml.ScalarNode) -> bool:
    """Whether SOPS never encrypts it: an empty string or a null."""
    return node.value == "" or _is_null(node)
