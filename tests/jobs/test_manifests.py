"""The rendered jobs: practices J1 to J6, H4 and M4, Argo CD's order, and that scripts and manifests agree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .rendered import CONFIG, REPOSITORY, SECRETS, Job, Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

JOBS = ["backup", "cleanup", "data-seeding", "database-migration", "init-system"]
SCHEDULED = ["backup", "cleanup"]
FOLDERS = {
    name: REPOSITORY / ("components/demo-data" if name == "data-seeding" else f"base/jobs/{name}") for name in JOBS
}
SCRIPTS = sorted([*(REPOSITORY / "base/jobs").rglob("*.sh"), *(REPOSITORY / "components/demo-data").glob("*.sh")])
HOOKS = {
    "init-system": {"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/sync-wave": "-5"},
    "database-migration": {"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/sync-wave": "-4"},
    "data-seeding": {"argocd.argoproj.io/hook": "PostSync"},
}
BEFORE_HOOKS = "-10"


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, jobs: Mapping[str, Job]) -> Job:
    return jobs[request.param]


def test_these_are_all_jobs(jobs: Mapping[str, Job]) -> None:
    assert sorted(jobs) == JOBS
    assert sorted(name for name in jobs if jobs[name].manifest["kind"] == "CronJob") == SCHEDULED


# Scripts and manifests agree


def test_the_command_is_a_mounted_script(job: Job) -> None:
    assert job.container["command"] == ["/bin/sh", f"/scripts/{job.name}.sh"]
    assert "args" not in job.container
    files = job.files("/scripts")
    assert {f"{job.name}.sh", "lib.sh"} <= set(files)
    # and each file that a script names beside itself
    for text in files.values():
        for name in re.findall(r"\$\{0%/\*\}/([\w.-]+)", text):
            assert name in files


def test_the_scripts_are_the_files(job: Job) -> None:
    for name, text in job.files("/scripts").items():
        source = REPOSITORY / "base/jobs/lib/lib.sh" if name == "lib.sh" else FOLDERS[job.name] / name
        assert text == source.read_text()


def test_all_migrations_are_mounted(jobs: Mapping[str, Job]) -> None:
    migrations = FOLDERS["database-migration"] / "migrations"
    assert jobs["database-migration"].files("/migrations") == {
        path.name: path.read_text() for path in migrations.iterdir()
    }


def test_the_scripts_get_the_variables_that_they_read(job: Job) -> None:
    read: set[str] = set()
    for name, text in job.files("/scripts").items():
        read |= {word for line in re.findall(r"^ *need ([A-Z_ ]+)$", text, re.M) for word in line.split()}
        read |= set(re.findall(r"^ *integer ([A-Z_]+) ", text, re.M))
        read |= set(re.findall(r"^\\getenv \w+ (\w+)", text, re.M))
        if name != "lib.sh":
            read |= set(re.findall(r"\b(?:CLEANUP|BACKUP)_[A-Z_]+", text))
    # of flowlet-database-config
    given = set(job.variables()) | {"PGHOST", "PGPORT", "PGDATABASE"}
    assert read <= given
    assert given - read <= {"PGAPPNAME"}


def test_it_refers_to_what_others_provide_and_to_nothing_else(job: Job) -> None:
    config_maps = {source["configMapRef"]["name"] for source in job.container["envFrom"]}
    secrets: set[str] = set()
    for variable in job.container["env"]:
        source = variable.get("valueFrom", {})
        config_maps |= {source["configMapKeyRef"]["name"]} if "configMapKeyRef" in source else set()
        secrets |= {source["secretKeyRef"]["name"]} if "secretKeyRef" in source else set()
    assert config_maps - set(job.config_maps) <= set(CONFIG)
    assert secrets == set(SECRETS)


def test_only_the_password_of_its_own_role_is_given(jobs: Mapping[str, Job]) -> None:
    keys: dict[str, list[str]] = {}
    for name, job in jobs.items():
        sources = [variable.get("valueFrom", {}) for variable in job.container["env"]]
        keys[name] = [source["secretKeyRef"]["key"] for source in sources if "secretKeyRef" in source]
    assert keys == {
        "backup": ["backup_password"],
        "cleanup": ["cleanup_password"],
        "data-seeding": ["owner_password"],
        "database-migration": ["owner_password"],
        "init-system": ["owner_password", "app_password", "backup_password", "cleanup_password"],
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_plain_sh(script: Path) -> None:
    text = script.read_text()
    assert "\r" not in text
    done = subprocess.run(["/bin/sh", "-n", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if script.name != "lib.sh":
        assert re.search(r'^\. "\$\{0%/\*\}/lib\.sh"$', text, re.M)
    for bashism in (r"\[\[ ", r"\blocal ", r"<<<", r"<\(", r"\bpipefail\b", r"\bfunction "):
        assert not re.search(bashism, text), bashism
    assert "set -eu" in (REPOSITORY / "base/jobs/lib/lib.sh").read_text()


def test_no_script_is_a_string_in_yaml() -> None:
    for folder in FOLDERS.values():
        for path in folder.glob("*.yaml"):
            assert not re.search(r": [|>]", path.read_text()), path


# Argo CD's order


def test_hooks_and_waves(job: Job) -> None:
    annotations = job.manifest["metadata"].get("annotations", {})
    hook = {name: value for name, value in annotations.items() if name.startswith("argocd.argoproj.io/")}
    policy = {"argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}
    assert hook == (HOOKS[job.name] | policy if job.name in HOOKS else {})


def test_what_the_hooks_need_is_there_before_them(manifests: list[Manifest]) -> None:
    wave = "argocd.argoproj.io/sync-wave"
    for manifest in manifests:
        if manifest["kind"] in {"ConfigMap", "ServiceAccount"}:
            assert manifest["metadata"]["annotations"][wave] == BEFORE_HOOKS, manifest["metadata"]["name"]


def test_the_names_of_config_maps_carry_their_hash(manifests: list[Manifest]) -> None:
    names = [m["metadata"]["name"] for m in manifests if m["kind"] == "ConfigMap"]
    assert sorted(re.sub(r"-[a-z0-9]{10}$", "", name) for name in names) == [
        "backup-scripts",
        "cleanup-scripts",
        "data-seeding-scripts",
        "database-migration-migrations",
        "database-migration-scripts",
        "flowlet-jobs-config",
        "flowlet-jobs-lib",
        "init-system-scripts",
    ]
    assert all(re.search(r"-[a-z0-9]{10}$", name) for name in names)


# J2 to J6, H4, M4


def test_resources(job: Job) -> None:
    for kind in ("requests", "limits"):
        assert set(job.container["resources"][kind]) == {"cpu", "memory", "ephemeral-storage"}


def test_its_own_service_account_without_a_token(job: Job, manifests: list[Manifest]) -> None:
    assert job.pod["serviceAccountName"] == job.name
    assert job.pod["automountServiceAccountToken"] is False
    (account,) = (m for m in manifests if m["kind"] == "ServiceAccount" and m["metadata"]["name"] == job.name)
    assert account["automountServiceAccountToken"] is False


def test_errors_and_retries(job: Job) -> None:
    assert job.pod["restartPolicy"] == "Never"
    assert job.spec["backoffLimit"] in range(1, 7)
    assert job.spec["activeDeadlineSeconds"] > 0
    assert job.spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    assert job.container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_history(job: Job) -> None:
    assert job.spec["ttlSecondsAfterFinished"] >= 24 * 3600


@pytest.mark.parametrize("name", SCHEDULED)
def test_schedule(jobs: Mapping[str, Job], name: str) -> None:
    spec = jobs[name].manifest["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["timeZone"] == "Etc/UTC"
    assert spec["startingDeadlineSeconds"] >= 600
    assert spec["successfulJobsHistoryLimit"] == 3
    assert spec["failedJobsHistoryLimit"] == 5


def test_backups_leftovers_are_older_than_any_running_backup(jobs: Mapping[str, Job]) -> None:
    backup = jobs["backup"]
    (minutes,) = re.findall(r"^abandoned_minutes=(\d+)$", backup.files("/scripts")["backup.sh"], re.M)
    assert int(minutes) * 60 > backup.spec["activeDeadlineSeconds"]


def test_image(job: Job) -> None:
    assert job.container["image"] == "flowlet/database-tools"  # the tag or digest is the overlay's
    assert job.container["imagePullPolicy"] == "IfNotPresent"


def test_security_context(job: Job) -> None:
    pod = job.pod["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["runAsGroup"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert ("fsGroup" in pod) == (job.name == "backup")
    assert job.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {m["mountPath"] for m in job.container["volumeMounts"] if not m.get("readOnly")}
    assert writable == ({"/tmp", "/backups"} if job.name == "backup" else {"/tmp"})


def test_labels(job: Job) -> None:
    expected = {"app.kubernetes.io/name": job.name, "app.kubernetes.io/component": "job"}
    assert expected.items() <= job.manifest["metadata"]["labels"].items()
    pod = job.template["metadata"]["labels"]
    assert (expected | {"flowlet.example.com/database-client": "true"}).items() <= pod.items()


def test_the_component_labels_what_it_brings_as_the_base_does(
    jobs: Mapping[str, Job], manifests: list[Manifest]
) -> None:
    """`part-of` comes from base/kustomization.yaml for the others; a component's resources get none."""
    assert jobs["data-seeding"].template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "flowlet"
    own = [m for m in manifests if m["metadata"]["name"].startswith("data-seeding")]
    assert len(own) == 3
    assert {m["metadata"]["labels"]["app.kubernetes.io/part-of"] for m in own} == {"flowlet"}


def test_every_manifest_says_what_it_is_for() -> None:
    for folder in [REPOSITORY / "base/jobs", *FOLDERS.values()]:
        for path in folder.glob("*.yaml"):
            text = path.read_text()
            assert text.startswith("# "), path
            if path.name != "kustomization.yaml":
                assert text.startswith("# Purpose: "), path
                assert "Impact: " in text, path


def test_the_backups_survive_the_application(manifests: list[Manifest]) -> None:
    (claim,) = (m for m in manifests if m["kind"] == "PersistentVolumeClaim")
    assert claim["metadata"]["name"] == "flowlet-backups"
    assert claim["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
