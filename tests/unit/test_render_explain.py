"""What people read when kustomize refuses an overlay: the real kustomize's message, and what we make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian import process
from kustodian.render.explain import explain
from kustodian.repository import Repository

from .kit import write

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"
OTHER = MAP.replace("name: m", "name: other")
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: x-\n"


@pytest.fixture
def explained(tmp_path: Path, tool: Callable[[str], Path]) -> Callable[[dict[str, str]], tuple[str, str]]:
    def run(files: dict[str, str]) -> tuple[str, str]:
        repository = Repository.open(write(tmp_path / "my repo", files))
        done = process.run([tool("kustomize"), "build", "app"], cwd=repository.root, timeout=30)
        assert done.returncode == 1, done.stdout
        return explain(repository, repository.overlay_at(repository.root / "app"), done.error_text)

    return run


Explained = Callable[[dict[str, str]], tuple[str, str]]


def test_a_folder_without_a_kustomization(explained: Explained) -> None:
    assert explained({"app/readme": ""}) == ("app has no kustomization.yaml", "add one, or remove the folder")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"app/kustomization.yaml": "resources: ["}, "app/kustomization.yaml: not YAML: line 2, column 1: "),
        (
            {"app/kustomization.yaml": "resources: [bad.yaml]", "app/bad.yaml": "a: 'hunter2\n"},
            "app/bad.yaml: not YAML: line 2, column 1: found unexpected end of stream",
        ),
        (
            {"app/kustomization.yaml": "resources: [gone.yaml, ../gone]"},
            "app/kustomization.yaml: resources: gone.yaml does not exist; "
            "app/kustomization.yaml: resources: ../gone does not exist",
        ),
        (
            {"app/kustomization.yaml": "resources: [../base]", "base/kustomization.yaml": "patches: [{path: p.yaml}]"},
            "base/kustomization.yaml: patches: p.yaml does not exist",
        ),
        (
            {"app/kustomization.yaml": "resources: [../base]", "base/readme": ""},
            "app/kustomization.yaml: base has no kustomization.yaml",
        ),
    ],
    ids=["kustomization", "resource", "missing", "nested", "folder"],
)
def test_files_that_are_missing_or_do_not_parse_are_named(
    explained: Explained, files: dict[str, str], message: str
) -> None:
    found, hint = explained(files)
    assert found.startswith(f"app: {message}")
    assert "hunter2" not in found
    assert hint == ""


def test_a_resource_that_two_files_make(explained: Explained) -> None:
    message, hint = explained(
        {
            "app/kustomization.yaml": "resources: [../base, m.yaml]\n",
            "app/m.yaml": f"# again\n{MAP}",
            "base/kustomization.yaml": "resources: [m.yaml]\n",
            "base/m.yaml": MAP,
        }
    )
    assert "may not add resource with an already registered id: ConfigMap.v1.[noGrp]/m.[noNs]" in message
    assert message.endswith("; declared in base/m.yaml:1 and app/m.yaml:2")
    assert hint == "two files make the same resource: remove one, or turn it into a patch"


def test_a_patch_without_its_target(explained: Explained) -> None:
    message, hint = explained(
        {
            "app/kustomization.yaml": "resources: [../base]\n",
            "base/kustomization.yaml": "resources: [m.yaml]\npatches: [{path: p.yaml}]\n",
            "base/m.yaml": MAP,
            "base/p.yaml": OTHER,
        }
    )
    assert message.startswith(
        'app: no resource matches strategic merge patch "ConfigMap.v1.[noGrp]/other.[noNs]": no matches for Id'
    )
    assert hint == "the patch's target must name a resource that is rendered"


def test_a_component_among_resources(explained: Explained) -> None:
    message, hint = explained({"app/kustomization.yaml": "resources: [../c]\n", "c/kustomization.yaml": COMPONENT})
    assert "expected kind != 'Component' for path 'c'" in message
    assert hint == "list it under `components:`, not under `resources:`"


def test_a_file_outside_of_the_kustomization(explained: Explained) -> None:
    message, hint = explained({"app/kustomization.yaml": "resources: [../m.yaml]\n", "m.yaml": MAP})
    assert "security; file 'm.yaml' is not in or below 'app'" in message
    assert hint == "keep the file below the Kustomization, or set `loadRestrictor: none` in kustodian.yaml"


def test_a_field_that_is_none(explained: Explained) -> None:
    assert explained({"app/kustomization.yaml": "resurces: []\n"}) == (
        'app: invalid Kustomization: json: unknown field "resurces"',
        "check the spelling of the field in the kustomization",
    )


def test_a_helm_chart(explained: Explained) -> None:
    message, hint = explained({"app/kustomization.yaml": "helmCharts: [{name: x, repo: 'https://x'}]\n"})
    assert message.endswith("must specify --enable-helm")
    assert hint == "Helm charts inside a Kustomization are not rendered; render the chart beside it"


def test_a_remote_base_that_is_not_there(explained: Explained) -> None:
    message, hint = explained({"app/kustomization.yaml": "resources: ['https://127.0.0.1:1/base.yaml']\n"})
    assert message.startswith("app: accumulating resources from 'https://127.0.0.1:1/base.yaml': Get ")
    assert hint == "the remote base can't be reached"


def test_what_nobody_foresaw_keeps_kustomizes_innermost_message_without_the_repositorys_path(
    explained: Explained, tmp_path: Path
) -> None:
    message, hint = explained(
        {"app/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../app]\n"}
    )
    assert "cycle detected: candidate root 'app' contains visited root 'app'" in message
    assert str(tmp_path) not in message
    assert hint == ""


def test_a_failure_without_a_message(tmp_path: Path) -> None:
    repository = Repository.open(write(tmp_path, {"app/kustomization.yaml": "namePrefix: x-\n"}))
    overlay = repository.overlay_at(tmp_path / "app")
    assert explain(repository, overlay, "") == ("app: kustomize failed without a message", "")
    warned = "# Warning: 'bases' is deprecated.\nError: out of luck\n"
    assert explain(repository, overlay, warned) == ("app: out of luck", "")
