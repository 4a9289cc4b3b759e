"""What a push, a hand in the cluster, a failing migration and a rollback come to."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustodian import toolchain

from ..unit.kit import within
from .conftest import ENVIRONMENTS, NAMESPACE, Cluster, decoded

DEV = "development"
BACKEND = "overlays/development/config/backend.env"
KUSTOMIZATION = "overlays/development/kustomization.yaml"
SECRET = "overlays/development/secrets/flowlet-secrets.sops.yaml"


@pytest.fixture(autouse=True)
def restored(synced: Cluster) -> Iterator[None]:
    """Each test leaves an environment that is healthy at the tip, and a clean tree."""
    yield
    assert synced.git("status", "--porcelain") == ""
    synced.await_healthy(DEV, synced.tip())


def set_level(cluster: Cluster, level: str) -> None:
    cluster.write(BACKEND, lambda text: re.sub(r"LOG_LEVEL=\w+", f"LOG_LEVEL={level}", text))


def patched(cluster: Cluster, name: str, patch: str) -> None:
    """A patch of the overlay."""
    (cluster.root / "overlays/development/patches" / name).write_text(f"# A test's.\n{patch}", "utf-8")
    cluster.write(KUSTOMIZATION, lambda text: f"{text}  - path: patches/{name}\n")


def take_back(cluster: Cluster) -> None:
    """Revert the last commit and see it through."""
    cluster.git("revert", "--no-edit", "HEAD")
    ran = cluster.run("push", "--env", DEV, "--wait")
    assert ran.code == 0, ran.output


def named(items: list[dict[str, Any]], start: str) -> list[dict[str, Any]]:
    return [item for item in items if item["metadata"]["name"].startswith(start)]


def deployment(cluster: Cluster, name: str = "flowlet-backend") -> dict[str, Any]:
    (found,) = named(cluster.objects(DEV, "apps/v1", "Deployment"), name)
    return found


def test_a_changed_overlay_is_pushed_synced_and_followed(synced: Cluster) -> None:
    before = deployment(synced)["spec"]["template"]
    set_level(synced, "info")
    ran = synced.push(DEV, "Log less in development")
    assert ran.code == 0, ran.output
    assert synced.tip() == synced.git("rev-parse", "HEAD")
    assert synced.is_healthy_at(DEV, synced.tip())
    maps = named(synced.objects(DEV, "v1", "ConfigMap"), "flowlet-backend-config-")
    assert [found["data"]["LOG_LEVEL"] for found in maps] == ["info"]  # the old one is pruned
    assert deployment(synced)["spec"]["template"] != before  # what reads it is rolled
    assert synced.git("log", "-1", "--format=%s") == "Log less in development"


def test_a_push_without_wait_is_synced_all_the_same(synced: Cluster) -> None:
    set_level(synced, "debug")
    ran = synced.run("push", "--env", DEV, "--message", "Log more again")
    assert ran.code == 0, ran.output
    synced.await_healthy(DEV, synced.git("rev-parse", "HEAD"))


def test_a_deleted_resource_is_pruned(synced: Cluster) -> None:
    extra = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "flowlet-extra",
            "labels": {"app.kubernetes.io/name": "flowlet-extra", "app.kubernetes.io/component": "test"},
        },
        "data": {"A": "1"},
    }
    file = synced.root / "overlays/development/extra.yaml"
    file.write_text(yaml.safe_dump(extra), "utf-8")
    synced.write(KUSTOMIZATION, lambda text: text.replace("  - ../../base\n", "  - ../../base\n  - extra.yaml\n"))
    ran = synced.push(DEV, "Add a ConfigMap")
    assert ran.code == 0, ran.output
    assert named(synced.objects(DEV, "v1", "ConfigMap"), "flowlet-extra")
    file.unlink()
    synced.write(KUSTOMIZATION, lambda text: text.replace("  - extra.yaml\n", ""))
    ran = synced.push(DEV, "Remove it")
    assert ran.code == 0, ran.output
    assert not named(synced.objects(DEV, "v1", "ConfigMap"), "flowlet-extra")


def test_a_change_by_hand_in_the_cluster_is_undone(synced: Cluster) -> None:
    service = f"/api/v1/namespaces/{NAMESPACE[DEV]}/services/flowlet-backend-service"
    policy = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE[DEV]}/networkpolicies/default-deny"
    with synced.api() as api:
        selector = api.get(service)["spec"]["selector"]
        uid = api.get(policy)["metadata"]["uid"]
        api.patch(service, {"spec": {"selector": {"app.kubernetes.io/name": "mallory"}}})
        api.delete(policy)
        assert within(60, lambda: api.get(service)["spec"]["selector"] == selector)
        policies = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE[DEV]}/networkpolicies"
        assert within(
            60,
            lambda: [p["metadata"]["uid"] != uid for p in named(api.get(policies)["items"], "default-deny")] == [True],
        )


def test_drift_is_shown_with_secrets_as_fingerprints_only(synced: Cluster) -> None:
    """With auto-sync off, what somebody changed stays to be seen."""
    application = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/flowlet-development"
    service = f"/api/v1/namespaces/{NAMESPACE[DEV]}/services/flowlet-backend-service"
    with synced.api() as api:
        automated = api.get(application)["spec"]["syncPolicy"]["automated"]
        api.patch(application, {"spec": {"syncPolicy": {"automated": None}}})
        try:
            api.patch(service, {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": 8000}]}})
            (secret,) = named(synced.objects(DEV, "v1", "Secret"), "flowlet-banking-secrets-")
            name = secret["metadata"]["name"]
            api.delete(f"/api/v1/namespaces/{NAMESPACE[DEV]}/secrets/{name}")
            planted = dict.fromkeys(secret["data"], "planted-by-hand")
            made = {
                **secret,
                "metadata": {k: secret["metadata"][k] for k in ("name", "namespace", "labels", "annotations")},
            }
            made = {key: value for key, value in made.items() if key not in ("data", "status")}
            api.request("POST", f"/api/v1/namespaces/{NAMESPACE[DEV]}/secrets", json={**made, "stringData": planted})
            found = {}

            def drifts() -> bool:
                found["ran"] = synced.run("drift", "--env", DEV)
                return "flowlet-backend-service" in found["ran"].out and name in found["ran"].out

            assert within(40, drifts), found["ran"].output
        finally:
            api.patch(application, {"spec": {"syncPolicy": {"automated": automated}}})
    ran = found["ran"]
    assert ran.code == 1
    assert "81" in ran.out
    assert "planted-by-hand" not in ran.output
    for value in synced.plain[DEV]["flowlet-banking-secrets"].values():
        assert value not in ran.output
    assert re.search(r"sealed", ran.out), ran.out
    # An immutable Secret can't be changed back: it is replaced, as an administrator would.
    with synced.api() as api:
        api.delete(f"/api/v1/namespaces/{NAMESPACE[DEV]}/secrets/{name}")
    assert within(
        60,
        lambda: (
            [decoded(s) for s in named(synced.objects(DEV, "v1", "Secret"), name)]
            == [synced.plain[DEV]["flowlet-banking-secrets"]]
        ),
    )


def test_a_changed_secret_rolls_the_pods_that_read_it(synced: Cluster) -> None:
    def pods() -> set[str]:
        return {pod["metadata"]["uid"] for pod in named(synced.objects(DEV, "v1", "Pod"), "flowlet-backend-")}

    before, sops = pods(), toolchain.find("sops").path
    new = "a-new-value-of-the-api-key"
    subprocess.run(
        [sops, "set", "--value-stdin", SECRET, '["stringData"]["api_key"]'],
        cwd=synced.root,
        env=synced.environment,
        input=f'"{new}"'.encode(),
        check=True,
        capture_output=True,
    )
    synced.plain[DEV]["flowlet-secrets"]["api_key"] = new
    ran = synced.push(DEV, "A new API key")
    assert ran.code == 0, ran.output
    (secret,) = named(synced.objects(DEV, "v1", "Secret"), "flowlet-secrets-")
    assert decoded(secret) == synced.plain[DEV]["flowlet-secrets"]
    assert within(30, lambda: not pods() & before)
    assert len(pods()) >= 1


def test_a_failing_migration_stops_the_roll_out_and_the_old_version_serves_on(synced: Cluster) -> None:
    image = deployment(synced)["spec"]["template"]["spec"]["containers"][0]["image"]
    patched(
        synced,
        "failing-migration.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: database-migration\nspec:\n  backoffLimit: 0\n"
        "  template:\n    metadata:\n      annotations:\n"
        '        trial.kustodian.dev/fails: "relation ledger is locked"\n',
    )
    images = "overlays/development/images/kustomization.yaml"
    synced.write(images, lambda text: text.replace("1.8.0-dev.42", "1.9.0-dev.1"))
    ran = synced.push(DEV, "A release whose migration fails", "--time-limit", "25")
    assert ran.code == 1, ran.output
    assert "database-migration" in ran.output
    running = deployment(synced)
    assert running["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert running["status"]["readyReplicas"] == running["status"]["replicas"] > 0
    assert not synced.is_healthy_at(DEV, synced.tip())
    take_back(synced)


def test_what_the_api_server_refuses_is_named_and_never_healthy(synced: Cluster) -> None:
    patched(
        synced,
        "smaller-volume.yaml",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: flowlet-backups\nspec:\n"
        "  resources:\n    requests:\n      storage: 1Gi\n",
    )
    ran = synced.push(DEV, "A volume can't shrink", "--time-limit", "30")
    assert ran.code == 1, ran.output
    assert "PersistentVolumeClaim" in ran.output
    assert "field can not be less than" in ran.output
    take_back(synced)


def test_what_never_gets_ready_is_never_called_healthy(synced: Cluster) -> None:
    patched(
        synced,
        "never-ready.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: flowlet-backend\nspec:\n  template:\n"
        '    metadata:\n      annotations:\n        trial.kustodian.dev/fails: "no such database"\n',
    )
    ran = synced.push(DEV, "A version that does not start", "--time-limit", "30")
    assert ran.code == 1, ran.output
    assert "Deployment/flowlet-development/flowlet-backend" in ran.output
    take_back(synced)


def test_the_later_of_two_pushes_is_what_runs_and_the_earlier_is_told(synced: Cluster) -> None:
    set_level(synced, "warning")
    first = synced.start("push", "--env", DEV, "--message", "The first of two", "--wait")
    assert within(60, lambda: synced.git("log", "-1", "--format=%s", synced.tip()) == "The first of two")
    set_level(synced, "debug")
    ran = synced.push(DEV, "The second of two")
    earlier = synced.finish(first)
    assert ran.code == 0, ran.output
    assert synced.is_healthy_at(DEV, synced.tip())
    assert synced.git("log", "-1", "--format=%s", synced.tip()) == "The second of two"
    assert (earlier.code, "superseded" in earlier.output.lower() or "newer" in earlier.output) in (
        (1, True),
        (0, False),
    )


def test_a_change_of_base_reaches_every_environment(synced: Cluster) -> None:
    synced.write("base/config/backend.env", lambda text: f"{text}# a comment\n")
    ran = synced.push(DEV, "A comment, which renders the same")
    assert ran.code == 0, ran.output
    synced.write(
        "base/backend/service-account.yaml",
        lambda text: text.replace("metadata:\n", "metadata:\n  annotations: {example.com/seen: everywhere}\n"),
    )
    ran = synced.push(DEV, "An annotation everywhere")
    assert ran.code == 0, ran.output
    for environment in ENVIRONMENTS:
        assert environment in ran.output
        synced.await_healthy(environment, synced.tip())
        (account,) = named(synced.objects(environment, "v1", "ServiceAccount"), "flowlet-backend")
        assert account["metadata"]["annotations"]["example.com/seen"] == "everywhere"


def test_a_rollback_restores_the_bytes_and_leaves_auto_sync_on(synced: Cluster) -> None:
    def rendered() -> str:
        return synced.run("build", "--env", DEV, "--output", "-").out

    before, good = rendered(), synced.tip()
    set_level(synced, "error")
    assert synced.push(DEV, "A change to regret").code == 0
    assert rendered() != before
    ran = synced.run("rollback", "--env", DEV, "--wait")
    assert ran.code == 0, ran.output
    assert rendered() == before
    assert good[:10] in ran.output
    assert synced.is_healthy_at(DEV, synced.tip())
    assert synced.application(DEV)["spec"]["syncPolicy"]["automated"]["selfHeal"] is True
    assert synced.git("rev-parse", "HEAD") == synced.tip() != good


def test_an_emergency_rollback_says_what_it_did_to_auto_sync(synced: Cluster) -> None:
    set_level(synced, "error")
    assert synced.push(DEV, "A change to regret at night").code == 0
    ran = synced.run("rollback", "--env", DEV, "--emergency")
    assert ran.code == 0, ran.output
    assert "auto-sync" in ran.output
    maps = named(synced.objects(DEV, "v1", "ConfigMap"), "flowlet-backend-config-")
    assert "debug" in [found["data"]["LOG_LEVEL"] for found in maps]
    assert not synced.application(DEV)["spec"]["syncPolicy"].get("automated", {}).get("enabled", False)
    status = synced.run("status", "--env", DEV)
    assert status.code == 1, status.output
    set_level(synced, "debug")
    assert synced.run("push", "--env", DEV, "--message", "Say so in git, too").code == 0
    ran = synced.run("sync", "--env", DEV, "--auto", "--wait")
    assert ran.code == 0, ran.output
    assert synced.application(DEV)["spec"]["syncPolicy"]["automated"]["selfHeal"] is True


def test_history_lists_the_syncs(synced: Cluster) -> None:
    ran = synced.run("history", "--env", DEV)
    assert ran.code == 0, ran.output
    assert synced.tip()[:10] in ran.out
    assert len(ran.out.splitlines()) > 5


def test_what_is_not_this_environments_stays_uncommitted(synced: Cluster) -> None:
    other = synced.root / "README.md"
    text = other.read_text("utf-8")
    other.write_text(f"{text}\n", "utf-8")
    set_level(synced, "info")
    before = synced.tip()
    try:
        ran = synced.push(DEV, "Only half of it")
    finally:
        other.write_text(text, "utf-8")
        synced.git("checkout", "--quiet", "--", BACKEND)
    assert ran.code == 2, ran.output
    assert "README.md" in ran.output
    assert synced.tip() == before == synced.git("rev-parse", "HEAD")


def test_what_is_not_valid_is_not_pushed(synced: Cluster) -> None:
    before = synced.tip()
    set_level(synced, "chatty")
    try:
        ran = synced.push(DEV, "A level that is none")
    finally:
        synced.git("checkout", "--quiet", "--", BACKEND)
    assert ran.code == 1, ran.output
    assert "LOG_LEVEL" in ran.output
    assert synced.tip() == before == synced.git("rev-parse", "HEAD")
    assert Path(synced.root / BACKEND).exists()
