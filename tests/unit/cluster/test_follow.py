from __future__ import annotations

import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustodian.cluster import follow
from kustodian.errors import GitError, UsageError
from kustodian.repository import Overlay

from ..kit import program, write

Document = dict[str, Any]
URL = "file:///trial/repository.git"
HERE = "https://git.example.com/shop.git"
CLUSTER = "https://kubernetes.default.svc"


# The repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A git repository with three commits; the last is its HEAD, on a branch of another name than the trial's."""
    root = tmp_path / "a repo"
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk", str(root))
    for number in range(3):
        write(root, {"file": f"{number}\n"})
        git(root, "add", "file")
        git(root, "commit", "--quiet", "--message", f"the {number}.")
    return root


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def followed(root: Path, tmp_path: Path) -> tuple[Path, str]:
    """The repository that is made, and the commit that its one branch is at."""
    target = tmp_path / "trial" / "repository.git"
    assert follow.make_repository(root, target) == target.as_uri()
    assert git(target, "symbolic-ref", "HEAD") == "refs/heads/main"
    (line,) = git(target, "for-each-ref").splitlines()
    commit, _type, name = line.split()
    assert name == "refs/heads/main"
    return target, commit


def test_what_is_checked_out_is_main_whatever_the_branch_is_called(root: Path, tmp_path: Path) -> None:
    target, commit = followed(root, tmp_path)
    assert commit == git(root, "rev-parse", "HEAD")
    assert git(target, "rev-parse", "--is-bare-repository") == "true"
    assert git(target, "show", "main:file") == "2"


def test_a_detached_head_is_followed(root: Path, tmp_path: Path) -> None:
    git(root, "checkout", "--quiet", "--detach", "HEAD~1")
    target, commit = followed(root, tmp_path)
    assert commit == git(root, "rev-parse", "HEAD")
    assert git(target, "show", "main:file") == "1"


def test_from_a_folder_below_the_top_the_whole_repository_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "below").mkdir()
    _target, commit = followed(root / "below", tmp_path)
    assert commit == git(root, "rev-parse", "HEAD")


def test_what_is_not_committed_is_not_followed(root: Path, tmp_path: Path) -> None:
    write(root, {"file": "changed\n", "new": "new\n"})
    target, _commit = followed(root, tmp_path)
    assert git(target, "show", "main:file") == "2"
    assert git(target, "ls-tree", "--name-only", "main") == "file"
    assert git(root, "status", "--porcelain") == "M file\n?? new"


def test_the_repository_itself_is_left_as_it_was(root: Path, tmp_path: Path) -> None:
    before = git(root, "for-each-ref"), (root / ".git" / "config").read_text("utf-8")
    followed(root, tmp_path)
    assert (git(root, "for-each-ref"), (root / ".git" / "config").read_text("utf-8")) == before


