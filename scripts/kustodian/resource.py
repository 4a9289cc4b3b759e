"""Rendered resources: the documents of a stream that kustomize wrote, each parsed only when it is asked for.

kustomize writes every document as a block mapping, so that its top-level keys stand at the start of a line and nowhere
else; kinds can be counted without parsing 10,000 documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

_SEPARATOR = re.compile(rb"^---[ \t]*\n", re.MULTILINE)
_KIND = re.compile(rb"^kind: *[\"']?([^\s\"']+)", re.MULTILINE)
_HASH_SUFFIX = re.compile(r"-[2456789bcdfghkmt]{10}$")


@dataclass(frozen=True)
class ResourceId:
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True)
class Resource:
    """One document of a render."""

    text: bytes

    @cached_property
    def kind(self) -> str:
        match = _KIND.search(self.text)
        return match[1].decode() if match else ""

    @cached_property
    def document(self) -> dict[str, Any]:
        import yaml

        document = yaml.load(self.text, Loader=_loader())  # noqa: S506  derived from the safe one
        return document if isinstance(document, dict) else {}

    @property
    def id(self) -> ResourceId:
        metadata = self.document.get("metadata") or {}
        return ResourceId(self.kind, str(metadata.get("namespace", "")), str(metadata.get("name", "")))

    @property
    def api_version(self) -> str:
        return str(self.document.get("apiVersion", ""))


@cache
def _loader() -> Any:
    """YAML 1.2's core types, as kustomize writes them; PyYAML's own would fail on a plain `=` or `2024-13-01`."""
    import yaml

    class Loader(yaml.CSafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {}
    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", "~nN\0"),
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
        (
            "float",
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
            "-+.0123456789",
        ),
    ):
        expression = re.compile(rf"^(?:{pattern})$")
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", expression, list(first) + ([""] if tag == "null" else [])
        )
    Loader.add_constructor("tag:yaml.org,2002:int", _integer)
    return Loader


def _integer(loader: Any, node: Any) -> int | str:
    # Too many digits for Python's int() are no count of anything; a leading 0 is decimal, as in YAML 1.2.
    text = str(loader.construct_scalar(node))
    try:
        return int(text, 0 if text[:2] in ("0x", "0o") else 10)
    except ValueError:
        return text


def split(text: bytes) -> Iterator[Resource]:
    """The resources of a rendered stream, in its order."""
    start = 0
    for match in _SEPARATOR.finditer(text):
        if text[start : match.start()].strip():
            yield Resource(text[start : match.start()])
        start = match.end()
    if text[start:].strip():
        yield Resource(text[start:])


def without_hash(name: str) -> str:
    """A generated object's name without the content hash that kustomize appends."""
    return _HASH_SUFFIX.sub("", name)


def images(document: dict[str, Any]) -> Iterator[str]:
    """The images of a workload's containers: Pod, Deployment and the like, Job, CronJob."""
    spec = document.get("spec")
    for key in ("jobTemplate", "template"):
        if isinstance(spec, dict) and isinstance(inner := spec.get(key), dict):
            spec = inner.get("spec")
            if key == "jobTemplate" and isinstance(spec, dict) and isinstance(spec.get("template"), dict):
                spec = spec["template"].get("spec")
                break
    if not isinstance(spec, dict):
        return
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or []:
            if isinstance(container, dict) and isinstance(image := container.get("image"), str):
                yield image
