"""From an empty cluster to three healthy environments."""

from __future__ import annotations

import pytest

from ..conftest import ROOT
from .conftest import ENVIRONMENTS, Cluster, decoded


def without_hash(name: str) -> str:
    from kustodian.resource import without_hash as strip

    return strip(name)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_synced_and_healthy_at_the_pushed_commit(synced: Cluster, environment: str) -> None:
    assert synced.is_healthy_at(environment, synced.git("rev-parse", "HEAD"))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_secrets_in_the_cluster_hold_the_decrypted_values(synced: Cluster, environment: str) -> None:
    found = {
        without_hash(secret["metadata"]["name"]): decoded(secret)
        for secret in synced.objects(environment, "v1", "Secret")
    }
    assert {name: found.get(name) for name in synced.plain[environment]} == synced.plain[environment]


def test_status_says_that_all_is_well(synced: Cluster) -> None:
    ran = synced.run("status")
    assert ran.code == 0, ran.output
    rows = [line.split() for line in ran.out.splitlines() if line.split()[0] in ENVIRONMENTS]
    commit = synced.git("rev-parse", "HEAD")[:10]
    assert [row[:6] for row in rows] == [
        [environment, f"flowlet-{environment}", commit, commit, "Synced", "Healthy"]
        for environment in sorted(ENVIRONMENTS)
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_drifts(synced: Cluster, environment: str) -> None:
    ran = synced.run("drift", "--env", environment)
    assert ran.code == 0, ran.output
    assert "no drift" in ran.out


def test_the_migration_is_over_before_a_new_replica_set_is_there(synced: Cluster) -> None:
    for environment in ENVIRONMENTS:
        jobs = {job["metadata"]["name"]: job for job in synced.objects(environment, "batch/v1", "Job")}
        completed = jobs["database-migration"]["status"]["completionTime"]
        created = [
            replica_set["metadata"]["creationTimestamp"]
            for replica_set in synced.objects(environment, "apps/v1", "ReplicaSet")
        ]
        assert created
        assert all(completed <= moment for moment in created)


def test_the_copy_is_the_repository(synced: Cluster) -> None:
    assert (synced.root / "base/kustomization.yaml").read_bytes() == (ROOT / "base/kustomization.yaml").read_bytes()
