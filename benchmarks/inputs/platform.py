"""A platform: few overlays that each render hundreds of resources, as one has per cluster."""

from __future__ import annotations

from pathlib import Path

from inputs import files, manifests

PER_SERVICE = 10
"""Resources of one service."""


def generate(root: Path, overlays: int, resources: int) -> Path:
    """`overlays` overlays in `root`, each of `resources` resources (a multiple of ten). Returns `root`."""
    names = [f"service-{number:02}" for number in range(resources // PER_SERVICE)]
    for name in names:
        files.write(root / "base" / f"{name}.yaml", *manifests.service(name))
    files.kustomization(root / "base", resources=[f"{name}.yaml" for name in names])
    for number in range(overlays):
        files.kustomization(
            root / "overlays" / f"cluster-{number:02}",
            resources=["../../base"],
            namespace=f"shop-{number:02}",
            labels=[{"pairs": {"example.com/cluster": f"c{number:02}"}}],
        )
    return root
