from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.argocd import declared
from kustodian.argocd.application import Source
from kustodian.argocd.declared import Declared
from kustodian.errors import RenderError
from kustodian.render import Renderer
from kustodian.repository import Overlay, Repository

from ..kit import Files, write

Read = Callable[[Files], tuple[Declared, ...]]
SETTINGS = "argocd: {applications: deploy}\n"
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop
  annotations: {argocd.argoproj.io/manifest-generate-paths: /base;.}
spec:
  project: shops
  source: {repoURL: 'https://git.example.com/shop.git', path: overlays/a, targetRevision: main}
  destination: {server: 'https://kubernetes.default.svc', namespace: shop}
"""


@pytest.fixture
def read(tmp_path: Path, tool: Callable[[str], Path]) -> Read:
    def run(files: Files) -> tuple[Declared, ...]:
        return declared.read(Renderer(Repository.open(write(tmp_path, files)), tool("kustomize")))

    return run


def test_the_applications_are_those_of_the_render(read: Read) -> None:
    found = read(
        {
            "kustodian.yaml": SETTINGS,
            "deploy/kustomization.yaml": "namespace: argocd\nresources: [a.yaml, project.yaml, other.yaml]\n",
            "deploy/a.yaml": APPLICATION,
            "deploy/project.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: shops}\n",
            "deploy/other.yaml": "apiVersion: app.k8s.io/v1beta1\nkind: Application\nmetadata: {name: another-kind}\n",
        }
    )
    assert found == (
        Declared(
            name="shop",
            namespace="argocd",
            project="shops",
            sources=(Source("https://git.example.com/shop.git", "overlays/a", "main"),),
            destination_namespace="shop",
            paths=("/base", "."),
        ),
    )
    assert str(found[0]) == "Application/argocd/shop"


def test_a_repository_that_names_no_folder_declares_none(read: Read) -> None:
    assert read({"overlays/a/kustomization.yaml": "{}\n"}) == ()


def test_a_folder_that_does_not_render_is_an_error(read: Read) -> None:
    with pytest.raises(RenderError, match="deploy"):
        read({"kustodian.yaml": SETTINGS, "deploy/kustomization.yaml": "resources: [missing.yaml]\n"})


def test_what_an_application_leaves_out_is_empty() -> None:
    assert declared.parse({"kind": "Application", "metadata": None}) == Declared("", "", "", (), "", ())


@pytest.mark.parametrize(
    ("paths", "overlay", "found"),
    [
        (["overlays/a"], "overlays/a", True),
        (["overlays/a/"], "overlays/a", True),
        (["./overlays/a"], "overlays/a", True),
        (["", "overlays/a"], "overlays/a", True),
        (["overlays/ab"], "overlays/a", False),
        ([""], ".", False),
        (["."], ".", True),
    ],
)
def test_an_overlay_is_deployed_by_the_application_that_has_its_path(
    paths: list[str], overlay: str, found: bool
) -> None:
    application = Declared("a", "", "", tuple(Source("url", path) for path in paths), "")
    other = Declared("b", "", "", (Source("url", "overlays/b"),), "")
    assert declared.of([other, application], Overlay(overlay, Path())) == (application if found else None)
