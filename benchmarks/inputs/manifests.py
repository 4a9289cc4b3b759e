"""What one service of an application is made of: ten resources of as many kinds, complete as real ones are."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def service(name: str) -> list[Manifest]:
    """The ten resources of the service `name`; each is valid in strict mode."""
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"}

    def resource(kind: str, api: str, body: Manifest, suffix: str = "") -> Manifest:
        return {"apiVersion": api, "kind": kind, "metadata": {"name": name + suffix, "labels": labels}, **body}

    pod = _pod(name, labels)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    return [
        resource("ServiceAccount", "v1", {"automountServiceAccountToken": False}),
        resource("ConfigMap", "v1", {"data": _settings(name)}, "-settings"),
        resource(
            "Deployment",
            "apps/v1",
            {"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod, "revisionHistoryLimit": 5}},
        ),
        resource(
            "Service",
            "v1",
            {"spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
        ),
        resource("Ingress", "networking.k8s.io/v1", {"spec": _ingress(name)}),
        resource("HorizontalPodAutoscaler", "autoscaling/v2", {"spec": _autoscaling(name)}),
        resource(
            "PodDisruptionBudget",
            "policy/v1",
            {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}},
        ),
        resource("NetworkPolicy", "networking.k8s.io/v1", {"spec": _network(labels)}),
        resource(
            "RoleBinding",
            "rbac.authorization.k8s.io/v1",
            {"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": name}]},
        ),
        resource("CronJob", "batch/v1", {"spec": _schedule(pod)}, "-cleanup"),
    ]


def _pod(name: str, labels: dict[str, str]) -> Manifest:
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 2}
    container = {
        "name": name,
        "image": f"registry.example.com/shop/{name}:v1",
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": f"{name}-secrets", "key": "url"}}},
        ],
        "envFrom": [{"configMapRef": {"name": f"{name}-settings"}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": {**probe, "httpGet": {"path": "/readyz", "port": "http"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  a path in the container
    }
    spec = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def _settings(name: str) -> dict[str, str]:
    return {"SERVICE": name, **{f"SETTING_{number}": f"value {number} of {name}" for number in range(12)}}


def _ingress(name: str) -> Manifest:
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    host = f"{name}.example.com"
    return {
        "ingressClassName": "nginx",
        "tls": [{"hosts": [host], "secretName": f"{name}-tls"}],
        "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
    }


def _autoscaling(name: str) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": 70}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }


def _network(labels: dict[str, str]) -> Manifest:
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    return {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [controller], "ports": [{"port": 8000, "protocol": "TCP"}]}],
        "egress": [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}],
    }


def _schedule(pod: Manifest) -> Manifest:
    spec = {**pod["spec"], "restartPolicy": "OnFailure"}
    return {
        "schedule": "30 3 * * *",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "jobTemplate": {
            "spec": {
                "backoffLimit": 2,
                "activeDeadlineSeconds": 900,
                "ttlSecondsAfterFinished": 86400,
                "template": {**pod, "spec": spec},
            }
        },
    }
