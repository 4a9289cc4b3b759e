"""Holds an environment's configuration to its JSON Schema, as the library does."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from .rendering import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ROOT / "base" / "config" / "schema"
FILES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")))


def uri(name: str) -> str:
    return (FOLDER / f"{name}.schema.json").as_uri()


def complaints(environment: str, configuration: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is wrong, as `ConfigMap/KEY: why`, sorted; nothing when all is well."""
    types = {
        name: schema(described["$ref"].removesuffix(".schema.json"))["properties"]
        for name, described in schema("environment")["properties"].items()
    }
    typed = {
        name: {key: _read(value, types.get(name, {}).get(key, {}).get("type")) for key, value in data.items()}
        for name, data in configuration.items()
    }
    registry: Registry[Any] = Registry()
    registry = registry.with_resources([(uri(name), Resource.from_contents(schema(name))) for name in FILES])
    found = Draft202012Validator({"$ref": uri(environment)}, registry=registry).iter_errors(typed)
    return sorted(f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found)


def _read(value: str, kind: str | None) -> object:
    if kind == "integer" and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    if kind == "boolean" and value in {"true", "false"}:
        return value == "true"
    return value
