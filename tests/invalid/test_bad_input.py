"""What bad input gets: exit code, a message that names the file, a hint, and nothing half written.

Each test makes one defect in an otherwise sound repository and asserts the exact words, through the real command line.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import GENERATOR, Ran, Repo

Kustodian = Callable[..., Ran]

GOOD = {
    "base/kustomization.yaml": "resources: [config.yaml]\n",
    "base/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: '1'\n",
    "overlays/staging/kustomization.yaml": "resources: [../../base]\nnamespace: staging\n",
    "overlays/production/kustomization.yaml": "resources: [../../base]\nnamespace: production\n",
}
SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: correct-horse-battery\n"


@pytest.fixture
def good(repo: Repo) -> Repo:
    return repo.write(GOOD)


def written(repo: Repo) -> list[str]:
    """What lies in the output folder, temporary files included."""
    return sorted(path.relative_to(repo.root).as_posix() for path in repo.root.glob("build/**/*") if path.is_file())


def refused(ran: Ran, *words: str) -> None:
    assert ran.code == 2, ran
    for word in words:
        assert word in ran.output
    assert "Traceback" not in ran.output


COMPONENT = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
commonAnnotations:
  a: b
"""


def test_the_good_repository_is_good(good: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("validate", "--all", cwd=good.root)
    assert (ran.code, ran.err) == (0, "")
    assert "2 overlays checked: 0 findings" in ran.out


def test_unknown_environment_suggests_the_nearest(good: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("build", "--env", "stagign", cwd=good.root)
    refused(ran, "error: no environment is called 'stagign'\n  → did you mean staging?")
    assert written(good) == []


def test_no_selection_lists_what_there_is(good: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("build", cwd=good.root)
    refused(ran, "no overlay was named", "give --env NAME or --all; there are: production, staging")


def test_env_and_all_contradict(good: Repo, kustodian: Kustodian) -> None:
    refused(kustodian("build", "--all", "--env", "staging", cwd=good.root), "--all and --env contradict each other")


def test_unknown_option(good: Repo, kustodian: Kustodian) -> None:
    refused(kustodian("build", "--al", cwd=good.root), "error: No idea what '--al' is!")


def test_unknown_task(good: Repo, kustodian: Kustodian) -> None:
    refused(kustodian("biuld", cwd=good.root), "error: No idea what 'biuld' is!")


def test_unknown_format(good: Repo, kustodian: Kustodian) -> None:
    refused(kustodian("build", "--all", "--format", "xml", cwd=good.root), "--format xml: unknown", "text, json")


def test_repo_that_is_no_folder(tmp_path: Path, kustodian: Kustodian) -> None:
    refused(kustodian("--repo", tmp_path / "nowhere", "build", "--all"), "nowhere is not a folder")


def test_empty_repository(repo: Repo, kustodian: Kustodian) -> None:
    refused(kustodian("build", "--all", cwd=repo.root), "has no Kustomization to build")


def test_missing_kustomization(good: Repo, kustodian: Kustodian) -> None:
    good.write({"overlays/empty/readme.txt": ""})
    refused(kustodian("build", "--env", "empty", cwd=good.root), "overlays/empty has no kustomization.yaml")


def test_kustomization_that_does_not_parse(good: Repo, kustodian: Kustodian) -> None:
    good.write({"overlays/staging/kustomization.yaml": "resources: [../../base\n"})
    ran = kustodian("build", "--all", cwd=good.root)
    refused(ran, "✗ overlays/staging: overlays/staging/kustomization.yaml: not YAML: line 2, column 1: ")
    assert "✓ overlays/production → build/overlays/production.yaml" in ran.out
    assert "1 overlay built, 1 failed" in ran.out
    assert written(good) == ["build/overlays/production.yaml"]


def test_resource_that_does_not_parse(good: Repo, kustodian: Kustodian) -> None:
    good.write({"base/config.yaml": "apiVersion: v1\nkind: [\n"})
    refused(kustodian("build", "--env", "staging", cwd=good.root), "base/config.yaml: not YAML: line 3, column 1: ")


def test_resource_file_that_does_not_exist(good: Repo, kustodian: Kustodian) -> None:
    (good.root / "base/config.yaml").unlink()
    ran = kustodian("build", "--env", "staging", cwd=good.root)
    refused(ran, "overlays/staging: base/kustomization.yaml: resources: config.yaml does not exist")


def test_base_folder_without_kustomization(good: Repo, kustodian: Kustodian) -> None:
    (good.root / "base/kustomization.yaml").unlink()
    ran = kustodian("build", "--env", "staging", cwd=good.root)
    refused(ran, "overlays/staging: overlays/staging/kustomization.yaml: base has no kustomization.yaml")


def test_duplicate_resource(good: Repo, kustodian: Kustodian) -> None:
    shutil.copy(good.root / "base/config.yaml", good.root / "overlays/staging/again.yaml")
    good.write({"overlays/staging/kustomization.yaml": "resources: [../../base, again.yaml]\n"})
    ran = kustodian("build", "--env", "staging", cwd=good.root)
    refused(
        ran, "overlays/staging: ", "already registered id: ConfigMap.v1.[noGrp]/c", "two files make the same resource"
    )


def test_component_used_as_an_overlay(good: Repo, kustodian: Kustodian) -> None:
    good.write({"overlays/trait/kustomization.yaml": COMPONENT})
    ran = kustodian("build", "--root", "overlays/trait", cwd=good.root)
    refused(ran, "overlays/trait is a Component: it can't be built on its own", "list it under `components:`")
    assert "overlays/trait" not in kustodian("build", "--all", cwd=good.root).output


def test_component_used_as_a_resource(good: Repo, kustodian: Kustodian) -> None:
    good.write(
        {
            "trait/kustomization.yaml": COMPONENT,
            "overlays/staging/kustomization.yaml": "resources: [../../trait]\n",
        }
    )
    refused(kustodian("build", "--env", "staging", cwd=good.root), "trait", "list it under `components:`")


def test_file_outside_of_the_kustomization(good: Repo, kustodian: Kustodian) -> None:
    good.write({"overlays/staging/kustomization.yaml": "resources: [../../base/config.yaml]\n"})
    ran = kustodian("build", "--env", "staging", cwd=good.root)
    refused(ran, "is not in or below", "set `loadRestrictor: none` in kustodian.yaml")
    good.write({"kustodian.yaml": "loadRestrictor: none\n"})
    assert kustodian("build", "--env", "staging", cwd=good.root).code == 0


def test_remote_base_that_cannot_be_reached(good: Repo, kustodian: Kustodian) -> None:
    good.write({"overlays/staging/kustomization.yaml": "resources: ['https://127.0.0.1:1/base.yaml']\n"})
    ran = kustodian("build", "--all", cwd=good.root)
    refused(ran, "✗ overlays/staging: ", "the remote base can't be reached")
    assert "✓ overlays/production" in ran.out


def test_plugin_that_starts_another_program(good: Repo, kustodian: Kustodian) -> None:
    good.write(
        {
            "overlays/staging/kustomization.yaml": "generators: [g.yaml]\n",
            "overlays/staging/g.yaml": GENERATOR.replace("path: ksops", "path: ./run.sh"),
            "overlays/staging/run.sh": "#!/bin/sh\ntouch ran\n",
        }
    )
    (good.root / "overlays/staging/run.sh").chmod(0o755)
    ran = kustodian("build", "--env", "staging", cwd=good.root)
    refused(ran, "the plugin ksops/secrets starts the program './run.sh'", "only `path: ksops` is started")
    assert not (good.root / "overlays/staging/ran").exists()


def remote_base(repo: Repo, folder: Path) -> str:
    """A git repository elsewhere with a transformer that starts a program."""
    files = {
        "kustomization.yaml": "resources: [c.yaml]\ntransformers: [t.yaml]\n",
        "c.yaml": GOOD["base/config.yaml"],
        "t.yaml": GENERATOR.replace("path: ksops", "path: ./run.sh"),
        "run.sh": f"#!/bin/sh\ntouch {folder}/ran\ncat\n",
    }
    remote = folder / "remote"
    Repo(remote, repo.identity, repo.sops).write(files)
    (remote / "run.sh").chmod(0o755)
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        subprocess.run(["git", *command], cwd=remote, check=True)
    return f"file://{remote}?ref=main"


def test_remote_base_beside_a_secrets_generator(good: Repo, tmp_path: Path, kustodian: Kustodian) -> None:
    good.secret_overlay("dev", SECRET)
    remote = remote_base(good, tmp_path)
    good.write({"overlays/dev/kustomization.yaml": f"generators: [secrets.yaml]\nresources: ['{remote}']\n"})
    ran = kustodian("build", "--env", "dev", cwd=good.root)
    refused(ran, f"the remote base {remote} beside a secrets generator could start programs of its own")
    assert not (tmp_path / "ran").exists()
    # Without a generator nothing of it runs either: plugins stay off.
    good.write({"overlays/dev/kustomization.yaml": f"resources: ['{remote}']\n"})
    refused(kustodian("build", "--env", "dev", cwd=good.root), "✗ overlays/dev: ")
    assert not (tmp_path / "ran").exists()


# --- encrypted files -------------------------------------------------------------------------------------------------


def test_no_recipient_at_hand(good: Repo, kustodian: Kustodian) -> None:
    good.secret_overlay("dev", SECRET)
    ran = kustodian("build", "--env", "dev", "--reveal", "--output", "-", cwd=good.root)
    refused(ran, "secret.sops.yaml: no key at hand opens it", f"age {good.identity.recipient}", "SOPS_AGE_KEY_FILE")
    assert kustodian("build", "--env", "dev", cwd=good.root).code == 0


def test_broken_mac(good: Repo, kustodian: Kustodian) -> None:
    file = good.secret_overlay("dev", SECRET.replace("stringData:", "type: Opaque\nstringData:"))
    # A key that is not encrypted but is under the MAC.
    file.write_text(file.read_text().replace("type: Opaque", "type: Changed"))
    key = str(good.identity.file)
    ran = kustodian("build", "--env", "dev", "--reveal", "--output", "-", cwd=good.root, SOPS_AGE_KEY_FILE=key)
    refused(ran, "secret.sops.yaml: its content does not match its MAC: it was changed after encrypting")
    ran = kustodian("decrypt", file, cwd=good.root, SOPS_AGE_KEY_FILE=key)
    refused(ran, "its content does not match its MAC")
    assert "correct-horse-battery" not in ran.output


def test_edited_by_hand_after_encrypting(good: Repo, kustodian: Kustodian) -> None:
    file = good.secret_overlay("dev", SECRET)
    file.write_text(file.read_text().replace("stringData:\n", "stringData:\n    token: plain-text-token\n"))
    ran = kustodian("build", "--env", "dev", cwd=good.root)
    refused(ran, "secret.sops.yaml:6: `stringData.token` is not encrypted though the file's rule says it must be")
    assert "plain-text-token" not in ran.output
    ran = kustodian("validate", "--env", "production", cwd=good.root)
    assert ran.code == 1
    assert "✗ encrypted  overlays/dev/secret.sops.yaml:6\n    `stringData.token` is in plain text" in ran.out


def test_file_that_is_not_encrypted(good: Repo, kustodian: Kustodian) -> None:
    file = good.secret_overlay("dev", SECRET)
    file.write_text(SECRET)
    refused(
        kustodian("build", "--env", "dev", cwd=good.root),
        "secret.sops.yaml: not encrypted",
        "kustodian encrypt overlays/dev/secret",
    )


def test_generator_that_names_a_missing_file(good: Repo, kustodian: Kustodian) -> None:
    good.secret_overlay("dev", SECRET).unlink()
    refused(
        kustodian("build", "--env", "dev", cwd=good.root), "overlays/dev: overlays/dev/secret.sops.yaml: No such file"
    )


def test_everything_encrypted(good: Repo, kustodian: Kustodian) -> None:
    good.write({".sops.yaml": f"creation_rules:\n  - age: {good.identity.recipient}\n"})
    good.secret_overlay("dev", SECRET)
    ran = kustodian("build", "--env", "dev", cwd=good.root)
    refused(ran, "`kind` is encrypted too", "encrypted_regex: ^(data|stringData)$")
    key = str(good.identity.file)
    ran = kustodian("build", "--env", "dev", "--reveal", "--output", "-", cwd=good.root, SOPS_AGE_KEY_FILE=key)
    assert ran.code == 0
    assert "correct-horse-battery" in ran.out


def test_encrypt_without_a_rule(good: Repo, kustodian: Kustodian) -> None:
    good.write({".sops.yaml": f"creation_rules:\n  - path_regex: other\n    age: {good.identity.recipient}\n"})
    good.write({"s.sops.yaml": SECRET})
    refused(kustodian("encrypt", "s.sops.yaml", cwd=good.root), "s.sops.yaml: no rule in ", "covers it")
    assert (good.root / "s.sops.yaml").read_text() == SECRET


def test_encrypt_that_would_leave_plain_text(good: Repo, kustodian: Kustodian) -> None:
    rule = f"creation_rules:\n  - encrypted_regex: ^data$\n    age: {good.identity.recipient}\n"
    text = SECRET + "data:\n  other: aGVsbG8=\n"
    good.write({".sops.yaml": rule, "s.sops.yaml": text})
    ran = kustodian("encrypt", "s.sops.yaml", cwd=good.root)
    refused(ran, "`stringData.password` would stay in plain text")
    assert (good.root / "s.sops.yaml").read_text() == text


def test_encrypt_twice_says_so_and_changes_nothing(good: Repo, kustodian: Kustodian) -> None:
    good.write({"s.sops.yaml": SECRET})
    assert kustodian("encrypt", "s.sops.yaml", cwd=good.root).out == "s.sops.yaml: encrypted\n"
    encrypted = (good.root / "s.sops.yaml").read_bytes()
    ran = kustodian("encrypt", "s.sops.yaml", cwd=good.root)
    assert (ran.code, ran.out) == (0, "s.sops.yaml: is encrypted already; nothing was changed\n")
    assert (good.root / "s.sops.yaml").read_bytes() == encrypted


# --- where the result goes -------------------------------------------------------------------------------------------


def test_reveal_where_git_does_not_ignore_it(good: Repo, kustodian: Kustodian) -> None:
    good.secret_overlay("dev", SECRET)
    key = str(good.identity.file)
    ran = kustodian("build", "--env", "dev", "--reveal", "--output", "out", cwd=good.root, SOPS_AGE_KEY_FILE=key)
    refused(ran, "holds plain secrets and git does not ignore it")
    assert not (good.root / "out").exists()


def test_reveal_to_an_ignored_file_is_for_its_owner_only(good: Repo, kustodian: Kustodian) -> None:
    good.secret_overlay("dev", SECRET)
    ran = kustodian("build", "--env", "dev", "--reveal", cwd=good.root, SOPS_AGE_KEY_FILE=str(good.identity.file))
    assert ran.code == 0
    file = good.root / "build/overlays/dev.revealed.yaml"
    assert "correct-horse-battery" in file.read_text()
    assert "correct-horse-battery" not in ran.output
    assert file.stat().st_mode & 0o777 == 0o600


def test_unwritable_output(good: Repo, kustodian: Kustodian) -> None:
    good.write({"file": "not a folder\n"})
    ran = kustodian("build", "--all", "--output", "file/below", cwd=good.root)
    refused(ran, "✗ can't write ", "file/below/overlays/staging.yaml: Not a directory")


def test_full_disk(good: Repo) -> None:
    """The file system refuses more bytes in the middle of a write: the old render stays, and no part of the new one."""
    good.write({"base/config.yaml": GOOD["base/config.yaml"].replace("'1'", "'" + "x" * 20_000 + "'")})
    good.write({"build/overlays/staging.yaml": "the old one\n"})
    done = subprocess.run(
        [sys.executable, "-m", "kustodian", "build", "--env", "staging"],
        cwd=good.root,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    refused(Ran(done.returncode, done.stdout, done.stderr), "✗ can't write ", "File too large")
    assert written(good) == ["build/overlays/staging.yaml"]
    assert (good.root / "build/overlays/staging.yaml").read_text() == "the old one\n"


# --- programs --------------------------------------------------------------------------------------------------------


def fake(folder: Path, name: str, script: str) -> Path:
    """A program in place of a pinned one: for faults that the real one does not have."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_missing_program(good: Repo, tmp_path: Path, kustodian: Kustodian) -> None:
    environment = {"KUSTODIAN_CACHE": str(tmp_path / "cache"), "KUSTODIAN_NO_BUILD": "1"}
    ran = kustodian("build", "--all", cwd=good.root, **environment)
    refused(ran, "kustomize v5.8.1 is needed and not installed\n  → put kustomize v5.8.1 on PATH")


def test_program_of_the_wrong_version(good: Repo, tmp_path: Path, kustodian: Kustodian) -> None:
    old = fake(tmp_path / "bin", "kustomize", "echo v4.5.7")
    environment = {
        "KUSTODIAN_CACHE": str(tmp_path / "cache"),
        "KUSTODIAN_NO_BUILD": "1",
        "PATH": f"{old.parent}:{os.environ['PATH']}",
    }
    ran = kustodian("build", "--all", cwd=good.root, **environment)
    refused(ran, f"kustomize v5.8.1 is needed and not installed (the one on PATH, {old}, is v4.5.7)")


def test_program_that_hangs_is_ended_with_its_children(good: Repo, tmp_path: Path, kustodian: Kustodian) -> None:
    pid = tmp_path / "pid"
    fake(tmp_path / "cache/bin/kustomize-v5.8.1", "kustomize", f"sleep 600 &\necho $! > {pid}\nwait")
    good.write({"kustodian.yaml": "timeout: 1\n"})
    ran = kustodian("build", "--env", "staging", cwd=good.root, KUSTODIAN_CACHE=str(tmp_path / "cache"))
    refused(ran, "kustomize did not end within 1 s; it and its children were ended")
    assert not running(int(pid.read_text()))


def test_a_cache_that_cannot_be_written(good: Repo, tmp_path: Path, kustodian: Kustodian) -> None:
    (tmp_path / "file").write_text("")
    ran = kustodian("build", "--all", cwd=good.root, KUSTODIAN_CACHE=str(tmp_path / "file"))
    refused(ran, "can't build kustomize into", "name another one in KUSTODIAN_CACHE")


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