def test_a_shallow_clone_is_followed_and_pushed_from(root: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", root.as_uri(), str(clone))
    assert git(clone, "rev-parse", "--is-shallow-repository") == "true"
    target, commit = followed(clone, tmp_path)
    assert commit == git(root, "rev-parse", "HEAD")
    write(clone, {"file": "next\n"})
    git(clone, "commit", "--quiet", "--all", "--message", "the next")
    git(clone, "push", "--quiet", target.as_uri(), "HEAD:main")
    assert git(target, "show", "main:file") == "next"


@pytest.mark.parametrize("name", ["pre-push", "pre-commit"])
def test_the_users_hooks_do_not_run(name: str, root: Path, tmp_path: Path) -> None:
    program(root / ".git" / "hooks" / name, f"touch {tmp_path / 'ran'}\nexit 1\n")
    followed(root, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_inside_of_another_repositorys_hook_our_own_is_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(root), str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    target = tmp_path / "repository.git"
    follow.make_repository(root, target)
    monkeypatch.delenv("GIT_DIR")
    assert git(target, "rev-parse", "main") == git(root, "rev-parse", "HEAD")


def test_a_git_that_enters_no_bare_repository_unasked_will_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.bareRepository")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "explicit")
    target = tmp_path / "repository.git"
    follow.make_repository(root, target)
    assert git(tmp_path, "ls-remote", target.as_uri(), "refs/heads/main").split()[0] == git(root, "rev-parse", "HEAD")


def test_without_a_commit_there_is_nothing_to_follow(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    with pytest.raises(UsageError) as raised:
        follow.make_repository(tmp_path / "empty", tmp_path / "repository.git")
    assert raised.value.message == f"{tmp_path / 'empty'} has no commit that Argo CD could follow"
    assert raised.value.hint == "git add . && git commit"
    assert not (tmp_path / "repository.git").exists()


def test_a_folder_without_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError) as raised:
        follow.make_repository(tmp_path, tmp_path / "repository.git")
    assert raised.value.message == f"{tmp_path} is not in a git repository"


# The Applications


def application(name: str, *sources: Document, **spec: Any) -> Document:
    given: Document = {"source": sources[0]} if len(sources) == 1 else {"sources": [*sources]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name},
        "spec": {"project": "shop", **given, "destination": {"server": CLUSTER, "namespace": name}, **spec},
    }


def source(path: str, url: str = HERE, revision: str = "release") -> Document:
    return {"repoURL": url, "path": path, "targetRevision": revision}


def project(*repositories: str, **spec: Any) -> Document:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "shop"},
        "spec": {"sourceRepos": [*repositories], **spec},
    }


CHART = {"repoURL": "https://charts.example.com", "chart": "redis", "targetRevision": "1.2.3"}


def turned(tmp_path: Path, *documents: Document, without: tuple[str, ...] = ()) -> list[Document]:
    for name in ("overlays/dev", "overlays/prod", "policies"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    left_out = [Overlay(path, tmp_path / path) for path in without]
    return list(follow.documents(tmp_path, yaml.safe_dump_all(documents).encode(), URL, left_out))


def test_an_application_follows_the_trials_repository(tmp_path: Path) -> None:
    (found,) = turned(tmp_path, application("dev", source("overlays/dev")))
    assert found["spec"]["source"] == {"repoURL": URL, "path": "overlays/dev", "targetRevision": "main"}
    assert found["metadata"] == {"name": "dev", "namespace": "argocd"}


def test_all_else_of_an_application_stays(tmp_path: Path) -> None:
    policy = {"automated": {"prune": True}, "syncOptions": ["ServerSideApply=true"]}
    given = application("dev", {**source("overlays/dev"), "kustomize": {"namePrefix": "a-"}}, syncPolicy=policy)
    given["metadata"] |= {"annotations": {"a": "b"}, "labels": {"c": "d"}}
    (found,) = turned(tmp_path, given)
    want = deepcopy(given)
    want["metadata"]["namespace"] = "argocd"
    want["spec"]["source"] |= {"repoURL": URL, "targetRevision": "main"}
    assert found == want


def test_several_sources_are_turned_one_by_one_and_others_stay(tmp_path: Path) -> None:
    theirs = {"repoURL": "https://git.example.com/theirs.git", "path": "deploy", "targetRevision": "v1"}
    values = {"repoURL": HERE, "ref": "values", "targetRevision": "release"}
    (found,) = turned(tmp_path, application("dev", CHART, source("overlays/dev"), theirs, values))
    assert found["spec"]["sources"] == [CHART, source("overlays/dev", URL, "main"), theirs, values | source_of_trial()]


def source_of_trial() -> Document:
    return {"repoURL": URL, "targetRevision": "main"}


def test_an_application_of_other_sources_only_stays(tmp_path: Path) -> None:
    (found,) = turned(tmp_path, application("redis", CHART))
    assert found["spec"]["source"] == CHART


def test_a_folder_that_is_no_overlay_is_turned_too(tmp_path: Path) -> None:
    (found,) = turned(tmp_path, application("policies", source("policies")))
    assert found["spec"]["source"]["repoURL"] == URL


@pytest.mark.parametrize("place", [0, 1])
def test_an_overlay_that_is_left_out_has_no_application(place: int, tmp_path: Path) -> None:
    sources = [CHART, source("overlays/prod")] if place else [source("overlays/prod")]
    dev = application("dev", source("overlays/dev"))
    found = turned(tmp_path, dev, application("prod", *sources), without=("overlays/prod", "overlays/none"))
    assert [document["metadata"]["name"] for document in found] == ["dev"]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({"server": CLUSTER, "namespace": "dev"}, {"server": CLUSTER, "namespace": "dev"}),
        ({"server": "https://prod.example.com:6443", "namespace": "dev"}, {"server": CLUSTER, "namespace": "dev"}),
        ({"name": "in-cluster", "namespace": "dev"}, {"server": CLUSTER, "namespace": "dev"}),
        ({"name": "prod", "server": ""}, {"server": CLUSTER}),
        ({"namespace": "dev"}, {"server": CLUSTER, "namespace": "dev"}),
    ],
)
def test_a_destination_is_the_one_cluster_that_there_is(given: Document, want: Document, tmp_path: Path) -> None:
    allowed = project(HERE, destinations=[given])
    found = turned(tmp_path, allowed, application("dev", source("overlays/dev"), destination=given))
    assert found[0]["spec"]["destinations"] == [want]
    assert found[1]["spec"]["destination"] == want


