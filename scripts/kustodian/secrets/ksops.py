"""KSOPS documents (`viaduct.ai/v1`, `kind: ksops`) and the resources that they generate.

Compatible with https://github.com/viaduct-ai/kustomize-sops: `files` are encrypted manifests that come out as they
are; each `secretFrom` makes one Secret out of encrypted `files`, `binaryFiles` and `envs`. Like KSOPS, other fields at
the top are not looked at; an unknown field of a `secretFrom` is an error, since a Secret would lack its data.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kustodian.errors import SecretsError
from kustodian.secrets import envelope, seal

if TYPE_CHECKING:
    import yaml

API_VERSION = "viaduct.ai/v1"
KIND = "ksops"


@dataclass(frozen=True)
class SecretFrom:
    """One Secret to generate. `files` and `binary_files` map a data key to a path."""

    metadata: dict[str, Any]
    type: str
    files: tuple[tuple[str, str], ...]
    binary_files: tuple[tuple[str, str], ...]
    envs: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    name: str
    files: tuple[str, ...]
    secret_from: tuple[SecretFrom, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every encrypted file that is read, as written in the document."""
        named = [path for item in self.secret_from for _key, path in (*item.files, *item.binary_files)]
        return tuple(dict.fromkeys((*self.files, *named, *(env for item in self.secret_from for env in item.envs))))


def is_ksops(document: Mapping[str, Any]) -> bool:
    return document.get("apiVersion") == API_VERSION and document.get("kind") == KIND


def load(text: bytes) -> Any:
    """A document with each scalar as the text that it is, as in KSOPS: `1.10` and `2024-13-01` are no other values."""
    import yaml

    class Loader(yaml.CSafeLoader):
        pass

    def text_of(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> str:
        return str(loader.construct_scalar(node))

    for tag in ("int", "float", "bool", "timestamp", "binary", "value", "merge"):
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", text_of)
    return yaml.load(text, Loader=Loader)  # noqa: S506  it knows fewer types than the safe one


def parse(document: Mapping[str, Any]) -> Document:
    """Raises `SecretsError` for what KSOPS refuses as well."""
    metadata = document.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    where = f"ksops document {name!r}"
    if document.get("files") is None and document.get("secretFrom") is None:
        raise SecretsError(f"{where}: has neither `files` nor `secretFrom`")
    secret_from = document.get("secretFrom") or []
    if not isinstance(secret_from, list) or not all(isinstance(item, dict) for item in secret_from):
        raise SecretsError(f"{where}: `secretFrom` must be a list of mappings")
    return Document(
        name,
        _strings(document, "files", where),
        tuple(_secret_from(item, f"{where}: secretFrom[{number}]") for number, item in enumerate(secret_from)),
    )


def seen_from(document: Document, folder: str) -> Document:
    """The document with its paths as they are above its folder: `folder` is put before each of them."""

    def above(path: str) -> str:
        return os.path.normpath(Path(folder, path))

    return replace(
        document,
        files=tuple(map(above, document.files)),
        secret_from=tuple(
            replace(
                item,
                files=tuple((key, above(path)) for key, path in item.files),
                binary_files=tuple((key, above(path)) for key, path in item.binary_files),
                envs=tuple(map(above, item.envs)),
            )
            for item in document.secret_from
        ),
    )


def generate(document: Document, folder: Path, *, decrypt: Callable[[str], bytes] | None) -> list[yaml.Node]:
    """The resources, as YAML nodes. Paths are relative to `folder`.

    With `decrypt` (a path to the file's plain content) they are revealed, without it sealed. Raises `SecretsError`,
    which never quotes a decrypted value.
    """
    nodes: list[yaml.Node] = []
    for file in document.files:
        content = _read(folder, file)
        if decrypt is None:
            nodes += seal.seal_manifests(content, file)
        else:
            nodes += envelope.compose(decrypt(file), file)
    for item in document.secret_from:
        nodes.append(_secret(item, folder, decrypt))
    return nodes


def _secret(item: SecretFrom, folder: Path, decrypt: Callable[[str], bytes] | None) -> yaml.Node:
    string_data: dict[str, str] = {}
    data: dict[str, str] = {}
    for key, path in item.files:
        content = _read(folder, path)
        string_data[key] = seal.seal_content(content, path) if decrypt is None else _text(decrypt(path), path)
    for key, path in item.binary_files:
        content = _read(folder, path)
        plain = seal.seal_content(content, path).encode() if decrypt is None else decrypt(path)
        data[key] = base64.b64encode(plain).decode()
    for path in item.envs:
        content = _read(folder, path)
        if decrypt is None:
            string_data |= seal.seal_dotenv(content, path)
        else:
            string_data |= parse_dotenv(_text(decrypt(path), path), path)
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": item.metadata}
    if item.type:
        secret["type"] = item.type
    if string_data:
        secret["stringData"] = dict(sorted(string_data.items()))
    if data:
        secret["data"] = dict(sorted(data.items()))
    return _represent(secret)


_BLANK = "\t\v\f\r \x85\xa0"
"""What godotenv takes for space within a line."""
_SPACE = (
    _BLANK + "\n\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What it takes for space between statements (Go's unicode.IsSpace)."""
_KEY = re.compile(rf"(?:export[{_BLANK}]+)?+([A-Za-z0-9_.]+)[{_BLANK}]*[=:][{_BLANK}]*")
_VARIABLE = re.compile(r"(\\)?\$\(?\{?([A-Z0-9_]+)?\}?")


def parse_dotenv(text: str, name: str) -> dict[str, str]:
    """Keys and values of a dotenv text, read as github.com/joho/godotenv v1.5.1 does, KSOPS' reader, oddities included.

    Double quotes take `\\n`, `\\r`, escapes and `$VARIABLES` of the same text, single quotes nothing, plain values end
    at their last ` #`; what follows a closing quote is the next statement. Unlike godotenv, a key that no Secret can
    have is refused here. Raises `SecretsError` with the line's number only.
    """
    values: dict[str, str] = {}
    text = text.replace("\r\n", "\n")
    rest = text.lstrip(_SPACE)
    while rest:
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
        elif found := _KEY.match(rest):
            value = _dotenv_value(rest[found.end() :], values)
            if value is None:
                break
            values[found[1]], rest = value
        else:
            break
        rest = rest.lstrip(_SPACE)
    if rest:
        line = text.count("\n", 0, len(text) - len(rest)) + 1
        raise SecretsError(f"{name}:{line}: not a dotenv line after decryption")
    return values


def _dotenv_value(rest: str, values: Mapping[str, str]) -> tuple[str, str] | None:
    """The value that the text starts with and what comes after it; None for a quote that nothing closes."""
    quote = rest[:1]
    if quote not in ("'", '"'):
        line = re.split(r"[\n\r]", rest, maxsplit=1)[0]
        comments = [found.start() + 1 for found in re.finditer(rf"[{_BLANK}]#", line)]
        plain = line[: comments[-1]] if comments else line
        return _expand(plain.strip(_BLANK), values), rest[len(line) :]
    end = next((at for at in range(1, len(rest)) if rest[at] == quote and rest[at - 1] != "\\"), None)
    if end is None:
        return None
    value = rest[:end].strip(quote)
    if quote == '"':
        value = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[0]), value)
        value = _expand(re.sub(r"\\([^$])", r"\1", value), values)
    return value, rest[end + 1 :]


