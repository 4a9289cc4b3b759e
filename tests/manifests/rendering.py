"""Renders an environment, and decrypts a file of development, by the library itself."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml
from kustodian.render import Renderer
from kustodian.repository import Repository
from kustodian.resource import Resource, split
from kustodian.secrets import sops
from kustodian.toolchain import find

ROOT = Path(__file__).parents[2]


@functools.cache
def resources(environment: str) -> list[Resource]:
    """The sealed resources of `environment`, in kustomize's order."""
    repository = Repository.open(ROOT)
    text = Renderer(repository, find("kustomize").path).render(repository.overlay_at(ROOT / "overlays" / environment))
    return list(split(text))


def render(environment: str) -> list[dict[str, Any]]:
    return [resource.document for resource in resources(environment)]


def decrypt(path: Path) -> dict[str, Any]:
    """The values of a file of development, whose key is public."""
    env = sops.environment(Repository.open(ROOT).demo_keys)
    return dict(yaml.safe_load(sops.decrypt(find("sops").path, path, env=env))["stringData"])
