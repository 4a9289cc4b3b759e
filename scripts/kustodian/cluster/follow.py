"""What a trial cluster's Argo CD follows: a bare git repository in its folder, and the Applications for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from kustodian import process
from kustodian.cluster.plan import ARGOCD_NAMESPACE
from kustodian.errors import ToolError, UsageError
from kustodian.repository import Overlay
from kustodian.resource import split

BRANCH = "main"
_CLUSTER = "https://kubernetes.default.svc"
_SECONDS = 120.0


def make_repository(root: Path, target: Path) -> str:
    """A bare repository at `target` whose branch `main` is the commit that `root` has checked out; its URL.

    Raises `UsageError` where there is no commit to follow, `ToolError`.
    """
    head = _git(["rev-parse", "--verify", "--quiet", "HEAD"], root)
    if head.returncode != 0:
        raise UsageError(f"{root} has no commit that Argo CD could follow", hint="git init && git add . && git commit")
    _checked(_git(["init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(target)], root))
    url = target.resolve().as_uri()
    # A shallow clone can't be pushed from into an empty repository, which may be shallow too then.
    _checked(_git(["-C", str(target), "config", "receive.shallowUpdate", "true"], root))
    _checked(_git(["push", "--quiet", "--no-verify", url, f"HEAD:refs/heads/{BRANCH}"], root))
    return url


def documents(rendered: bytes, url: str, without: Iterable[Overlay]) -> Iterator[dict[str, Any]]:
    """The AppProjects and Applications of a render, but those of overlays `without` one, turned to the repository at
    `url`.

    Sync windows are left out, because nobody tries things out in a maintenance window.
    """
    found = [resource.document for resource in split(rendered)]
    paths = {overlay.path for overlay in without}
    addresses = {
        source["repoURL"]
        for document in found
        if document.get("kind") == "Application"
        for source in _sources(document["spec"])
        if "repoURL" in source
    }
    for document in found:
        if document.get("kind") == "AppProject":
            yield _project(document, addresses, url)
        elif document.get("kind") == "Application" and not paths & {s.get("path") for s in _sources(document["spec"])}:
            yield _application(document, url)


def own_applications(url: str, overlays: Sequence[Overlay]) -> Iterator[dict[str, Any]]:
    """For a repository that declares none: an Application for each overlay."""
    for overlay in overlays:
        yield _application(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": overlay.environment.lower()},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": url, "path": overlay.path, "targetRevision": BRANCH},
                    "destination": {"server": _CLUSTER, "namespace": overlay.environment.lower()},
                    "syncPolicy": {
                        "automated": {"prune": True, "selfHeal": True},
                        "syncOptions": ["CreateNamespace=true", "ServerSideApply=true"],
                    },
                },
            },
            url,
        )


def _project(document: Mapping[str, Any], addresses: set[str], url: str) -> dict[str, Any]:
    project = deepcopy(dict(document))
    spec = project["spec"]
    allowed = spec.get("sourceRepos", [])
    spec["sourceRepos"] = [*dict.fromkeys(url if repo in addresses else repo for repo in allowed)]
    spec.pop("syncWindows", None)
    project["metadata"]["namespace"] = ARGOCD_NAMESPACE
    return project


def _application(document: Mapping[str, Any], url: str) -> dict[str, Any]:
    application = deepcopy(dict(document))
    application["metadata"]["namespace"] = ARGOCD_NAMESPACE
    for source in _sources(application["spec"]):
        if "path" in source:
            source["repoURL"], source["targetRevision"] = url, BRANCH
    destination = application["spec"].setdefault("destination", {})
    if destination.get("name") or destination.get("server", _CLUSTER) != _CLUSTER:  # there is no other cluster here
        destination.pop("name", None)
        destination["server"] = _CLUSTER
    return application


def _sources(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return spec.get("sources") or [spec.get("source") or {}]


def _git(arguments: Sequence[str], root: Path) -> process.Completed:
    return process.run(["git", *arguments], cwd=root, env={**os.environ, "LC_ALL": "C"}, timeout=_SECONDS)


def _checked(done: process.Completed) -> None:
    if done.returncode != 0:
        raise ToolError(f"can't make the trial's git repository: {done.error_text.splitlines()[-1:]}")
