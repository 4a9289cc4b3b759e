"""Holds an environment's configuration to its JSON Schema, as `validate` does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kustodian.validate import config

from .rendering import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ROOT / "base" / "config" / "schema"
FILES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")))


def complaints(environment: str, configuration: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is wrong, as `ConfigMap/KEY: why`, sorted; nothing when all is well."""
    instance = {name: dict(data) for name, data in configuration.items()}
    found = config.check(instance, FOLDER / f"{environment}.schema.json")
    return sorted(f"{'/'.join(filter(None, (each.config_map, each.key)))}: {each.message}" for each in found)
