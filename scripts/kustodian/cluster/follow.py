"""What a trial cluster's Argo CD follows: a bare git repository in its folder, and the Applications for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from kustodian.cluster.plan import ARGOCD_NAMESPACE
from kustodian.errors import UsageError
from kustodian.git import Git
from kustodian.repository import Overlay
from kustodian.resource import split

BRANCH = "main"
_CLUSTER = "https://kubernetes.default.svc"


def make_repository(root: Path, target: Path) -> str:
    """A bare repository at `target` whose branch `main` is the commit that `root` has checked out; its URL.

    Raises `UsageError` where there is no commit to follow, `GitError`.
    """
    git = Git(root)
    if git.resolve("HEAD") is None:
        raise UsageError(f"{root} has no commit that Argo CD could follow", hint="git add . && git commit")
    git.run("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(target))
    # A shallow clone can't be pushed from into an empty repository that may not be shallow too.
    git.run("config", "--file", str(target / "config"), "receive.shallowUpdate", "true")
    url = target.resolve().as_uri()
    git.run("push", "--quiet", "--no-verify", url, f"HEAD:refs/heads/{BRANCH}")
    return url


def documents(root: Path, rendered: bytes, url: str, without: Iterable[Overlay]) -> Iterator[dict[str, Any]]:
    """The AppProjects and Applications of a render, but those of overlays `without` one, turned to the repository at
    `url`, which is that at `root`.

    Whatever an Application has a folder of this repository from is this repository's address; sources of other
    addresses stay. Sync windows are left out, because nobody tries things out in a maintenance window.
    """
    found = [resource.document for resource in split(rendered)]
    paths = {overlay.path for overlay in without}
    addresses = {
        source["repoURL"]
        for document in found
        if document.get("kind") == "Application"
        for source in _sources(document["spec"])
        if "path" in source and (root / source["path"]).is_dir()
    }
    for document in found:
        if document.get("kind") == "AppProject":
            yield _project(document, addresses, url)
        elif document.get("kind") == "Application" and not paths & {s.get("path") for s in _sources(document["spec"])}:
            yield _application(document, addresses, url)


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
            {url},
            url,
        )


def _project(document: Mapping[str, Any], addresses: set[str], url: str) -> dict[str, Any]:
    project = deepcopy(dict(document))
    spec = project["spec"]
    allowed = spec.get("sourceRepos") or []
    ours = any(fnmatchcase(address, pattern) for pattern in allowed for address in addresses)
    spec["sourceRepos"] = [*(pattern for pattern in allowed if pattern not in addresses), *([url] if ours else [])]
    spec["destinations"] = [_here(destination) for destination in spec.get("destinations") or []]
    spec.pop("syncWindows", None)
    project["metadata"]["namespace"] = ARGOCD_NAMESPACE
    return project


def _application(document: Mapping[str, Any], addresses: set[str], url: str) -> dict[str, Any]:
    application = deepcopy(dict(document))
    application["metadata"]["namespace"] = ARGOCD_NAMESPACE
    spec = application["spec"]
    for source in _sources(spec):
        if source.get("repoURL") in addresses:
            source["repoURL"], source["targetRevision"] = url, BRANCH
    spec["destination"] = _here(spec.get("destination") or {})
    return application


def _here(destination: Mapping[str, Any]) -> dict[str, Any]:
    """A destination in the one cluster that there is. Patterns of a project's destinations stay."""
    named = {key: value for key, value in destination.items() if key != "name"}
    pattern = str(destination.get("server", "")).startswith(("*", "!"))
    return dict(destination) if pattern else {**named, "server": _CLUSTER}


def _sources(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return spec.get("sources") or [spec.get("source") or {}]
