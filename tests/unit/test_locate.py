from __future__ import annotations

from pathlib import Path

import pytest
from kustodian import locate
from kustodian.kustomization import Tree

from .kit import Files, write

DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  paused: false\n"
POINTER = "/spec/replicas"


def place(root: Path, files: Files, pointer: str = "", *, kind: str = "Deployment", name: str = "web") -> str:
    """`file:line` of what is found, from a Kustomization in `app/`."""
    write(root, files)
    found = locate.resource(Tree(root).closure(root / "app"), kind, name, pointer)
    return f"{found[0].relative_to(root).as_posix()}:{found[1]}" if found else ""


BASE = {
    "app/kustomization.yaml": "resources: [../base]\n",
    "base/kustomization.yaml": "resources: [web.yaml]\n",
    "base/web.yaml": f"# the web\n{DEPLOYMENT}",
}


def test_a_resource_is_where_it_is_declared(tmp_path: Path) -> None:
    assert place(tmp_path, BASE) == "base/web.yaml:2"
    assert place(tmp_path, BASE, "/spec/gone") == "base/web.yaml:2"


def test_a_field_is_where_the_base_sets_it(tmp_path: Path) -> None:
    assert place(tmp_path, BASE, POINTER) == "base/web.yaml:7"


def test_a_patch_that_sets_a_field_comes_before_the_base(tmp_path: Path) -> None:
    patch = "kind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: many\n"
    files = {
        **BASE,
        "app/kustomization.yaml": "resources: [../base]\npatches: [{path: replicas.yaml}]\n",
        "app/replicas.yaml": patch,
    }
    assert place(tmp_path, files, POINTER) == "app/replicas.yaml:4"
    assert place(tmp_path, files, "/spec/paused") == "base/web.yaml:8"
    assert place(tmp_path, files) == "base/web.yaml:2"


@pytest.mark.parametrize(
    "field",
    [
        "patches:\n- patch: |-\n    kind: Deployment\n    metadata: {name: web}\n    spec: {replicas: many}\n",
        "patches:\n- patch: '{kind: Deployment, metadata: {name: web}, spec: {replicas: many}}'\n",
        "patchesStrategicMerge:\n- |-\n  kind: Deployment\n  metadata: {name: web}\n  spec: {replicas: many}\n",
        "patchesStrategicMerge:\n- '{kind: Deployment, metadata: {name: web}, spec: {replicas: many}}'\n",
    ],
)
def test_an_inline_patch_is_in_its_kustomization_at_no_known_line(tmp_path: Path, field: str) -> None:
    files = {**BASE, "app/kustomization.yaml": f"resources: [../base]\n{field}"}
    assert place(tmp_path, files, POINTER) == "app/kustomization.yaml:0"
    assert place(tmp_path, files, "/spec/paused") == "base/web.yaml:8"


def test_the_outermost_patch_counts(tmp_path: Path) -> None:
    patch = "kind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n"
    files = {
        "app/kustomization.yaml": "resources: [../base]\npatches: [{path: outer.yaml}]\n",
        "app/outer.yaml": f"\n\n{patch}",
        "base/kustomization.yaml": "resources: [web.yaml]\npatches: [{path: inner.yaml}]\n",
        "base/inner.yaml": patch,
        "base/web.yaml": DEPLOYMENT,
    }
    assert place(tmp_path, files, POINTER) == "app/outer.yaml:5"


def test_a_pointer_leads_through_lists_and_escapes(tmp_path: Path) -> None:
    text = """\
kind: Deployment
metadata:
  name: web
  annotations:
    a/b~c: x
spec:
  containers:
  - name: one
  - name: two
    ports:
    - containerPort: http
"""
    files = {**BASE, "base/web.yaml": text}
    assert place(tmp_path, files, "/metadata/annotations/a~1b~0c") == "base/web.yaml:5"
    assert place(tmp_path, files, "/spec/containers/1/ports/0/containerPort") == "base/web.yaml:11"
    for gone in ("/spec/containers/2", "/spec/containers/x", "/spec/containers/1/name/deeper", "/"):
        assert place(tmp_path, files, gone) == "base/web.yaml:1"


def test_the_second_document_of_a_file_has_its_own_line(tmp_path: Path) -> None:
    files = {**BASE, "base/web.yaml": f"kind: Service\nmetadata: {{name: web}}\n---\n{DEPLOYMENT}"}
    assert place(tmp_path, files) == "base/web.yaml:4"
    assert place(tmp_path, files, POINTER) == "base/web.yaml:9"
    assert place(tmp_path, files, kind="Service") == "base/web.yaml:1"


