"""The namespace: everything in it, fenced, labelled, and large enough (M4, G1)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import yaml

from .facts import CLUSTER_SCOPED, HASH, quantity, title
from .rendering import ROOT

if TYPE_CHECKING:
    from .facts import Pod, Rendered


def test_everything_is_in_the_environments_namespace(rendered: Rendered) -> None:
    namespace = f"flowlet-{rendered.environment}"
    assert [found["metadata"]["name"] for found in rendered.of("Namespace")] == [namespace]
    for document in rendered.documents:
        if document["kind"] in CLUSTER_SCOPED:
            assert "namespace" not in document["metadata"], title(document)
        else:
            assert document["metadata"]["namespace"] == namespace, title(document)


@pytest.mark.parametrize("mode", ["enforce", "audit", "warn"])
def test_the_namespace_holds_pods_to_the_restricted_standard(rendered: Rendered, mode: str) -> None:
    version = yaml.safe_load((ROOT / "kustodian.yaml").read_text(encoding="utf-8"))["kubernetesVersion"]
    labels = rendered.of("Namespace")[0]["metadata"]["labels"]
    assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
    assert labels[f"pod-security.kubernetes.io/{mode}-version"] == f"v{version}"


def test_everything_carries_the_recommended_labels(rendered: Rendered) -> None:
    for document in rendered.documents:
        _assert_recommended(document["metadata"]["labels"], rendered.environment, title(document))
    for pod in rendered.pods:
        _assert_recommended(pod.labels, rendered.environment, pod.owner)


def _assert_recommended(labels: dict[str, str], environment: str, whose: str) -> None:
    found = {key.removeprefix("app.kubernetes.io/"): value for key, value in labels.items()}
    assert found["name"], whose
    assert found["component"], whose
    assert found["part-of"] == "flowlet", whose
    assert found["managed-by"] == "argocd", whose
    assert found["instance"] == f"flowlet-{environment}", whose


def test_the_quota_has_room_for_every_autoscaler_at_its_most_a_rollout_and_all_jobs(
    rendered: Rendered,
) -> None:
    need: dict[str, Decimal] = {}
    for pod in rendered.pods:
        for name, amount in _resources(pod).items():
            need[name] = need.get(name, Decimal(0)) + amount * _most(rendered, pod)
    for claim in rendered.of("PersistentVolumeClaim"):
        storage = quantity(claim["spec"]["resources"]["requests"]["storage"])
        need["requests.storage"] = need.get("requests.storage", Decimal(0)) + storage
        need["persistentvolumeclaims"] = need.get("persistentvolumeclaims", Decimal(0)) + 1
    hard = {k: quantity(v) for k, v in rendered.named("ResourceQuota", "flowlet-quota")["spec"]["hard"].items()}
    for name, amount in need.items():
        # a quarter for pods that are still stopping; more than four times as much is no ceiling
        assert amount * Decimal("1.25") <= hard[name] <= amount * 4, f"{name}: {amount} of {hard[name]}"


def _resources(pod: Pod) -> dict[str, Decimal]:
    found = {"pods": Decimal(1)}
    for side in ("requests", "limits"):
        for kind in ("cpu", "memory", "ephemeral-storage"):
            running = sum(quantity(c["resources"][side][kind]) for c in pod.spec["containers"])
            starting = [quantity(c["resources"][side][kind]) for c in pod.spec.get("initContainers", [])]
            found[f"{side}.{kind}"] = max([Decimal(running), *starting])
    return found


def _most(rendered: Rendered, pod: Pod) -> int:
    """How many of this pod can be there at once."""
    kind, name = pod.owner.split("/")
    if kind != "Deployment":
        return 1
    surge = rendered.named(kind, name)["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    assert isinstance(surge, int)
    return int(rendered.named("HorizontalPodAutoscaler", name)["spec"]["maxReplicas"]) + surge


def test_the_environments_differ_in_size(all_rendered: dict[str, Rendered]) -> None:
    for kind in ("requests.cpu", "requests.memory", "pods"):
        sizes = [
            quantity(all_rendered[name].named("ResourceQuota", "flowlet-quota")["spec"]["hard"][kind])
            for name in ("development", "staging", "production")
        ]
        assert sizes == sorted(set(sizes)), kind


def test_what_is_generated_has_a_hash_in_its_name(rendered: Rendered) -> None:
    for document in [*rendered.of("ConfigMap"), *rendered.of("Secret")]:
        assert HASH.search(document["metadata"]["name"]), title(document)
