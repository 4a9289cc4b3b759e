"""How a version replaces another, how many there are, and in which order things come (M6, H5, C4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .facts import title, without_hash

if TYPE_CHECKING:
    from .facts import Rendered

WORKLOADS = ["flowlet-backend", "flowlet-web-frontend"]
WAVE = "argocd.argoproj.io/sync-wave"
OPTIONS = "argocd.argoproj.io/sync-options"
FIRST = {
    "Namespace",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "ConfigMap",
    "Secret",
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_autoscaler_owns_the_number_of_pods(rendered: Rendered, name: str) -> None:
    deployment = rendered.named("Deployment", name)
    autoscaler = rendered.named("HorizontalPodAutoscaler", name)["spec"]
    assert "replicas" not in deployment["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert 1 <= autoscaler["minReplicas"] < autoscaler["maxReplicas"]
    assert autoscaler["behavior"].keys() == {"scaleUp", "scaleDown"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_drain_can_always_go_on_and_never_takes_all(rendered: Rendered, name: str) -> None:
    budget = rendered.named("PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_rollout_keeps_serving_and_can_go_back(rendered: Rendered, name: str) -> None:
    spec = rendered.named("Deployment", name)["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    assert spec["revisionHistoryLimit"] >= 5
    (container,) = spec["template"]["spec"]["containers"]
    startup = container["startupProbe"]
    assert spec["progressDeadlineSeconds"] > startup["periodSeconds"] * startup["failureThreshold"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_high_availability_is_in_staging_and_production_only(all_rendered: dict[str, Rendered], name: str) -> None:
    for environment, found in all_rendered.items():
        high = environment != "development"
        least = found.named("HorizontalPodAutoscaler", name)["spec"]["minReplicas"]
        assert (least >= 3) == high, environment
        spread = found.named("Deployment", name)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [(s["topologyKey"], s["whenUnsatisfiable"]) for s in spread] == [
            ("topology.kubernetes.io/zone", "DoNotSchedule" if high else "ScheduleAnyway"),
            ("kubernetes.io/hostname", "ScheduleAnyway"),
        ], environment


def test_the_ground_comes_first_and_the_workloads_in_wave_zero(rendered: Rendered) -> None:
    for document in rendered.documents:
        wave = document["metadata"].get("annotations", {}).get(WAVE)
        if document["kind"] in FIRST:
            assert wave == "-10", title(document)
        elif document["kind"] not in {"Job", "CronJob", "PersistentVolumeClaim"}:
            assert wave is None, title(document)


def test_what_old_pods_still_read_is_pruned_last(rendered: Rendered) -> None:
    for document in [*rendered.of("ConfigMap"), *rendered.of("Secret")]:
        assert document["metadata"]["annotations"][OPTIONS] == "PruneLast=true", title(document)


def test_a_commit_never_deletes_the_namespace(rendered: Rendered) -> None:
    (namespace,) = rendered.of("Namespace")
    assert "Prune=false" in namespace["metadata"]["annotations"][OPTIONS].split(",")


def test_a_tool_reads_no_generator_annotation(rendered: Rendered) -> None:
    for document in rendered.documents:
        found = document["metadata"].get("annotations", {})
        assert not [key for key in found if key.startswith(("kustomize.", "config.kubernetes.io/"))], title(document)


def test_values_are_never_edited_in_place(rendered: Rendered) -> None:
    """Another value is another name, and so a rollout that can go back (M6)."""
    for document in [*rendered.of("ConfigMap"), *rendered.of("Secret")]:
        if document["kind"] == "Secret" or without_hash(document).endswith("-config"):
            assert document["immutable"] is True, title(document)
