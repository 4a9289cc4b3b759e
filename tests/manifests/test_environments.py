"""What the environments share and where they differ (C4, G4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from .conftest import ENVIRONMENTS
from .facts import keys, without_hash
from .rendering import ROOT

if TYPE_CHECKING:
    from .facts import Rendered

HOSTS = {
    "development": "development.flowlet.example.com",
    "staging": "staging.flowlet.example.com",
    "production": "flowlet.example.com",
}


def overlay(environment: str) -> dict[str, Any]:
    text = ROOT.joinpath("overlays", environment, "kustomization.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def test_each_has_a_host_of_its_own_with_tls(rendered: Rendered) -> None:
    (ingress,) = rendered.of("Ingress")
    host = HOSTS[rendered.environment]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == [host]
    assert ingress["spec"]["tls"] == [{"hosts": [host], "secretName": "flowlet-tls-secret"}]
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/force-ssl-redirect"] == "true"
    assert not [key for key in annotations if key.endswith("-snippet")]


def test_no_placeholder_of_base_is_left(rendered: Rendered) -> None:
    text = yaml.safe_dump_all(rendered.documents)
    for placeholder in (".invalid", "192.0.2.", "cluster-issuer: none", "subjects: []"):
        assert placeholder not in text


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_all_have_the_same_keys(all_rendered: dict[str, Rendered], kind: str) -> None:
    shared = {name: held(found, kind) for name, found in all_rendered.items()}
    seeding = {name: {k: v for k, v in holders.items() if "seeding" not in k} for name, holders in shared.items()}
    assert seeding["development"] == seeding["staging"] == seeding["production"]


def held(rendered: Rendered, kind: str) -> dict[str, set[str]]:
    return {without_hash(found): keys(found) for found in rendered.of(kind)}


def test_demo_data_is_never_in_production(all_rendered: dict[str, Rendered]) -> None:
    for environment, found in all_rendered.items():
        seeds = [pod.owner for pod in found.pods if "data-seeding" in pod.owner]
        assert bool(seeds) == (environment != "production"), environment


def test_every_component_is_used_by_some_and_not_by_all() -> None:
    used = {
        environment: {Path(path).name for path in overlay(environment)["components"] if "components/" in path}
        for environment in ENVIRONMENTS
    }
    there = {found.parent.name for found in ROOT.glob("components/*/kustomization.yaml")}
    for component in there:
        users = [environment for environment in ENVIRONMENTS if component in used[environment]]
        assert 0 < len(users) < len(ENVIRONMENTS), component


def test_patches_are_the_same_concerns_in_every_environment() -> None:
    """A concern that one environment sets and another forgets would fall back to base's placeholder."""
    concerns = {
        environment: {Path(patch["path"]).stem for patch in overlay(environment)["patches"]}
        for environment in ENVIRONMENTS
    }
    assert concerns["staging"] == concerns["production"]
    only_here = {"image-pull-policy", "image-pull-policy-of-cronjobs"}
    assert concerns["development"] == concerns["production"] | only_here
    for environment in ENVIRONMENTS:
        files = {path.stem for path in ROOT.glob(f"overlays/{environment}/patches/*.yaml")}
        assert files == concerns[environment], "a patch that nothing refers to"


def test_schedules_differ(all_rendered: dict[str, Rendered]) -> None:
    for name in {cronjob["metadata"]["name"] for found in all_rendered.values() for cronjob in found.of("CronJob")}:
        schedules = [found.named("CronJob", name)["spec"]["schedule"] for found in all_rendered.values()]
        assert len(set(schedules)) == len(ENVIRONMENTS), name


def test_who_operates_differs_and_operators_can_look(all_rendered: dict[str, Rendered]) -> None:
    operators = {}
    for environment, found in all_rendered.items():
        groups = {
            binding["metadata"]["name"]: {subject["name"] for subject in binding["subjects"]}
            for binding in found.of("RoleBinding")
        }
        assert groups["flowlet-operators"] <= groups["flowlet-viewers"], environment
        operators[environment] = frozenset(groups["flowlet-operators"])
    assert len(set(operators.values())) == len(ENVIRONMENTS)
