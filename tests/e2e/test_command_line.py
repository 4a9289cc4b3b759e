"""The tasks as people run them: through `invoke` and `kustodian`, on this repository and on others."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kustodian.render import Renderer
from kustodian.repository import Repository

from ..conftest import DEMO_KEY, GENERATOR, ROOT, Ran, Repo
from ..invalid.test_bad_input import GOOD, SECRET, fake, running, written

Kustodian = Callable[..., Ran]
TASKS = [
    *("build", "clean", "cluster", "decrypt", "doctor", "drift", "edit", "encrypt"),
    *("history", "push", "rollback", "status", "sync", "validate"),
]
OF_THIS_REPOSITORY = ["e2e"]
"""Tasks of its own `tasks.py`, which `kustodian` does not have."""
ENVIRONMENTS = ("development", "staging", "production")


def invoke(*arguments: str, cwd: Path = ROOT) -> Ran:
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's files as git would hand them out, so that tests may write beside them."""
    target = tmp_path_factory.mktemp("copy") / "flow let ü"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if name.split("/")[0] not in ("benchmarks", "docs", "scripts", "tests"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    subprocess.run(["git", "init", "--quiet", target], check=True)
    return target


def test_list_reads_like_a_manual() -> None:
    ran = invoke("--list")
    lines = [line.split(maxsplit=1) for line in ran.out.splitlines() if line.startswith("  ") and line[2] != " "]
    assert [parts[0] for parts in lines] == sorted([*TASKS, *OF_THIS_REPOSITORY])
    assert all(len(parts) == 2 for parts in lines), ran.out


def test_the_program_lists_the_tasks_that_every_repository_has(repo: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("--list", cwd=repo.root)
    assert [line.split()[0] for line in ran.out.splitlines() if line.startswith("  ") and line[2] != " "] == TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_option_has_help(task: str) -> None:
    ran = invoke("--help", task)
    options = ran.out.partition("Options:")[2].strip("\n").splitlines()
    # An option's line starts with it, and help stands beside it; longer help goes on below.
    lines = [line.split(maxsplit=1) for line in options if line.startswith("  --")]
    assert lines
    assert all(len(parts) == 2 for parts in lines), options


@pytest.mark.parametrize("task", ["decrypt", "edit", "encrypt"])
def test_help_after_a_task_that_wants_a_file(task: str) -> None:
    ran = invoke(task, "--help")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: --help is not a file\n  → give the file's path; for help: invoke --help TASK\n"


def test_build_writes_what_kustomize_prints(copy: Path, tool: Callable[[str], Path]) -> None:
    ran = invoke("build", "--env", "staging", cwd=copy)
    assert (ran.code, ran.err) == (0, "")
    first, *_ = ran.out.splitlines()
    assert first.startswith("✓ overlays/staging → build/overlays/staging.yaml  (")
    assert "6 sealed secrets" in ran.out
    got = (copy / "build/overlays/staging.yaml").read_bytes()
    renderer = Renderer(Repository.open(copy), tool("kustomize"))
    command: list[str | Path] = [
        tool("kustomize"),
        "build",
        "--enable-alpha-plugins",
        "--enable-exec",
        "overlays/staging",
    ]
    plain = subprocess.run(
        command, cwd=copy, env={**os.environ, **renderer.environment}, capture_output=True, check=True
    )
    assert got == plain.stdout
    invoke("build", "--env", "staging", cwd=copy)
    assert (copy / "build/overlays/staging.yaml").read_bytes() == got


def test_json_summary(copy: Path) -> None:
    ran = invoke("build", "--all", "--format", "json", cwd=copy)
    assert ran.code == 0
    summary = json.loads(ran.out)
    assert [item["environment"] for item in summary["overlays"]] == ["development", "production", "staging"]
    for item in summary["overlays"]:
        text = (copy / item["output"]).read_bytes()
        assert item["path"] == f"overlays/{item['environment']}"
        assert (item["status"], item["error"]) == ("built", None)
        assert item["bytes"] == len(text)
        assert item["sha256"] == hashlib.sha256(text).hexdigest()
        assert item["resources"] == len([document for document in yaml.safe_load_all(text) if document])
        assert 0 < item["seconds"] <= summary["seconds"] < 60


def test_a_run_from_a_subfolder(copy: Path) -> None:
    assert invoke("build", "--env", "staging", cwd=copy).code == 0
    ran = invoke("build", "--env", "staging", "--output", "-", cwd=copy / "base" / "backend")
    assert ran.code == 0
    assert ran.out.encode() == (copy / "build/overlays/staging.yaml").read_bytes()
    assert ran.err.startswith("✓ overlays/staging → standard output  (")


def test_root_builds_any_kustomization(copy: Path) -> None:
    ran = invoke("build", "--root", "backend", cwd=copy / "base")
    assert ran.code == 0
    assert "✓ base/backend → build/base/backend.yaml" in ran.out
    assert (copy / "build/base/backend.yaml").is_file()


def test_reveal_with_the_demo_key(copy: Path) -> None:
    sealed = invoke("build", "--env", "development", "--output", "-", cwd=copy).out
    revealed = invoke("build", "--env", "development", "--reveal", "--output", "-", cwd=copy)
    assert revealed.code == 0
    assert "postgresql" in revealed.out
    assert "sealed:" not in revealed.out

    def shape(text: str) -> list[tuple[str, list[str]]]:
        documents = [document for document in yaml.safe_load_all(text) if document["kind"] == "Secret"]
        return [
            (document["metadata"]["name"].rpartition("-")[0], sorted(document["stringData"])) for document in documents
        ]

    assert shape(sealed) == shape(revealed.out)
    assert len(shape(sealed)) == 6


def test_a_new_value_rolls_the_pods(copy: Path, tool: Callable[[str], Path]) -> None:
    """A secret set anew, and a changed configuration value, each give another name, and every reader the new one."""

    def names(kind: str, name: str) -> tuple[str, int]:
        ran = invoke("build", "--env", "development", "--output", "-", cwd=copy)
        documents = [document for document in yaml.safe_load_all(ran.out) if document["kind"] == kind]
        (found,) = [d["metadata"]["name"] for d in documents if d["metadata"]["name"].startswith(f"{name}-")]
        return found, ran.out.count(found)

    file = copy / "overlays/development/secrets/flowlet-secrets.sops.yaml"
    original = file.read_bytes()
    before, readers = names("Secret", "flowlet-secrets")
    assert readers > 1
    command: list[str | Path] = [tool("sops"), "set", file, '["stringData"]["api_key"]', '"another"']
    subprocess.run(command, env={**os.environ, "SOPS_AGE_KEY_FILE": str(DEMO_KEY)}, check=True)
    after, readers_after = names("Secret", "flowlet-secrets")
    assert after != before
    assert readers_after == readers
    file.write_bytes(original)
    assert names("Secret", "flowlet-secrets")[0] == before

    values = copy / "overlays/development/config/backend.env"
    original = values.read_bytes()
    before, readers = names("ConfigMap", "flowlet-backend-config")
    values.write_bytes(original.replace(b"LOG_LEVEL=debug", b"LOG_LEVEL=info"))
    after, readers_after = names("ConfigMap", "flowlet-backend-config")
    assert after != before
    assert readers_after == readers
    values.write_bytes(original)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_nobody_can_reveal(environment: str, copy: Path) -> None:
    ran = invoke("build", "--env", environment, "--reveal", "--output", "-", cwd=copy)
    assert ran.code == 2
    assert ran.out == ""
    assert "no key at hand opens it: it is encrypted for age age1" in ran.err


def test_this_repository_is_valid() -> None:
    ran = invoke("validate", "--all")
    assert (ran.code, ran.err) == (0, ""), ran
    assert "3 overlays checked: 0 findings" in ran.out


def test_decrypt_and_encrypt_by_the_rules(copy: Path) -> None:
    file = "overlays/development/secrets/new.sops.yaml"
    (copy / file).write_text(SECRET)
    assert invoke("encrypt", file, cwd=copy).out == f"{file}: encrypted\n"
    assert "correct-horse-battery" not in (copy / file).read_text()
    assert yaml.safe_load(invoke("decrypt", file, cwd=copy).out) == yaml.safe_load(SECRET)
    # The rule counts, not the folder that one stands in.
    (copy / file).write_text(SECRET)
    ran = invoke("encrypt", "new.sops.yaml", cwd=copy / "overlays/development/secrets")
    assert ran.code == 0, ran
    (copy / file).unlink()


def test_doctor_tells_what_is_at_hand(copy: Path) -> None:
    ran = invoke("doctor", cwd=copy)
    assert ran.code == 0, ran
    assert "✓ kustomize: v5.8.1 from cache: " in ran.out
    assert "✓ key of overlays/development: at hand" in ran.out
    assert "· key of overlays/production: not at hand: encrypted for age age1" in ran.out


def test_clean_removes_the_output_only(copy: Path) -> None:
    invoke("build", "--env", "production", cwd=copy)
    assert invoke("clean", cwd=copy).out == f"removed {copy / 'build'}\n"
    assert invoke("clean", cwd=copy).out == "nothing to remove\n"
    assert (copy / "overlays").is_dir()


def test_tasks_of_one_command_line_run_one_after_the_other(copy: Path) -> None:
    ran = invoke("build", "--env", "staging", "validate", "--env", "staging", cwd=copy)
    assert ran.code == 0
    assert "→ build/overlays/staging.yaml" in ran.out
    assert "1 overlay checked: 0 findings" in ran.out
    ran = invoke("build", "--env", "nowhere", "validate", "--env", "staging", cwd=copy)
    assert (ran.code, ran.out) == (2, "")


# --- other repositories ---------------------------------------------------------------------------------------------


def test_a_repository_without_overlays(tmp_path: Path, kustodian: Kustodian) -> None:
    """No kustodian.yaml, no overlays/, no git: every Kustomization that nothing refers to, broken ones beside good."""
    for name, text in {
        "apps/a/kustomization.yml": "resources: [../../lib/base]\n",
        "apps/b/Kustomization": "resources: [../../lib/base]\ncomponents: [../../lib/trait]\n",
        "apps/broken/kustomization.yaml": "resources: [gone.yaml]\n",
        "lib/base/kustomization.yaml": "resources: [c.yaml]\n",
        "lib/base/c.yaml": GOOD["base/config.yaml"],
        "lib/trait/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: p-\n"
        ),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    ran = kustodian("--repo", tmp_path, "build", "--all")
    assert ran.code == 2
    assert "✓ apps/a → build/apps/a.yaml" in ran.out
    assert "✓ apps/b → build/apps/b.yaml" in ran.out
    assert "✗ apps/broken: apps/broken/kustomization.yaml: resources: gone.yaml does not exist" in ran.out
    assert "2 overlays built, 1 failed: 2 resources in" in ran.out
    assert sorted(path.name for path in (tmp_path / "build").rglob("*.yaml")) == ["a.yaml", "b.yaml"]


def test_hundreds_of_roots(repo: Repo, kustodian: Kustodian) -> None:
    repo.write({"base/kustomization.yaml": "resources: [c.yaml]\n", "base/c.yaml": GOOD["base/config.yaml"]})
    repo.write({f"overlays/o{n:03}/kustomization.yaml": "resources: [../../base]\n" for n in range(200)})
    repo.write({"overlays/o007/kustomization.yaml": "resources: [\n"})
    ran = kustodian("build", "--all", cwd=repo.root)
    assert ran.code == 2
    assert "199 overlays built, 1 failed: 199 resources" in ran.out
    assert len(written(repo)) == 199


def test_nested_rules_and_other_recipients(repo: Repo, kustodian: Kustodian) -> None:
    """A folder's own .sops.yaml counts; a file for PGP or a cloud's KMS is sealed like any other, without its key."""
    nested = f"creation_rules:\n  - encrypted_regex: ^(password)$\n    age: {repo.identity.recipient}\n"
    repo.write({"overlays/dev/.sops.yaml": nested})
    file = repo.secret_overlay("dev", SECRET)
    file.write_text(SECRET)
    assert kustodian("encrypt", file, cwd=repo.root).code == 0
    assert "encrypted_regex: ^(password)$" in file.read_text()
    document = yaml.safe_load(file.read_text())
    del document["sops"]["age"]
    document["sops"]["pgp"] = [{"fp": "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "enc": "-----BEGIN PGP MESSAGE-----"}]
    document["sops"]["kms"] = [{"arn": "arn:aws:kms:eu-west-1:1:key/k", "enc": "x"}]
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    ran = kustodian("build", "--env", "dev", "--output", "-", cwd=repo.root)
    assert ran.code == 0
    assert "password: sealed:" in ran.out
    ran = kustodian("validate", "--all", cwd=repo.root)
    assert ran.code == 0, ran


def test_custom_resources_are_held_to_the_repositorys_definitions(repo: Repo, kustodian: Kustodian) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ledgers.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Ledger", "plural": "ledgers", "singular": "ledger", "listKind": "LedgerList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": {"type": "object", "properties": {"currency": {"type": "string"}}}},
                        }
                    },
                }
            ],
        },
    }
    resource = "apiVersion: example.com/v1\nkind: Ledger\nmetadata:\n  name: l\nspec:\n  currency: EUR\n"
    repo.write({"overlays/a/kustomization.yaml": "resources: [l.yaml]\n", "overlays/a/l.yaml": resource})
    ran = kustodian("validate", "--all", cwd=repo.root)
    assert ran.code == 2
    assert "overlays/a: example.com/v1/Ledger: no schema (1: l)" in ran.out
    assert "list the kind under `skipKinds` in kustodian.yaml" in ran.out
    repo.write({"kustodian.yaml": "skipKinds: [Ledger]\n"})
    assert kustodian("validate", "--all", cwd=repo.root).code == 0
    repo.write({"kustodian.yaml": "", "crds/ledger.yaml": yaml.safe_dump(definition)})
    assert kustodian("validate", "--all", cwd=repo.root).code == 0
    repo.write({"overlays/a/l.yaml": resource.replace("currency: EUR", "currency: EUR\n  curency: EUR")})
    ran = kustodian("validate", "--all", cwd=repo.root)
    assert ran.code == 1
    assert "✗ schema  overlays/a  Ledger/l  overlays/a/l.yaml:7" in ran.out
    assert "/spec: additional properties 'curency' not allowed" in ran.out


