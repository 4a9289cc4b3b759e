"""What a push, a hand in the cluster, a failing migration and a rollback come to."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from kustodian import toolchain

from .conftest import APPLICATIONS, BOX, NAMESPACE, Cluster, decoded, within
from .steps import LEVEL, another_level, hours, level_in, named, patched, set_level, set_schedule, take_back

DEV = "development"
SECRET = "overlays/development/secrets/flowlet-secrets.sops.yaml"


@pytest.fixture(autouse=True)
def restored(synced: Cluster) -> Iterator[None]:
    """Each test leaves environments that are healthy at the tip, and a clean tree."""
    yield
    assert synced.git("status", "--porcelain") == ""
    assert synced.git("branch", "--show-current") == "main"
    for environment in (DEV, BOX):
        synced.await_healthy(environment, synced.tip())


def deployment(cluster: Cluster, environment: str, name: str) -> dict[str, Any]:
    (found,) = named(cluster.objects(environment, "apps/v1", "Deployment"), name)
    return found


def image_of(found: dict[str, Any]) -> str:
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_a_changed_overlay_is_pushed_synced_and_followed(synced: Cluster) -> None:
    before = deployment(synced, DEV, "flowlet-backend")["spec"]["template"]
    set_level(synced, DEV, "info")
    ran = synced.push(DEV, "Log less in development")
    assert ran.code == 0, ran.output
    assert synced.tip() == synced.git("rev-parse", "HEAD")
    assert synced.is_healthy_at(DEV, synced.tip())
    assert level_in(synced, DEV) == ["info"]  # the old one is pruned
    assert deployment(synced, DEV, "flowlet-backend")["spec"]["template"] != before  # what reads it is rolled
    assert synced.git("log", "-1", "--format=%s") == "Log less in development"


def test_a_push_that_nobody_waits_for_is_synced_all_the_same(synced: Cluster) -> None:
    another_level(synced)
    ran = synced.run("push", "--env", BOX, "--message", "Another level")
    assert ran.code == 0, ran.output
    synced.await_healthy(BOX, synced.git("rev-parse", "HEAD"))


def test_a_deleted_resource_is_pruned(synced: Cluster) -> None:
    folder = synced.root / "overlays" / BOX
    kustomization = f"overlays/{BOX}/kustomization.yaml"
    (folder / "extra.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n", "utf-8")
    synced.write(kustomization, lambda text: text.replace("volume.yaml]", "volume.yaml, extra.yaml]"))
    ran = synced.push(BOX, "Add a ConfigMap")
    assert ran.code == 0, ran.output
    assert named(synced.objects(BOX, "v1", "ConfigMap"), "extra")
    (folder / "extra.yaml").unlink()
    synced.write(kustomization, lambda text: text.replace(", extra.yaml]", "]"))
    ran = synced.push(BOX, "Remove it")
    assert ran.code == 0, ran.output
    assert not named(synced.objects(BOX, "v1", "ConfigMap"), "extra")


def test_a_change_by_hand_in_the_cluster_is_undone(synced: Cluster) -> None:
    service = f"/api/v1/namespaces/{NAMESPACE[DEV]}/services/flowlet-backend-service"
    policies = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE[DEV]}/networkpolicies"
    api = synced.admin
    selector = api.get(service)["spec"]["selector"]
    uid = api.get(f"{policies}/default-deny")["metadata"]["uid"]
    api.patch(service, {"spec": {"selector": {"app.kubernetes.io/name": "mallory"}}})
    api.delete(f"{policies}/default-deny")
    assert within(60, lambda: api.get(service)["spec"]["selector"] == selector)
    assert within(
        60,
        lambda: (
            [found["metadata"]["uid"] != uid for found in named(api.get(policies)["items"], "default-deny")] == [True]
        ),
    )


def test_drift_is_shown_and_secrets_as_fingerprints_only(synced: Cluster) -> None:
    """With auto-sync off, what somebody changed stays to be seen; with auto-sync on again, it goes."""
    api, application = synced.admin, f"{APPLICATIONS}/flowlet-development"
    service = f"/api/v1/namespaces/{NAMESPACE[DEV]}/services/flowlet-backend-service"
    (secret,) = named(synced.objects(DEV, "v1", "Secret"), "flowlet-banking-secrets-")
    name, plain = secret["metadata"]["name"], synced.plain[DEV]["flowlet-banking-secrets"]
    automated = api.get(application)["spec"]["syncPolicy"]["automated"]
    api.patch(application, {"spec": {"syncPolicy": {"automated": None}}})
    try:
        api.patch(service, {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8111}]}})
        # An immutable Secret is replaced, not changed; this one is of somebody who forgot that it was immutable.
        api.delete(f"/api/v1/namespaces/{NAMESPACE[DEV]}/secrets/{name}")
        kept = {key: secret["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
        planted = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": kept}
        api.apply({**planted, "stringData": dict.fromkeys(plain, "planted-by-hand")})
        ran = synced.run("drift", "--env", DEV)

        def shown() -> bool:
            nonlocal ran
            ran = synced.run("drift", "--env", DEV)
            return "flowlet-backend-service" in ran.out and name in ran.out

        assert within(40, shown, pause=2), ran.output
    finally:
        api.patch(application, {"spec": {"syncPolicy": {"automated": automated}}})
    assert ran.code == 1, ran.output
    assert "8111" in ran.out
    assert "sealed:" in ran.out
    assert "planted-by-hand" not in ran.output
    assert not [value for value in plain.values() if value in ran.output]
    assert within(60, lambda: [decoded(found) for found in named(synced.objects(DEV, "v1", "Secret"), name)] == [plain])


def test_a_changed_secret_rolls_the_pods_that_read_it(synced: Cluster) -> None:
    def pods() -> set[str]:
        return {pod["metadata"]["uid"] for pod in named(synced.objects(DEV, "v1", "Pod"), "flowlet-backend-")}

    before, new = pods(), "a-new-value-of-the-api-key"
    subprocess.run(
        [toolchain.find("sops").path, "set", "--value-stdin", SECRET, '["stringData"]["api_key"]'],
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
    assert pods()


def test_a_push_during_a_sync_ends_at_the_later_commit_and_runs_its_hooks(synced: Cluster) -> None:
    """Argo CD may take such a commit for a repair, which runs none (docs/decisions/0010)."""
    set_level(synced, DEV, "warning")
    first = synced.start("push", "--env", DEV, "--message", "The first of two", "--wait")

    def runs() -> bool:
        operation = synced.application(DEV)["status"].get("operationState", {})
        synced_to = operation.get("syncResult", {}).get("revision")
        return bool(operation.get("phase") == "Running" and synced_to == synced.tip())

    before = synced.tip()
    assert within(60, lambda: synced.tip() != before and runs())
    set_level(synced, DEV, "info")
    ran = synced.push(DEV, "The second of two")
    earlier = synced.finish(first)
    assert ran.code == 0, ran.output
    assert (earlier.code, "a newer commit" in earlier.output) == (1, True), earlier.output
    assert level_in(synced, DEV) == ["info"]
    operation = synced.application(DEV)["status"]["operationState"]
    assert operation["syncResult"]["revision"] == synced.tip()
    hooks = {found["name"] for found in operation["syncResult"]["resources"] if found.get("hookType")}
    assert hooks >= {"init-system", "database-migration"}
    (job,) = named(synced.objects(DEV, "batch/v1", "Job"), "database-migration")
    assert job["metadata"]["creationTimestamp"] >= operation["startedAt"]


def test_a_failing_migration_stops_the_roll_out_and_the_old_version_serves_on(synced: Cluster) -> None:
    image = image_of(deployment(synced, DEV, "flowlet-backend"))
    patched(
        synced,
        DEV,
        "failing-migration.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: database-migration\nspec:\n  backoffLimit: 0\n"
        "  template:\n    metadata:\n      annotations:\n"
        '        trial.kustodian.dev/fails: "relation ledger is locked"\n',
    )
    images = "overlays/development/images/kustomization.yaml"
    synced.write(images, lambda text: text.replace("1.8.0-dev.42", "1.9.0-dev.1"))
    ran = synced.push(DEV, "A release whose migration fails", "--time-limit", "20")
    assert ran.code == 1, ran.output
    assert "Job/flowlet-development/database-migration" in ran.output
    running = deployment(synced, DEV, "flowlet-backend")
    assert image_of(running) == image
    assert running["status"]["readyReplicas"] == running["status"]["replicas"] > 0
    assert not synced.is_healthy_at(DEV, synced.tip())
    take_back(synced, DEV)


def test_what_the_api_server_refuses_is_named_and_never_healthy(synced: Cluster) -> None:
    synced.write(f"overlays/{BOX}/volume.yaml", lambda text: text.replace("2Gi", "1Gi"))
    ran = synced.push(BOX, "A volume can't shrink", "--time-limit", "12")
    assert ran.code == 1, ran.output
    assert "PersistentVolumeClaim" in ran.output
    assert "field can not be less than" in ran.output
    take_back(synced, BOX)


def test_what_never_gets_ready_is_never_called_healthy(synced: Cluster) -> None:
    patched(
        synced,
        BOX,
        "never-ready.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: worker\nspec:\n  template:\n"
        '    metadata:\n      annotations:\n        trial.kustodian.dev/fails: "no such database"\n',
    )
    ran = synced.push(BOX, "A version that does not start", "--time-limit", "12")
    assert ran.code == 1, ran.output
    assert "Deployment/sandbox/worker" in ran.output
    take_back(synced, BOX)


def test_the_later_of_two_pushes_is_what_runs_and_the_earlier_is_told(synced: Cluster) -> None:
    set_level(synced, BOX, "warning")
    first = synced.start("push", "--env", BOX, "--message", "The first of two", "--wait")
    assert within(60, lambda: synced.git("log", "-1", "--format=%s", synced.tip()) == "The first of two")
    set_level(synced, BOX, "debug")
    ran = synced.push(BOX, "The second of two")
    earlier = synced.finish(first)
    assert ran.code == 0, ran.output
    assert synced.is_healthy_at(BOX, synced.tip())
    assert synced.git("log", "-1", "--format=%s", synced.tip()) == "The second of two"
    assert level_in(synced, BOX) == ["debug"]
    # It was either healthy before the second one came, or is told that another took its place.
    assert (earlier.code, "a newer commit" in earlier.output) in ((0, False), (1, True)), earlier.output


def for_review(cluster: Cluster, commit: str) -> list[str]:
    """The branches at a commit that Argo CD does not follow."""
    branches = cluster.git("ls-remote", "--heads", cluster.state.repository_url).splitlines()
    names = [line.split()[1].removeprefix("refs/heads/") for line in branches if line.split()[0] == commit]
    return [name for name in names if name != "main"]


def test_production_goes_by_a_branch_for_review(synced: Cluster) -> None:
    before = synced.tip()
    set_schedule(synced, 4)
    ran = synced.push("production", "Clean up an hour later")
    assert ran.code == 0, ran.output
    assert synced.tip() == before
    commit = synced.git("rev-parse", "HEAD")
    (branch,) = for_review(synced, commit)
    assert synced.git("branch", "--show-current") == branch
    assert "pull request" in ran.output
    assert branch in ran.output
    # Somebody reviews and merges it.
    synced.git("switch", "--quiet", "main")
    assert synced.git("rev-parse", "HEAD") == before
    synced.git("merge", "--quiet", "--ff-only", branch)
    synced.git("push", "--quiet", "origin", "main")
    synced.await_healthy("production", commit)
    assert "4" in hours(synced)


def test_a_change_of_base_that_reaches_production_goes_for_review_too(synced: Cluster) -> None:
    before = synced.tip()
    account = "base/backend/service-account.yaml"
    annotated = "  annotations:\n    example.com/seen: everywhere\n"
    synced.write(account, lambda text: text.replace("  annotations:\n", annotated))
    ran = synced.push(DEV, "An annotation everywhere")
    assert ran.code == 0, ran.output
    assert synced.tip() == before
    assert for_review(synced, synced.git("rev-parse", "HEAD"))
    assert "overlays/production" in ran.output
    synced.git("switch", "--quiet", "main")
    synced.write(account, lambda text: f"{text}# which renders the same\n")
    ran = synced.push(DEV, "A comment everywhere")
    assert ran.code == 0, ran.output
    assert synced.tip() == synced.git("rev-parse", "HEAD") != before


def test_in_the_trial_nobody_reviews(synced: Cluster) -> None:
    """The copy whose cluster it is pushes from wherever it is, past protection, and says to whom it speaks."""
    synced.git("pull", "--quiet", synced.state.repository_url, "main", root=synced.home)
    set_schedule(synced, 5, root=synced.home)
    plain = {"ARGOCD_SERVER": "", "ARGOCD_AUTH_TOKEN": "", "ARGOCD_CA": ""}
    push = ("push", "--env", "production", "--message", "Try it in production", "--wait")
    ran = synced.run(*push, root=synced.home, **plain)
    assert ran.code == 0, ran.output
    assert synced.is_healthy_at("production", synced.git("rev-parse", "HEAD", root=synced.home))
    assert "5" in hours(synced)
    ran = synced.run("status", root=synced.home, **plain)
    assert (ran.code, "trial cluster" in ran.out) == (0, True), ran.output
    synced.git("pull", "--quiet", "origin", "main")


def test_a_rollback_restores_the_bytes_and_leaves_auto_sync_on(synced: Cluster) -> None:
    def rendered() -> str:
        return synced.run("build", "--env", BOX, "--output", "-").out

    before, good = rendered(), synced.git("rev-parse", "HEAD")
    set_level(synced, BOX, "error")
    assert synced.push(BOX, "A change to regret").code == 0
    assert rendered() != before
    ran = synced.run("rollback", "--env", BOX, "--wait")
    assert ran.code == 0, ran.output
    assert rendered() == before
    assert re.search(r"byte", ran.output), ran.output
    assert synced.is_healthy_at(BOX, synced.tip())
    assert level_in(synced, BOX) == ["debug"]
    assert synced.application(BOX)["spec"]["syncPolicy"]["automated"]["selfHeal"] is True
    assert synced.git("rev-parse", "HEAD") == synced.tip() != good


def test_an_emergency_rollback_says_what_it_did_to_auto_sync(synced: Cluster) -> None:
    set_level(synced, BOX, "error")
    assert synced.push(BOX, "A change to regret at night").code == 0
    ran = synced.run("rollback", "--env", BOX, "--emergency")
    assert ran.code == 0, ran.output
    assert "auto-sync" in ran.output
    assert "debug" in level_in(synced, BOX)
    automated = synced.application(BOX)["spec"]["syncPolicy"].get("automated") or {}
    assert automated.get("enabled", False) is False
    status = synced.run("status", "--env", BOX)
    assert status.code == 1, status.output
    set_level(synced, BOX, "debug")
    assert synced.run("push", "--env", BOX, "--message", "Say so in git, too").code == 0
    ran = synced.run("sync", "--env", BOX, "--auto", "--wait")
    assert ran.code == 0, ran.output
    assert synced.application(BOX)["spec"]["syncPolicy"]["automated"]["selfHeal"] is True


def test_history_lists_the_syncs(synced: Cluster) -> None:
    ran = synced.run("history", "--env", BOX)
    assert ran.code == 0, ran.output
    assert "A change to regret at night" in ran.out
    assert len(ran.out.splitlines()) > 5


def test_what_is_not_this_environments_stays_uncommitted(synced: Cluster) -> None:
    other, before = synced.root / "README.md", synced.tip()
    text = other.read_text("utf-8")
    other.write_text(f"{text}\n", "utf-8")
    set_level(synced, BOX, "info")
    try:
        ran = synced.push(BOX, "Only half of it")
    finally:
        synced.git("checkout", "--quiet", "--", "README.md", LEVEL[BOX][0])
    assert ran.code == 2, ran.output
    assert "README.md" in ran.output
    assert synced.tip() == before == synced.git("rev-parse", "HEAD")


def test_what_is_not_valid_is_not_pushed(synced: Cluster) -> None:
    before = synced.tip()
    set_level(synced, DEV, "chatty")
    try:
        ran = synced.push(DEV, "A level that is none")
    finally:
        synced.git("checkout", "--quiet", "--", LEVEL[DEV][0])
    assert ran.code == 1, ran.output
    assert "LOG_LEVEL" in ran.output
    assert synced.tip() == before == synced.git("rev-parse", "HEAD")
