"""Every manifest says what it is for (G5)."""

from __future__ import annotations

import itertools

import pytest

from .rendering import ROOT

MANIFESTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("argocd", "base", "cluster-config", "components", "overlays")
    for path in ROOT.joinpath(folder).rglob("*.yaml")
)


@pytest.mark.parametrize("name", MANIFESTS)
def test_it_begins_with_its_purpose(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    comment = " ".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert len(comment) > 40, "says nothing or too little"


@pytest.mark.parametrize(
    "name", [name for name in MANIFESTS if name.startswith("base/") and "kustomization" not in name]
)
def test_a_resource_says_what_breaks_without_it(name: str) -> None:
    head = (ROOT / name).read_text(encoding="utf-8").split("apiVersion:", 1)[0]
    assert "Purpose: " in head
    assert "Impact: " in head
