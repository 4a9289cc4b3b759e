"""What in the cluster differs from git: field by field, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kustodian.argocd.client import ManagedResource
from kustodian.delivery.commits import Commits
from kustodian.delivery.destination import Destination
from kustodian.delivery.drift import IS_THERE, Difference, Kind, differences, drift, fingerprints
from kustodian.delivery.fields import ABSENT, Change
from kustodian.errors import ExitCode, ServerError
from kustodian.git import Git
from kustodian.render import Renderer
from kustodian.repository import Repository
from kustodian.resource import ResourceId

from tests.conftest import Repo

from .kit import Answer, Document, Server, application, git

LIVE = {"metadata": {"name": "d"}, "spec": {"replicas": 5}}
GIT = {"metadata": {"name": "d"}, "spec": {"replicas": 3}}
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: dev, annotations: {kustomize.config.k8s.io/needs-hash: "true"}}
stringData: {a: hunter2, b: correct-horse}
"""


def managed(
    live: Document | None, git: Document | None, kind: str = "Deployment", name: str = "d", group: str = ""
) -> ManagedResource:
    return ManagedResource(group, kind, "dev", name, live=live, target=git, normalized=live, predicted=git)


def found(*resources: ManagedResource, **known: dict[str, str]) -> tuple[Difference, ...]:
    return tuple(differences(resources, {("dev", name): values for name, values in known.items()}))


def test_a_changed_field() -> None:
    name = ResourceId("Deployment", "dev", "d")
    assert found(managed(LIVE, GIT)) == (Difference(name, Kind.CHANGED, (Change("spec.replicas", 5, 3),)),)


def test_what_is_the_same_is_not_shown() -> None:
    assert found(managed(GIT, GIT)) == ()


def test_what_is_missing_and_what_is_extra() -> None:
    assert [one.kind for one in found(managed(None, GIT), managed(LIVE, None))] == [Kind.MISSING, Kind.EXTRA]


def test_an_extra_resource_that_says_of_itself_that_it_may_stay() -> None:
    annotations = {"argocd.argoproj.io/compare-options": "ServerSideDiff=true, IgnoreExtraneous"}
    assert found(managed({"metadata": {"annotations": annotations}}, None)) == ()


def test_what_argo_cd_is_told_to_ignore_is_ignored() -> None:
    resource = ManagedResource("", "Deployment", "dev", "d", live=LIVE, target=GIT, normalized=GIT, predicted=GIT)
    assert found(resource) == ()


def test_a_config_maps_values_are_shown() -> None:
    (one,) = found(managed({"data": {"LOG_LEVEL": "debug"}}, {"data": {"LOG_LEVEL": "info"}}, "ConfigMap"))
    assert one.changes == (Change("data.LOG_LEVEL", "debug", "info"),)


def test_of_a_secret_only_gits_fingerprint_is_shown() -> None:
    live = {"data": {"a": "++++++++", "b": "++++++++", "c": "++++++++"}, "type": "Opaque"}
    git = {"data": {"a": "++++++++++++", "b": "++++++++", "d": "++++++++"}, "type": "Opaque"}
    (one,) = found(managed(live, git, "Secret", "s-2222222222"), s={"a": "sealed:0123456789abcdef"})
    assert one.changes == (
        Change("data.a", IS_THERE, "sealed:0123456789abcdef"),
        Change("data.c", IS_THERE, ABSENT),
        Change("data.d", ABSENT, IS_THERE),
    )


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_no_value_of_a_secret_is_shown_even_if_the_server_does_not_mask_it(field: str) -> None:
    applied = {"kubectl.kubernetes.io/last-applied-configuration": '{"data": {"a": "aHVudGVyMg=="}}'}
    live = {field: {"a": "aHVudGVyMg=="}, "metadata": {"annotations": applied}}
    git = {field: {"a": "hunter2", "b": "hunter2"}}
    more = {**git, "metadata": {"annotations": {"x": "y"}}}
    for one, other in ((live, git), (git, live), (live, more), (more, live)):
        text = repr(found(managed(one, other, "Secret", "s")))
        assert "hunter2" not in text
        assert "aHVudGVyMg" not in text
        assert f"{field}.a" in text