def test_findings_name_the_patch_that_made_them(repo: Repo, kustodian: Kustodian) -> None:
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  replicas: 1\n"
        "  selector:\n    matchLabels: {a: b}\n  template:\n    metadata:\n      labels: {a: b}\n"
        "    spec:\n      containers:\n        - name: c\n          image: c:1\n"
    )
    patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  replicas: many\n"
    repo.write(
        {
            "base/kustomization.yaml": "resources: [d.yaml]\n",
            "base/d.yaml": deployment,
            "overlays/a/kustomization.yaml": "resources: [../../base]\npatches:\n  - path: replicas.yaml\n",
            "overlays/a/replicas.yaml": patch,
        }
    )
    ran = kustodian("validate", "--all", "--format", "json", cwd=repo.root)
    assert ran.code == 1
    (finding,) = json.loads(ran.out)["findings"]
    assert finding["resource"] == "Deployment/d"
    assert (finding["file"], finding["line"]) == ("overlays/a/replicas.yaml", 6)
    assert finding["message"] == "/spec/replicas: got string, want null or integer"


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37", "v1.36.2"])
def test_kubernetes_versions(version: str, repo: Repo, kustodian: Kustodian) -> None:
    repo.write(GOOD)
    assert kustodian("validate", "--all", "--kubernetes-version", version, cwd=repo.root).code == 0


