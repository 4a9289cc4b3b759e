"""A fleet: many small overlays over one base, each with patches of both sorts, as one has per tenant or region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inputs import files, manifests


def generate(root: Path, count: int, *, payload: int = 0) -> Path:
    """`count` overlays in `root`; each also has a ConfigMap of `payload` bytes of its own. Returns `root`."""
    resources = manifests.service("api")
    files.write(root / "base" / "api.yaml", *(item for item in resources if item["kind"] != "ConfigMap"))
    settings = next(item for item in resources if item["kind"] == "ConfigMap")
    literals = [f"{key}={value}" for key, value in settings["data"].items()]
    files.kustomization(
        root / "base",
        resources=["api.yaml"],
        configMapGenerator=[{"name": "api-settings", "literals": literals}],
    )
    files.kustomization(
        root / "components" / "public",
        kind="Component",
        patches=[
            {
                "target": {"kind": "Ingress"},
                "patch": "- op: add\n  path: /metadata/annotations\n  value: {example.com/exposure: public}\n",
            }
        ],
    )
    for number in range(count):
        _overlay(root / "overlays" / f"tenant-{number:03}", number, payload)
    return root


def paths(root: Path) -> list[str]:
    """The overlays, as paths below `root`."""
    return sorted(path.relative_to(root).as_posix() for path in (root / "overlays").iterdir())


def _overlay(folder: Path, number: int, payload: int) -> None:
    generated: list[dict[str, Any]] = [
        {
            "name": "api-settings",
            "behavior": "merge",
            "literals": [f"TENANT=t{number}", f"LOG_LEVEL={('info', 'debug')[number % 2]}", f"POOL={5 + number % 20}"],
        }
    ]
    patches: list[dict[str, Any]] = [
        {"path": "resources.yaml"},
        {"path": "scale.yaml", "target": {"kind": "HorizontalPodAutoscaler", "name": "api"}},
    ]
    more: dict[str, Any] = {}
    if number % 3 == 0:
        patch = f"- op: add\n  path: /spec/rules/0/host\n  value: t{number}.example.com\n"
        patches.append({"target": {"kind": "Ingress", "name": "api"}, "patch": patch})
    if number % 4 == 0:
        more["components"] = ["../../components/public"]
    if number % 5 == 0:
        more["replicas"] = [{"name": "api", "count": 4}]
    if payload:
        line = f"entry of tenant {number:03} {'x' * 80}\n"
        generated.append({"name": "catalogue", "files": ["catalogue.txt"]})
    files.kustomization(
        folder,
        resources=["../../base"],
        namespace=f"tenant-{number:03}",
        namePrefix=f"t{number:03}-",
        labels=[{"pairs": {"example.com/tenant": f"t{number:03}"}}],
        images=[{"name": "registry.example.com/shop/api", "newTag": f"v1.{number % 17}.{number % 5}"}],
        configMapGenerator=generated,
        patches=patches,
        **more,
    )
    if payload:
        (folder / "catalogue.txt").write_text((line * (payload // len(line) + 1))[:payload], "utf-8")
    limits = {"requests": {"cpu": f"{100 + number % 7 * 50}m"}, "limits": {"memory": f"{256 + number % 5 * 64}Mi"}}
    container = {"name": "api", "resources": limits, "env": [{"name": "REGION", "value": f"region-{number % 6}"}]}
    files.write(
        folder / "resources.yaml",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "api"},
            "spec": {"template": {"spec": {"containers": [container]}}},
        },
    )
    files.write(
        folder / "scale.yaml",
        [
            {"op": "replace", "path": "/spec/minReplicas", "value": 2 + number % 3},
            {"op": "replace", "path": "/spec/maxReplicas", "value": 4 + number % 9},
        ],
    )
