"""The Applications that a repository declares, held to its overlays. The Kustomizations are rendered by kustomize."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.finding import Finding
from kustodian.render import Renderer
from kustodian.repository import Repository
from kustodian.validate import argocd

from ..kit import Files, write

Check = Callable[[Files], list[Finding]]
ANNOTATION = "argocd.argoproj.io/manifest-generate-paths"
URL = "https://git.example.com/shop.git"
COVER = "/base;/overlays/a"


def application(
    name: str, path: str, *, paths: str = COVER, namespace: str = "shop", url: str = URL, more: str = ""
) -> str:
    return f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  annotations:
    {ANNOTATION}: {paths!r}
spec:
  project: shops
  source:
    repoURL: {url}
    path: {path}
  destination:
    server: https://kubernetes.default.svc
    namespace: {namespace}
{more}"""


FILES = {
    "kustodian.yaml": "argocd: {applications: deploy}\n",
    "deploy/kustomization.yaml": "namespace: argocd\nresources: [a.yaml]\n",
    "deploy/a.yaml": application("a", "overlays/a"),
    "overlays/a/kustomization.yaml": "namespace: shop\nresources: [../../base]\n",
    "base/kustomization.yaml": "resources: [web.yaml]\n",
    "base/web.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n",
    "docs/unread.md": "",
}


@pytest.fixture
def check(tmp_path: Path, tool: Callable[[str], Path]) -> Check:
    def run(files: Files) -> list[Finding]:
        repository = Repository.open(write(tmp_path, {**FILES, **files}))
        return argocd.check(Renderer(repository, tool("kustomize")))

    return run


def wrong(message: str, line: int, mend: str, *, name: str = "a", file: str = "deploy/a.yaml") -> Finding:
    return Finding("argocd", message, resource=f"Application/argocd/{name}", file=file, line=line, mend=mend)


def test_an_application_that_fits_its_overlay_is_right(check: Check) -> None:
    assert check({}) == []


def test_without_a_folder_of_applications_nothing_is_checked(check: Check) -> None:
    assert check({"kustodian.yaml": "{}\n", "deploy/a.yaml": "no: application\n"}) == []


@pytest.mark.parametrize("paths", ["/base;.", " /base/ ; /overlays/a ", "/base/*;/overlays/a", "../../base;."])
def test_what_covers_the_same_in_other_words_is_right(check: Check, paths: str) -> None:
    assert check({"deploy/a.yaml": application("a", "overlays/a", paths=paths)}) == []


def test_a_path_that_is_missing_is_a_finding_with_the_value_to_put_in(check: Check) -> None:
    assert check({"deploy/a.yaml": application("a", "overlays/a", paths=".")}) == [
        wrong(
            f"{ANNOTATION} misses what overlays/a reads, so a change of it is not deployed: "
            "base/kustomization.yaml, base/web.yaml",
            6,
            f"set it to: {COVER}",
        )
    ]


def test_many_missing_files_are_counted(check: Check) -> None:
    names = [f"{letter}.yaml" for letter in "abcde"]
    files = {f"base/{name}": FILES["base/web.yaml"].replace("web", name) for name in names}
    found = check(
        {
            **files,
            "base/kustomization.yaml": f"resources: [{', '.join(names)}]\n",
            "deploy/a.yaml": application("a", "overlays/a", paths="."),
        }
    )
    assert found[0].message.endswith("base/a.yaml, base/b.yaml, base/c.yaml and 3 more")


def test_a_path_that_nothing_reads_is_a_finding(check: Check) -> None:
    assert check({"deploy/a.yaml": application("a", "overlays/a", paths=f"{COVER};/docs")}) == [
        wrong(f"{ANNOTATION}: nothing that it renders reads /docs", 6, f"set it to: {COVER}")
    ]


def test_a_path_that_takes_in_another_overlay_is_a_finding(check: Check) -> None:
    found = check(
        {
            "overlays/b/kustomization.yaml": "{}\n",
            "deploy/kustomization.yaml": "namespace: argocd\nresources: [a.yaml, b.yaml]\n",
            "deploy/a.yaml": application("a", "overlays/a", paths="/base;/overlays"),
            "deploy/b.yaml": application("b", "overlays/b", paths="/overlays/b"),
        }
    )
    message = f"{ANNOTATION}: /overlays takes in overlays/b, which overlays/a does not read"
    assert found == [wrong(message, 6, f"set it to: {COVER}")]


def test_an_application_without_the_annotation_is_a_finding_at_its_document(check: Check) -> None:
    text = f"# A comment.\n{application('a', 'overlays/a')}".replace(
        f"  annotations:\n    {ANNOTATION}: {COVER!r}\n", ""
    )
    assert check({"deploy/a.yaml": text}) == [
        wrong(f"without {ANNOTATION} every commit renders it anew", 2, f"add {ANNOTATION}: {COVER}")
    ]


HOOK = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: j\n  annotations: {%s: Sync}\n"


