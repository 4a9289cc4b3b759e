"""What people may do (M1, S2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .facts import Rendered

READ = {"get", "list", "watch"}


def permissions(rendered: Rendered, role: str) -> set[tuple[str, str]]:
    return {
        (resource, verb)
        for rule in rendered.named("Role", role)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_no_role_is_a_wildcard(rendered: Rendered) -> None:
    for role in rendered.of("Role"):
        for rule in role["rules"]:
            assert not any("*" in rule[field] for field in ("apiGroups", "resources", "verbs"))


def test_viewers_only_read_and_see_neither_secrets_nor_logs(rendered: Rendered) -> None:
    found = permissions(rendered, "flowlet-viewer")
    assert {verb for _, verb in found} <= READ
    assert not {resource for resource, _ in found} & {"secrets", "pods/log", "pods/exec", "pods/portforward"}


def test_operators_restart_and_read_logs_and_nothing_more(rendered: Rendered) -> None:
    assert permissions(rendered, "flowlet-operator") == {
        ("pods/log", "get"),
        ("pods/eviction", "create"),
        ("pods", "delete"),
    }


@pytest.mark.parametrize(
    "resource", ["secrets", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "deployments/scale"]
)
def test_nobody_may(rendered: Rendered, resource: str) -> None:
    for role in rendered.of("Role"):
        assert not [verb for what, verb in permissions(rendered, role["metadata"]["name"]) if what == resource]


def test_whoever_could_start_a_pod_could_read_every_secret_so_nobody_can(rendered: Rendered) -> None:
    pods = {"pods", "deployments", "replicasets", "jobs", "cronjobs", "statefulsets", "daemonsets"}
    for role in rendered.of("Role"):
        found = permissions(rendered, role["metadata"]["name"])
        assert not {(what, verb) for what, verb in found if what in pods and verb in {"create", "patch", "update"}}
