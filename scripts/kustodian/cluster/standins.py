"""What a cluster without machines lacks and Argo CD's health waits for, played once a second by the supervisor.

- a storage provisioner: every claim that waits gets a volume that holds nothing
- a metrics-server: every running pod uses a little, so that autoscalers have something to look at and nothing to do

The load balancer's address and the life of pods are kwok's (`objects/kwok.yaml`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kustodian.cluster.api import Api

_CLAIMS = "/api/v1/persistentvolumeclaims"
_PODS = "/api/v1/pods"
_METRICS = "/apis/metrics.k8s.io/v1beta1/pods"
_USAGE = {"cpu": "5m", "memory": "16Mi"}


def play(api: Api) -> None:
    """One round. A second one that finds nothing new writes nothing."""
    for claim in api.get(_CLAIMS)["items"]:
        if claim.get("status", {}).get("phase") == "Pending":
            api.apply(volume(claim))
    measured = {_key(item) for item in api.get(_METRICS)["items"]}
    for pod in api.get(_PODS)["items"]:
        if _key(pod) not in measured and pod.get("status", {}).get("phase") in ("Pending", "Running"):
            api.apply(usage(pod))


def volume(claim: dict[str, Any]) -> dict[str, Any]:
    """A PersistentVolume that only this claim can be bound to; the controller manager binds it."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"trial-{metadata['uid']}"},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": spec.get("storageClassName", ""),
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def usage(pod: dict[str, Any]) -> dict[str, Any]:
    """What metrics-server would say of a pod; it goes with the pod, which owns it."""
    metadata = pod["metadata"]
    return {
        "apiVersion": "metrics.k8s.io/v1beta1",
        "kind": "PodMetrics",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": metadata.get("labels", {}),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}],
        },
        # Ahead of the pod's readiness, or an autoscaler would take the pod for one that is still starting.
        "timestamp": (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "window": "1s",
        "containers": [{"name": container["name"], "usage": _USAGE} for container in pod["spec"]["containers"]],
    }


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