def _expand(text: str, values: Mapping[str, str]) -> str:
    def replace(found: re.Match[str]) -> str:
        if found[1]:
            return found[0][1:]
        return values.get(found[2], "") if found[2] else found[0]

    return _VARIABLE.sub(replace, text)


def _secret_from(item: Mapping[str, Any], where: str) -> SecretFrom:
    unknown = set(item) - {"metadata", "type", "files", "binaryFiles", "envs"}
    if unknown:
        raise SecretsError(f"{where}: unknown field `{sorted(unknown)[0]}`")
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise SecretsError(f"{where}: needs `metadata.name`")
    kept = {
        key: _texts(metadata[key], f"{where}: `metadata.{key}`") if key in ("annotations", "labels") else metadata[key]
        for key in ("annotations", "labels", "name", "namespace")
        if metadata.get(key)
    }
    return SecretFrom(
        kept,
        str(item.get("type") or ""),
        tuple(_key_and_path(entry, where) for entry in _strings(item, "files", where)),
        tuple(_key_and_path(entry, where) for entry in _strings(item, "binaryFiles", where)),
        _strings(item, "envs", where),
    )


def _texts(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or any(isinstance(item, dict | list) for item in value.values()):
        raise SecretsError(f"{where} must be a mapping of texts")
    return {key: "" if item is None else item for key, item in value.items()}


def _key_and_path(entry: str, where: str) -> tuple[str, str]:
    key, equals, path = entry.partition("=")
    if equals and (not key or not path):
        raise SecretsError(f"{where}: {entry!r} must be `path` or `key=path`")
    return (key, path) if equals else (PurePosixPath(entry).name, entry)


def _strings(mapping: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = mapping.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SecretsError(f"{where}: `{key}` must be a list of paths")
    return tuple(value)


def _read(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise SecretsError(f"{path}: {error.strerror or error} (a ksops document names it)") from None


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SecretsError(f"{name}: not text after decryption", hint="list it under `binaryFiles`") from None


def _represent(value: dict[str, Any]) -> yaml.Node:
    import io

    import yaml

    return yaml.SafeDumper(io.StringIO(), sort_keys=False).represent_data(value)