@pytest.mark.parametrize("key", ["argocd.argoproj.io/hook", '"argocd.argoproj.io/hook"'])
def test_an_overlay_with_hooks_has_an_application_without_the_annotation(check: Check, key: str) -> None:
    """Argo CD would leave the hooks of a commit out that arrives while another one is being synced."""
    with_hook = {"base/kustomization.yaml": "resources: [web.yaml, job.yaml]\n", "base/job.yaml": HOOK % key}
    assert check(with_hook) == [
        wrong(
            f"with {ANNOTATION} a commit that arrives during a sync is synced without its hooks, "
            "and there are some: base/job.yaml",
            6,
            "remove the annotation (https://github.com/argoproj/argo-cd/issues/22795)",
        )
    ]
    without = application("a", "overlays/a").replace(f"  annotations:\n    {ANNOTATION}: {COVER!r}\n", "")
    assert check({**with_hook, "deploy/a.yaml": without}) == []


def test_a_policy_for_deleting_hooks_is_no_hook(check: Check) -> None:
    text = HOOK % "argocd.argoproj.io/hook-delete-policy"
    files = {"base/kustomization.yaml": "resources: [web.yaml, job.yaml]\n", "base/job.yaml": text}
    assert check(files) == []


def test_an_annotation_that_a_patch_sets_is_found_in_the_patch(check: Check) -> None:
    head = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\n"
    patch = f"{head}  annotations:\n    {ANNOTATION}: .\n"
    found = check(
        {
            "deploy/kustomization.yaml": "namespace: argocd\nresources: [a.yaml]\npatches: [{path: patch.yaml}]\n",
            "deploy/patch.yaml": patch,
        }
    )
    assert [(finding.file, finding.line) for finding in found] == [("deploy/patch.yaml", 6)]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("overlays/gone", "no such folder in this repository"),
        ("../elsewhere", "no such folder in this repository"),
        ("docs", "that folder has no kustomization.yaml"),
        ("component", "that is a Component, which can't be rendered alone"),
    ],
)
def test_a_path_that_can_not_be_rendered_is_a_finding(check: Check, path: str, problem: str) -> None:
    found = check(
        {
            "component/kustomization.yaml": "kind: Component\n",
            "deploy/kustomization.yaml": "namespace: argocd\nresources: [a.yaml, b.yaml]\n",
            "deploy/b.yaml": application("b", path),
        }
    )
    mend = "name the folder of an overlay; where an overlay moves, its Application follows"
    assert found == [wrong(f"path {path}: {problem}", 11, mend, name="b", file="deploy/b.yaml")]


def test_an_overlay_that_no_application_follows_is_a_finding(check: Check) -> None:
    assert check({"overlays/b/kustomization.yaml": "resources: [../../base]\n"}) == [
        Finding(
            "argocd",
            "no Application follows this overlay, so nothing deploys it",
            file="overlays/b/kustomization.yaml",
            line=1,
            overlay="overlays/b",
            mend=f"add one to deploy/ with `path: overlays/b` and `{ANNOTATION}: /base;/overlays/b`",
        )
    ]


@pytest.mark.parametrize(("namespace", "shown"), [("market", "market"), ("''", "(none)")])
def test_another_namespace_than_the_overlays_is_a_finding(check: Check, namespace: str, shown: str) -> None:
    assert check({"deploy/a.yaml": application("a", "overlays/a", namespace=namespace)}) == [
        wrong(
            f"goes to the namespace {shown}, but overlays/a renders into shop", 14, "set destination.namespace to shop"
        )
    ]


def test_an_overlay_that_sets_no_namespace_goes_to_any(check: Check) -> None:
    assert check({"overlays/a/kustomization.yaml": "resources: [../../base]\n"}) == []


def test_applications_of_other_repositories_are_not_looked_at(check: Check) -> None:
    chart = application("chart", "x", url="https://charts.example.com").replace("path: x", "chart: x")
    assert (
        check(
            {
                "deploy/kustomization.yaml": "namespace: argocd\nresources: [a.yaml, b.yaml, chart.yaml]\n",
                "deploy/b.yaml": application("b", "overlays/gone", url="https://git.example.com/other.git"),
                "deploy/chart.yaml": chart,
            }
        )
        == []
    )


SEVERAL = f"""\
  sources:
  - repoURL: https://charts.example.com
    chart: ingress
  - repoURL: {URL}
    path: overlays/a
  - repoURL: {URL}
    path: PATH
"""


def several(path: str, paths: str) -> str:
    one = f"  source:\n    repoURL: {URL}\n    path: overlays/a\n"
    return application("a", "overlays/a", paths=paths).replace(one, SEVERAL.replace("PATH", path))


def test_of_several_sources_each_must_be_covered(check: Check) -> None:
    extra = {"extra/kustomization.yaml": "{}\n"}
    assert check({**extra, "deploy/a.yaml": several("extra", f"{COVER};/extra")}) == []
    found = check({**extra, "deploy/a.yaml": several("extra", COVER)})
    assert found == [
        wrong(
            f"{ANNOTATION} misses what extra reads, so a change of it is not deployed: extra/kustomization.yaml",
            6,
            "set it to: /base;/extra;/overlays/a",
        )
    ]


def test_of_several_sources_the_wrong_one_is_named(check: Check) -> None:
    (found,) = check({"deploy/a.yaml": several("gone", COVER)})
    assert (found.message, found.line) == ("path gone: no such folder in this repository", 15)
