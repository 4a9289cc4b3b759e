"""What the tests of this folder ask about rendered resources: pods, containers, references, quantities."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]
Reference = tuple[str, str, str | None]
"""Kind, name, and the key, or None for the whole."""

CLUSTER_SCOPED = {"Namespace"}
KINDS = {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
}
HASH = re.compile(r"-[a-z0-9]{10}$")
BINARY = {unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), start=1)}
UNITS = {"": Decimal(1), "m": Decimal("0.001"), **BINARY}


def quantity(text: str | int) -> Decimal:
    """`500m`, `1Gi`, `"2"` as a number of cores, bytes or things."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return Decimal(number) * UNITS[unit]


def title(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def without_hash(document: Document) -> str:
    """The name of a generated ConfigMap or Secret as its generator says it."""
    return HASH.sub("", str(document["metadata"]["name"]))


def matches(selector: Document, labels: dict[str, str]) -> bool:
    """A label selector of the kinds that these manifests use: all, or by matchLabels."""
    assert set(selector) <= {"matchLabels"}, f"not understood: {selector}"
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


@dataclass(frozen=True)
class Pod:
    """A pod as its owner describes it. `owner` prints as Kind/name."""

    owner: str
    kind: str
    namespace: str
    labels: dict[str, str]
    spec: Document

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def environment_names(self, rendered: Rendered) -> list[str]:
        """The names of all environment variables, those from whole ConfigMaps and Secrets included."""
        names = []
        for container in self.containers:
            for source in container.get("envFrom", []):
                field, reference = next((k, v) for k, v in source.items() if k in KINDS)
                holder = rendered.named(KINDS[field], reference["name"])
                names += [source.get("prefix", "") + key for key in keys(holder)]
            names += [entry["name"] for entry in container.get("env", [])]
        return names

    def references(self) -> Iterator[Reference]:
        """Each ConfigMap, Secret, claim and account that the pod reads."""
        if "serviceAccountName" in self.spec:
            yield "ServiceAccount", self.spec["serviceAccountName"], None
        for container in self.containers:
            yield from _container_references(container)
        for volume in self.spec.get("volumes", []):
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                yield from _volume_references(source)


def _container_references(container: Document) -> Iterator[Reference]:
    for source in [
        *container.get("envFrom", []),
        *(e.get("valueFrom", {}) for e in container.get("env", [])),
    ]:
        for field, reference in source.items():
            if field in KINDS:
                yield KINDS[field], reference["name"], reference.get("key")


def _volume_references(source: Document) -> Iterator[Reference]:
    for kind, field, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        if field in source:
            reference = source[field]
            found = reference.get(name) or reference["name"]
            yield kind, found, None
            for item in reference.get("items", []):
                yield kind, found, item["key"]
    if "persistentVolumeClaim" in source:
        yield "PersistentVolumeClaim", source["persistentVolumeClaim"]["claimName"], None


def keys(holder: Document) -> set[str]:
    """The keys of a ConfigMap or Secret."""
    return {key for field in ("data", "stringData", "binaryData") for key in holder.get(field) or {}}


@dataclass(frozen=True)
class Rendered:
    """One environment's resources."""

    environment: str
    documents: list[Document]

    def of(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def named(self, kind: str, name: str) -> Document:
        """The resource of this kind with exactly this name, or else with this name and a hash."""
        candidates = self.of(kind)
        for document in candidates:
            if document["metadata"]["name"] == name:
                return document
        found = [document for document in candidates if without_hash(document) == name]
        assert len(found) == 1, f"{self.environment}: {len(found)} resources are {kind}/{name}"
        return found[0]

    @property
    def pods(self) -> list[Pod]:
        return [pod for document in self.documents if (pod := self._pod(document))]

    @property
    def workloads(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.kind == "Deployment"]

    @property
    def configuration(self) -> dict[str, dict[str, str]]:
        """ConfigMap, without the hash in its name → key → value: what the JSON Schema describes."""
        return {without_hash(found): found["data"] for found in self.of("ConfigMap")}

    @staticmethod
    def _pod(document: Document) -> Pod | None:
        kind = document["kind"]
        if kind == "CronJob":
            template = document["spec"]["jobTemplate"]["spec"]["template"]
        elif kind in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
            template = document["spec"]["template"]
        else:
            return None
        labels = template["metadata"]["labels"]
        return Pod(title(document), kind, document["metadata"]["namespace"], labels, template["spec"])