@pytest.mark.parametrize("name", ["dev-web", "web-blue", "dev-web-blue", "web-g4hk9g2ff8", "dev-web-g4hk9g2ff8"])
def test_a_name_that_kustomize_has_dressed_is_known(tmp_path: Path, name: str) -> None:
    assert place(tmp_path, BASE, POINTER, name=name) == "base/web.yaml:7"


@pytest.mark.parametrize("order", ["web.yaml, frontend.yaml", "frontend.yaml, web.yaml"])
@pytest.mark.parametrize("prefix", ["", "dev-"])
def test_a_name_within_another_is_not_taken_for_it(tmp_path: Path, order: str, prefix: str) -> None:
    files = {
        **BASE,
        "base/kustomization.yaml": f"resources: [{order}]\n",
        "base/frontend.yaml": DEPLOYMENT.replace("name: web", "name: web-frontend"),
    }
    assert place(tmp_path, files, POINTER, name=f"{prefix}web-frontend") == "base/frontend.yaml:6"
    assert place(tmp_path, files, POINTER, name=f"{prefix}web") == "base/web.yaml:7"


def test_what_no_file_declares_has_no_place(tmp_path: Path) -> None:
    assert place(tmp_path, BASE, kind="Service") == ""
    assert place(tmp_path, BASE, name="other") == ""
    assert place(tmp_path, {"app/kustomization.yaml": "{}\n"}, POINTER) == ""


def test_files_that_do_not_parse_are_passed_over(tmp_path: Path) -> None:
    files = {
        **BASE,
        "base/kustomization.yaml": "resources: [broken.yaml, web.yaml]\npatches: [{patch: 'a: ['}, text, {patch: 1}]\n",
        "base/broken.yaml": "kind: Deployment\nmetadata: {name: web}\nspec: [\n",
    }
    assert place(tmp_path, files, POINTER) == "base/web.yaml:7"


def test_every_declaration_of_a_resource_is_found(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            **BASE,
            "app/kustomization.yaml": "resources: [../base, again.yaml]\n",
            "app/again.yaml": f"kind: X\nmetadata: {{name: x}}\n---\n{DEPLOYMENT}",
        },
    )
    found = locate.declarations(Tree(tmp_path).closure(tmp_path / "app"), "Deployment", "web")
    assert found == [(tmp_path / "base" / "web.yaml", 2), (tmp_path / "app" / "again.yaml", 4)]


# Keys of a configuration


def key_place(root: Path, files: Files, key: str) -> str:
    write(root, files)
    found = locate.config_key(Tree(root).closure(root / "app"), root / "app", key)
    return f"{found[0].relative_to(root).as_posix()}:{found[1]}" if found else ""


CONFIG = {
    "app/kustomization.yaml": "resources: [../base]\nconfigMapGenerator:\n- {name: c, envs: [own.env]}\n",
    "app/own.env": "# LEVEL=commented\nLEVELS=x\nLEVEL=debug\n",
    "base/kustomization.yaml": "configMapGenerator:\n- {name: c, envs: [base.env]}\n",
    "base/base.env": "LEVEL=info\nexport PORT = 80\nA.B=1\n",
}


@pytest.mark.parametrize(
    ("key", "want"),
    [
        ("LEVEL", "app/own.env:3"),
        ("LEVELS", "app/own.env:2"),
        ("PORT", "base/base.env:2"),
        ("A.B", "base/base.env:3"),
        ("AxB", ""),
        ("GONE", ""),
    ],
)
def test_a_key_is_at_its_line_the_overlays_own_before_the_bases(tmp_path: Path, key: str, want: str) -> None:
    assert key_place(tmp_path, CONFIG, key) == want
    windows = {name: text.replace("\n", "\r\n") for name, text in CONFIG.items()}
    assert key_place(tmp_path, windows, key) == want


def test_a_key_in_two_bases_has_no_one_place(tmp_path: Path) -> None:
    files = {
        "app/kustomization.yaml": "resources: [../base, ../other]\n",
        "base/kustomization.yaml": "configMapGenerator:\n- {name: c, envs: [a.env]}\n",
        "base/a.env": "LEVEL=info\n",
        "other/kustomization.yaml": "configMapGenerator:\n- {name: d, envs: [a.env]}\n",
        "other/a.env": "LEVEL=info\n",
    }
    assert key_place(tmp_path, files, "LEVEL") == ""


def test_a_file_that_is_gone_meanwhile_is_passed_over(tmp_path: Path) -> None:
    closure = Tree(write(tmp_path, CONFIG)).closure(tmp_path / "app")
    (tmp_path / "app" / "own.env").unlink()
    found = locate.config_key(closure, tmp_path / "app", "LEVEL")
    assert found == (tmp_path / "base" / "base.env", 1)
