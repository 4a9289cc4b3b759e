"""What several tests do with the cluster: change a setting, add a patch, take a commit back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .conftest import BOX, Cluster

LEVEL = {
    "sandbox": ("overlays/sandbox/settings.env", "LEVEL", "settings-"),
    "development": ("overlays/development/config/backend.env", "LOG_LEVEL", "flowlet-backend-config-"),
}
"""Environment → the file and the key of a setting that tests change, and the start of its ConfigMap's name."""


def set_level(cluster: Cluster, environment: str, level: str, *, root: Path | None = None) -> None:
    file, key, _name = LEVEL[environment]
    cluster.write(file, lambda text: re.sub(rf"{key}=\w+", f"{key}={level}", text), root=root)


def level_in(cluster: Cluster, environment: str) -> list[str]:
    """The setting's values in the cluster: one, once what is old has been pruned."""
    _file, key, name = LEVEL[environment]
    return [found["data"][key] for found in named(cluster.objects(environment, "v1", "ConfigMap"), name)]


def set_schedule(cluster: Cluster, hour: int, *, root: Path | None = None) -> None:
    """A change of production that rolls no pod: that takes minutes there, on purpose."""
    name = "overlays/production/patches/schedules.yaml"
    cluster.write(name, lambda text: re.sub(r'schedule: "?(\d+) \d+', rf'schedule: "\1 {hour}', text), root=root)


def hours(cluster: Cluster) -> set[str]:
    return {job["spec"]["schedule"].split()[1] for job in cluster.objects("production", "batch/v1", "CronJob")}


def another_level(cluster: Cluster) -> None:
    file, *_ = LEVEL[BOX]
    debug = "LEVEL=debug" in (cluster.root / file).read_text("utf-8")
    set_level(cluster, BOX, "info" if debug else "debug")


def patched(cluster: Cluster, environment: str, name: str, patch: str) -> None:
    """Add a patch to an overlay."""
    folder = cluster.root / "overlays" / environment
    (folder / name).write_text(f"# A test's.\n{patch}", "utf-8")
    kustomization = folder / "kustomization.yaml"
    text = kustomization.read_text("utf-8")
    text = text if "\npatches:\n" in text else f"{text}patches:\n"
    kustomization.write_text(f"{text}  - path: {name}\n", "utf-8")


def take_back(cluster: Cluster, environment: str) -> None:
    """Revert the last commit and see it through."""
    cluster.git("revert", "--no-edit", "HEAD")
    ran = cluster.run("push", "--env", environment, "--wait")
    assert ran.code == 0, ran.output


def named(items: list[dict[str, Any]], start: str) -> list[dict[str, Any]]:
    return [item for item in items if item["metadata"]["name"].startswith(start)]