def test_a_custom_resource_called_secret_is_shown() -> None:
    (one,) = found(managed({"data": {"a": "x"}}, {"data": {"a": "y"}}, "Secret", group="example.com"))
    assert one.changes == (Change("data.a", "x", "y"),)


def test_the_fingerprints_of_a_sealed_render() -> None:
    render = """\
apiVersion: v1
kind: Secret
metadata: {name: s-2222222222, namespace: dev}
data: {a: c2VhbGVkOjAxMjM=, plain: aHVudGVyMg==, broken: c2VhbGVkO}
stringData: {b: "sealed:4567", c: hunter2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {a: "sealed:no"}
"""
    assert fingerprints(render.encode()) == {("dev", "s"): {"a": "sealed:0123", "b": "sealed:4567"}}


class Deployed:
    """An overlay with a Secret in a repository, and a server where somebody has changed the Secret's `a`."""

    def __init__(self, repo: Repo, kustomize: Path) -> None:
        repo.secret_overlay("dev", SECRET)
        git(repo.root, "add", "--all")
        git(repo.root, "commit", "--quiet", "--message", "secrets")
        self.repository = Repository.open(repo.root)
        self.renderer = Renderer(self.repository, kustomize)
        self.revision = git(repo.root, "rev-parse", "HEAD")
        overlay = self.repository.overlays[0]
        self.commits = Commits(Git(repo.root), Destination(overlay, "app", "argocd", str(repo.root), "main", 0))

    def ask(self, revision: str, **status: Any) -> Any:
        live = {"metadata": {"name": "s-k2m"}, "data": {"a": "++++++++", "b": "++++++++"}}
        wanted = {"metadata": {"name": "s-k2m"}, "data": {"a": "++++++++++++", "b": "++++++++"}}
        item = {
            "kind": "Secret",
            "namespace": "dev",
            "name": "s-2222222222",
            "liveState": json.dumps(live),
            "normalizedLiveState": json.dumps(live),
            "targetState": json.dumps(wanted),
            "predictedLiveState": json.dumps(wanted),
        }

        def handler(request: httpx.Request) -> Answer:
            if request.url.path.endswith("managed-resources"):
                return {"items": [item]}
            assert request.url.params["refresh"] == "normal"
            return application(revision, **status)

        with Server(handler).client() as client:
            return drift(client, self.commits, self.renderer)


@pytest.fixture
def deployed(repo: Repo, tool: Callable[[str], Path]) -> Deployed:
    return Deployed(repo, tool("kustomize"))


def test_the_fingerprint_is_that_of_the_compared_commit(deployed: Deployed, repo: Repo) -> None:
    secret = next(iter(yaml.safe_load_all(deployed.renderer.render(deployed.repository.overlays[0]))))
    want = secret["stringData"]["a"]
    assert want.startswith("sealed:")
    repo.secret_overlay("dev", SECRET.replace("hunter2", "another"))  # in the working tree only
    found = deployed.ask(deployed.revision, sync="OutOfSync")
    assert (found.revision, found.resources, found.exit_code) == (deployed.revision, 1, ExitCode.FINDINGS)
    (one,) = found.differences
    assert one.changes == (Change("data.a", IS_THERE, want),)


def test_without_the_commit_there_is_no_fingerprint(deployed: Deployed) -> None:
    (one,) = deployed.ask("0" * 40).differences
    assert one.changes == (Change("data.a", IS_THERE, IS_THERE),)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"conditions": [{"type": "ComparisonError", "message": "no such path"}]}, "no such path"),
        ({"sync": "Unknown"}, "its sync status is unknown"),
    ],
)
def test_what_argo_cd_could_not_compare_is_an_error(status: dict[str, object], reason: str, deployed: Deployed) -> None:
    with pytest.raises(ServerError, match=f"could not compare app: {reason}"):
        deployed.ask(deployed.revision, **status)
