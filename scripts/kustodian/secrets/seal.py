"""Sealed values: what stands for an encrypted value when no key is used.

A sealed value is a fingerprint of the *ciphertext*. SOPS leaves the ciphertext of an unchanged value as it is, so a
fingerprint changes exactly when the value was set anew or the data key was renewed. Nothing computed from a plain
value is in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kustodian.errors import SecretsError
from kustodian.secrets import envelope

if TYPE_CHECKING:
    import yaml

PREFIX = "sealed:"
STARTS = (PREFIX, "c2VhbGVkO")
"""How a sealed value starts, as text and in base64."""
UNENCRYPTED = f"{PREFIX}unencrypted"
"""Stands for a Secret's value that the file leaves unencrypted on purpose; no fingerprint, because it is plain."""

_DOTENV_KEY = re.compile(r"[A-Za-z0-9_.]+")
"""The keys that KSOPS' reader knows; `ksops.parse_dotenv` refuses others after decryption."""

_STRING = "tag:yaml.org,2002:str"


def fingerprint(ciphertext: str) -> str:
    """`sealed:` and 16 hexadecimal digits of the ciphertext's SHA-256."""
    return PREFIX + hashlib.sha256(ciphertext.encode()).hexdigest()[:16]


def open_keys(secret: Mapping[str, Any]) -> Iterator[str]:
    """The keys (`data.x`) of a Secret from a sealed render whose values are neither sealed nor empty."""
    for field in ("data", "stringData"):
        values = secret.get(field)
        for key, value in values.items() if isinstance(values, dict) else ():
            if value not in ("", None) and not str(value).startswith(STARTS):
                yield f"{field}.{key}"


def seal_manifests(text: bytes, name: str) -> list[yaml.Node]:
    """The manifests of an encrypted YAML or JSON file, sealed; `name` is the file's name for messages.

    Raises `SecretsError` for a file that is not encrypted, that was edited by hand after encrypting, or whose
    encryption hides what the manifest is.
    """
    if envelope.format_of(name) not in ("yaml", "json"):
        raise SecretsError(
            f"{name}: encrypted as a whole, so that sealed output can't show its manifest",
            hint="name it *.yaml and encrypt it again, or use --reveal",
        )
    documents = envelope.compose(text, name)
    if not documents:
        raise SecretsError(f"{name}: has no document")
    for document in documents:
        rule = envelope.header(document, name).rule
        _refuse_plain(document, rule, name)
        _drop_metadata(document)
        for manifest in _manifests(document, name):
            _seal(manifest, secret=envelope.scalar(manifest, "kind") == "Secret")
    return documents


def seal_content(text: bytes, name: str) -> str:
    """One fingerprint for a file that becomes one value: over every encrypted value with its place.

    A file none of whose values is encrypted has no fingerprint, because its values are plain.
    """
    values: list[tuple[envelope.Path, str]] = []
    if envelope.format_of(name) in ("dotenv", "ini"):
        values += [(entry.path, entry.value) for entry in _flat(text, name)]
    else:
        for document in envelope.compose(text, name):
            _refuse_plain(document, envelope.header(document, name).rule, name)
            values += [(path, node.value) for path, node in envelope.leaves(document)]
    if not values:
        raise SecretsError(f"{name}: has no value")
    tokens = [f"{'.'.join(path)}={value}" for path, value in values if envelope.TOKEN.fullmatch(value)]
    return fingerprint("\n".join(tokens)) if tokens else UNENCRYPTED


def seal_dotenv(text: bytes, name: str) -> dict[str, str]:
    """The keys of an encrypted dotenv file with sealed values."""
    if envelope.format_of(name) != "dotenv":
        raise SecretsError(
            f"{name}: encrypted as a whole, so that sealed output can't show its keys",
            hint="name it *.env and encrypt it again, or use --reveal",
        )
    sealed: dict[str, str] = {}
    for entry in _flat(text, name):
        key = entry.path[0].strip().removeprefix("export ").strip()
        if not _DOTENV_KEY.fullmatch(key):
            raise SecretsError(f"{name}:{entry.line}: not a dotenv line")
        token = envelope.TOKEN.fullmatch(entry.value)
        sealed[key] = fingerprint(entry.value) if token else (UNENCRYPTED if entry.value else "")
    return sealed


def _refuse_plain(document: yaml.Node, rule: envelope.Rule, name: str) -> None:
    for path, node in envelope.plain_values(document, rule):
        raise envelope.edited_by_hand(name, path, node.start_mark.line + 1)


def _drop_metadata(document: yaml.Node) -> None:
    document.value = [pair for pair in document.value if pair[0].value != envelope.METADATA]


def _manifests(document: yaml.Node, name: str) -> Iterator[yaml.Node]:
    """The document, or each item if it is a `List`."""
    for what in (("kind",), ("metadata", "name")):
        if envelope.TOKEN.fullmatch(envelope.scalar(document, *what)):
            raise SecretsError(
                f"{name}: `{'.'.join(what)}` is encrypted too, so that sealed output can't show what this is",
                hint="set `encrypted_regex: ^(data|stringData)$` in .sops.yaml and encrypt it again, or use --reveal",
            )
    items = envelope.child(document, "items")
    if envelope.scalar(document, "kind").endswith("List") and items is not None and isinstance(items.value, list):
        for item in items.value:
            yield from _manifests(item, name)
    else:
        yield document


def _seal(manifest: yaml.Node, *, secret: bool) -> None:
    for key, value in envelope.entries(manifest):
        if secret and key in ("data", "stringData"):
            for _path, leaf in envelope.leaves(value):
                _seal_secret_value(leaf, encoded=key == "data")
        else:
            for _path, leaf in envelope.leaves(value):
                _seal_value(leaf)


def _seal_secret_value(leaf: yaml.ScalarNode, *, encoded: bool) -> None:
    token = envelope.TOKEN.fullmatch(leaf.value)
    if not token and leaf.value == "":
        return
    if token and token[1] not in ("str", "bytes") and not encoded:
        _seal_value(leaf)  # a number where Kubernetes wants a string: keep the mistake visible to the schema
        return
    text = fingerprint(leaf.value) if token else UNENCRYPTED
    _set(leaf, base64.b64encode(text.encode()).decode() if encoded else text)


def _seal_value(leaf: yaml.ScalarNode) -> None:
    """Replace a token by a stand-in of the plain value's type, so that a schema finds what it would find revealed."""
    token = envelope.TOKEN.fullmatch(leaf.value)
    if not token:
        return
    text = fingerprint(leaf.value)
    number = int(text[len(PREFIX) :], 16) % 30_000 + 1
    match token[1]:
        case "int":
            _set(leaf, str(number), "tag:yaml.org,2002:int")
        case "float":
            _set(leaf, f"{number}.5", "tag:yaml.org,2002:float")
        case "bool":
            _set(leaf, "false", "tag:yaml.org,2002:bool")
        case "bytes":
            _set(leaf, base64.b64encode(text.encode()).decode())
        case _:
            _set(leaf, text)


def _set(leaf: yaml.ScalarNode, text: str, tag: str = _STRING) -> None:
    leaf.value, leaf.tag, leaf.style = text, tag, None


def _flat(text: bytes, name: str) -> list[envelope.Entry]:
    found, by_hand = envelope.flat(text, name)
    for entry in by_hand:
        raise envelope.edited_by_hand(name, entry.path, entry.line)
    return found
