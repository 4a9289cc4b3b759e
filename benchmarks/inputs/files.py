"""Writes manifests as YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write(path: Path, *documents: Any) -> None:
    """A file of the documents, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False), "utf-8")


def kustomization(folder: Path, kind: str = "Kustomization", **fields: Any) -> None:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    write(folder / "kustomization.yaml", {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, **fields})