def test_a_version_without_schemas(repo: Repo, kustodian: Kustodian) -> None:
    repo.write(GOOD)
    ran = kustodian("validate", "--all", "--kubernetes-version", "1.24", cwd=repo.root)
    assert (ran.code, ran.err) == (
        2,
        "error: no schemas for Kubernetes 1.24\n  → choose one of 1.25 … 1.37\n",
    )


# --- the trial cluster ----------------------------------------------------------------------------------------------


def test_cluster_without_an_action(repo: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("cluster", cwd=repo.root)
    assert (ran.code, ran.out) == (2, "")
    assert "'cluster' did not receive required positional arguments: 'action'" in ran.err


@pytest.mark.parametrize("action", ["start", "UP", "up,down"])
def test_an_unknown_action_of_cluster(action: str, repo: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("cluster", action, cwd=repo.root)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: cluster {action}: unknown\n  → choose one of up, down, status\n"


@pytest.mark.parametrize("action", ["down", "status"])
def test_environments_are_for_cluster_up_only(action: str, repo: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("cluster", action, "--env", "dev", cwd=repo.root)
    assert (ran.code, ran.out, ran.err) == (2, "", f"error: --env is not for cluster {action}\n")


def test_cluster_status_and_down_without_one(repo: Repo, kustodian: Kustodian, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    ran = kustodian("cluster", "status", cwd=repo.root, KUSTODIAN_CACHE=cache)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out == "this repository's trial cluster is not up; to start it: kustodian cluster up\n"
    ran = kustodian("cluster", "down", cwd=repo.root, KUSTODIAN_CACHE=cache)
    assert (ran.code, ran.out, ran.err) == (0, "there is no trial cluster to end\n", "")
    assert not Path(cache).exists()


def test_cluster_up_with_an_unknown_environment_builds_nothing_first(
    repo: Repo, kustodian: Kustodian, tmp_path: Path
) -> None:
    repo.write(GOOD)
    cache = str(tmp_path / "cache")
    ran = kustodian("cluster", "up", "--env", "stagin", cwd=repo.root, KUSTODIAN_CACHE=cache)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: no environment is called 'stagin'\n  → did you mean staging?\n"
    assert not Path(cache).exists()


def test_cluster_up_without_its_programs_where_nothing_may_be_built(
    repo: Repo, kustodian: Kustodian, tmp_path: Path
) -> None:
    repo.write(GOOD)
    ran = kustodian("cluster", "up", cwd=repo.root, KUSTODIAN_CACHE=str(tmp_path / "cache"), KUSTODIAN_NO_BUILD="1")
    assert (ran.code, ran.out) == (2, "")
    assert re.match(r"error: \S+ v\S+ is needed and not installed", ran.err)
    assert "unset KUSTODIAN_NO_BUILD so that it is built into the cache" in ran.err


# --- ended in the middle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_in_the_middle(number: signal.Signals, repo: Repo, tmp_path: Path) -> None:
    """Ctrl-C, or a runner that cancels: children end, no part of a file stays, the exit code is 2."""
    repo.write(GOOD).write({"build/overlays/staging.yaml": "the old one\n"})
    pids = tmp_path / "pids"
    fake(tmp_path / "cache/bin/kustomize-v5.8.1", "kustomize", f"sleep 600 &\necho $! >> {pids}\nwait")
    process = subprocess.Popen(
        [sys.executable, "-m", "kustodian", "build", "--all"],
        cwd=repo.root,
        env={**os.environ, "KUSTODIAN_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "error: interrupted" in err
    assert "Traceback" not in out + err
    assert not any(running(int(pid)) for pid in pids.read_text().split())
    assert written(repo) == ["build/overlays/staging.yaml"]
    assert (repo.root / "build/overlays/staging.yaml").read_text() == "the old one\n"


def test_an_editor_that_is_killed_leaves_the_file_and_no_plain_text(repo: Repo, tmp_path: Path) -> None:
    file = repo.secret_overlay("dev", SECRET)
    before = file.read_bytes()
    seen = tmp_path / "seen"
    editor = fake(tmp_path / "bin", "editor", f'echo "$1" > {seen}\nsleep 600')
    process = subprocess.Popen(
        [sys.executable, "-m", "kustodian", "edit", str(file)],
        cwd=repo.root,
        env={**os.environ, "EDITOR": str(editor), "SOPS_AGE_KEY_FILE": str(repo.identity.file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: seen.exists() and seen.read_text().strip())
    plain = Path(seen.read_text().strip())
    assert "correct-horse-battery" in plain.read_text()
    os.killpg(process.pid, signal.SIGINT)  # what a terminal's Ctrl-C does
    process.communicate(timeout=20)
    assert process.returncode == 2
    assert file.read_bytes() == before
    assert not plain.exists()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_one_overlays_odd_values_do_not_stop_the_others(repo: Repo, kustodian: Kustodian) -> None:
    containers = "containers: [{name: c, image: 'c:1', args: [ARG]}]"
    pod = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  {containers}\n"
    for number, value in enumerate(('"="', '"2024-13-01"', '"0x_"', '"9999999999999999999999"')):
        repo.write({f"overlays/o{number}/kustomization.yaml": "resources: [p.yaml]\n"})
        repo.write({f"overlays/o{number}/p.yaml": pod.replace("ARG", value)})
    assert kustodian("validate", "--all", cwd=repo.root).code == 0
    ran = kustodian("build", "--all", "--format", "json", cwd=repo.root)
    assert ran.code == 0
    assert [overlay["images"] for overlay in json.loads(ran.out)["overlays"]] == [["c:1"]] * 4


def test_generator_documents_stay_out_of_the_render(repo: Repo, kustodian: Kustodian) -> None:
    repo.secret_overlay("dev", SECRET)
    ran = kustodian("build", "--env", "dev", "--output", "-", cwd=repo.root)
    assert [document["kind"] for document in yaml.safe_load_all(ran.out)] == ["Secret"]
    assert GENERATOR.splitlines()[0] not in ran.out
