from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kustodian.cluster import standins

from .kit import Store


def claim(name: str, phase: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "dev", "uid": f"uid-{name}"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}, **spec},
        "status": {"phase": phase},
    }


def pod(name: str, phase: str, namespace: str = "dev") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {"app": name}},
        "spec": {"containers": [{"name": "main"}, {"name": "side"}], "initContainers": [{"name": "wait"}]},
        "status": {"phase": phase} if phase else {},
    }


def test_a_volume_is_what_the_claim_asks_for_and_for_no_other() -> None:
    made = standins.volume(claim("backups", "Pending", storageClassName="fast"))
    assert made["spec"] == {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/nowhere"},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": "dev",
            "name": "backups",
            "uid": "uid-backups",
        },
    }
    assert standins.volume(claim("b", "Pending"))["spec"]["storageClassName"] == ""


def test_claims_of_one_name_in_two_lives_get_two_volumes() -> None:
    first, second = claim("a", "Pending"), claim("a", "Pending")
    second["metadata"]["uid"] = "another"
    assert standins.volume(first)["metadata"]["name"] != standins.volume(second)["metadata"]["name"]


def test_usage_is_of_each_container_goes_with_the_pod_and_is_not_older_than_its_readiness() -> None:
    made = standins.usage(pod("web", "Running"))
    assert (made["apiVersion"], made["kind"]) == ("metrics.k8s.io/v1beta1", "PodMetrics")
    assert [container["name"] for container in made["containers"]] == ["main", "side"]
    assert {tuple(container["usage"]) for container in made["containers"]} == {("cpu", "memory")}
    assert made["metadata"]["labels"] == {"app": "web"}  # an autoscaler looks for its pods by their labels
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web"}
    at = datetime.strptime(made["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert at > datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def store() -> Store:
    items = {
        "persistentvolumeclaims": [claim("waits", "Pending"), claim("has", "Bound")],
        "pods": [pod("runs", "Running"), pod("starts", "Pending"), pod("did", "Succeeded"), pod("new", "")],
    }
    return Store(
        {
            f"/api/v1/namespaces/dev/{plural}/{item['metadata']['name']}": item
            for plural, found in items.items()
            for item in found
        }
    )


def test_a_round_gives_what_is_lacking(store: Store) -> None:
    with store.client() as api:
        standins.play(api)
    metrics = "/apis/metrics.k8s.io/v1beta1/namespaces/dev/pods"
    assert store.written == [
        "/api/v1/persistentvolumes/trial-uid-waits",
        f"{metrics}/runs",
        f"{metrics}/starts",
    ]


def test_a_second_round_writes_nothing(store: Store) -> None:
    with store.client() as api:
        standins.play(api)
        store.objects["/api/v1/namespaces/dev/persistentvolumeclaims/waits"]["status"]["phase"] = "Bound"
        store.written.clear()
        standins.play(api)
    assert store.written == []


def test_a_pod_of_the_same_name_in_another_namespace_is_another_one(store: Store) -> None:
    with store.client() as api:
        standins.play(api)
        store.written.clear()
        store.objects["/api/v1/namespaces/prod/pods/runs"] = pod("runs", "Running", "prod")
        standins.play(api)
    assert store.written[-1] == "/apis/metrics.k8s.io/v1beta1/namespaces/prod/pods/runs"