def test_patterns_of_a_projects_destinations_stay(tmp_path: Path) -> None:
    given = [{"server": "*", "namespace": "*"}, {"server": "!https://prod.example.com", "namespace": "*"}]
    (found,) = turned(tmp_path, project(HERE, destinations=given))
    assert found["spec"]["destinations"] == given


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ([HERE], [URL]),
        ([HERE, HERE], [URL]),
        ([HERE, CHART["repoURL"]], [CHART["repoURL"], URL]),
        (["https://git.example.com/*"], ["https://git.example.com/*", URL]),
        (["*"], ["*", URL]),
        # A repository that its project does not allow is refused here as it is there.
        ([CHART["repoURL"]], [CHART["repoURL"]]),
        ([], []),
    ],
)
def test_a_project_allows_the_trials_repository_where_it_allows_this_one(
    given: list[str], want: list[str], tmp_path: Path
) -> None:
    found = turned(tmp_path, project(*given), application("dev", CHART, source("overlays/dev")))
    assert found[0]["spec"]["sourceRepos"] == want


def test_a_project_has_no_sync_windows_and_all_else_stays(tmp_path: Path) -> None:
    given = project(
        HERE, syncWindows=[{"kind": "deny"}], roles=[{"name": "ci"}], clusterResourceWhitelist=[{"kind": "Namespace"}]
    )
    found, _application = turned(tmp_path, given, application("dev", source("overlays/dev")))
    assert found["metadata"]["namespace"] == "argocd"
    assert set(given["spec"]) - set(found["spec"]) == {"syncWindows"}
    assert found["spec"]["roles"] == [{"name": "ci"}]


def test_what_is_neither_project_nor_application_is_left_out(tmp_path: Path) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    found = turned(tmp_path, other, project(HERE), application("dev", source("overlays/dev")))
    assert [document["kind"] for document in found] == ["AppProject", "Application"]


def test_a_repository_that_declares_none_gets_an_application_for_each_overlay(tmp_path: Path) -> None:
    overlays = [Overlay(f"overlays/{name}", tmp_path / name) for name in ("Dev", "prod")]
    dev, prod = follow.own_applications(URL, overlays)
    assert dev["metadata"] == {"name": "dev", "namespace": "argocd"}
    assert dev["spec"]["source"] == source("overlays/Dev", URL, "main")
    assert dev["spec"]["destination"] == {"server": CLUSTER, "namespace": "dev"}
    assert dev["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert prod["spec"]["source"]["path"] == "overlays/prod"
