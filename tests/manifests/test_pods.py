"""Containers: resources, security, probes, images, identity (H2, H4, J2, J3, M1 to M4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .facts import quantity

if TYPE_CHECKING:
    from .facts import Rendered

DIGEST = re.compile(r"^registry\.flowlet\.example\.com/flowlet/[a-z-]+@sha256:[0-9a-f]{64}$")
TEMPORARY = "/tmp"
TAG = re.compile(r"^registry\.flowlet\.example\.com/flowlet/[a-z-]+:(?!latest$)[\w][\w.-]*$")


def test_every_container_asks_for_and_is_limited_in_cpu_memory_and_disk(rendered: Rendered) -> None:
    for pod in rendered.pods:
        for container in pod.containers:
            for kind in ("cpu", "memory", "ephemeral-storage"):
                asked = quantity(container["resources"]["requests"][kind])
                most = quantity(container["resources"]["limits"][kind])
                assert 0 < asked <= most, f"{pod.owner} {container['name']} {kind}"


def test_every_container_fits_the_limit_range(rendered: Rendered) -> None:
    (limits,) = rendered.named("LimitRange", "flowlet-limits")["spec"]["limits"]
    for pod in rendered.pods:
        for container in pod.containers:
            for kind, least in limits["min"].items():
                assert quantity(container["resources"]["requests"][kind]) >= quantity(least), pod.owner
            for kind, most in limits["max"].items():
                assert quantity(container["resources"]["limits"][kind]) <= quantity(most), pod.owner


def test_every_pod_keeps_the_restricted_standard(rendered: Rendered) -> None:
    for pod in rendered.pods:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys(), pod.owner
        outer = pod.spec["securityContext"]
        assert outer["runAsNonRoot"] is True, pod.owner
        assert outer["runAsUser"] >= 10000, pod.owner
        assert outer["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        for container in pod.containers:
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False, pod.owner
            assert inner["readOnlyRootFilesystem"] is True, pod.owner
            assert inner["capabilities"] == {"drop": ["ALL"]}, pod.owner
            assert not inner.get("privileged", False), pod.owner
            assert "runAsNonRoot" not in inner, pod.owner
            assert not any("hostPort" in port for port in container.get("ports", [])), pod.owner


def test_a_writable_folder_in_a_pod_has_a_size(rendered: Rendered) -> None:
    for pod in rendered.pods:
        scratch = {mount["mountPath"] for c in pod.containers for mount in c["volumeMounts"]}
        assert TEMPORARY in scratch, pod.owner
        for volume in pod.spec["volumes"]:
            assert "hostPath" not in volume, pod.owner
            if "emptyDir" in volume:
                assert quantity(volume["emptyDir"]["sizeLimit"]) > 0, pod.owner


def test_no_pod_holds_a_kubernetes_token(rendered: Rendered) -> None:
    for account in rendered.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False, account["metadata"]["name"]
    for pod in rendered.pods:
        assert pod.spec["automountServiceAccountToken"] is False, pod.owner
        assert pod.spec["enableServiceLinks"] is False, pod.owner


def test_every_pod_has_an_account_of_its_own(rendered: Rendered) -> None:
    accounts = [pod.spec["serviceAccountName"] for pod in rendered.pods]
    assert len(accounts) == len(set(accounts))
    assert "default" not in accounts
    there = {account["metadata"]["name"] for account in rendered.of("ServiceAccount")}
    assert set(accounts) == there - {"default"}


def test_no_role_is_given_to_an_application(rendered: Rendered) -> None:
    for binding in rendered.of("RoleBinding"):
        assert {subject["kind"] for subject in binding["subjects"]} == {"Group"}, binding["metadata"]["name"]


def test_images_are_by_digest_where_it_counts_and_never_latest(rendered: Rendered) -> None:
    development = rendered.environment == "development"
    for pod in rendered.pods:
        for container in pod.containers:
            assert (TAG if development else DIGEST).match(container["image"]), container["image"]
            assert container["imagePullPolicy"] == ("Always" if development else "IfNotPresent"), pod.owner


def test_every_environment_runs_the_same_three_programs(all_rendered: dict[str, Rendered]) -> None:
    for environment, found in all_rendered.items():
        images = {container["image"] for pod in found.pods for container in pod.containers}
        programs = sorted(re.split("[@:]", image)[0].rpartition("/")[2] for image in images)
        assert programs == ["backend", "database-tools", "web-frontend"], environment


@pytest.mark.parametrize(
    ("name", "port", "startup", "liveness", "readiness"),
    [
        ("flowlet-backend", 8000, "/healthz", "/healthz", "/readyz"),
        ("flowlet-web-frontend", 3000, "/", "/", "/"),
    ],
)
def test_workloads_answer_their_probes_on_their_port(
    rendered: Rendered, name: str, port: int, startup: str, liveness: str, readiness: str
) -> None:
    (container,) = rendered.named("Deployment", name)["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    wanted = {"startupProbe": startup, "livenessProbe": liveness, "readinessProbe": readiness}
    for probe, path in wanted.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_a_stopping_workload_leaves_time_for_requests_in_flight(rendered: Rendered) -> None:
    for pod in rendered.workloads:
        for container in pod.containers:
            wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert 0 < wait < pod.spec["terminationGracePeriodSeconds"], pod.owner
