from __future__ import annotations

from pathlib import Path

import pytest
from kustodian.cluster import state
from kustodian.delivery.destination import (
    Destination,
    branch_of,
    find,
    follows,
    is_same,
    of,
    remote_of,
    review_page,
)
from kustodian.errors import UsageError
from kustodian.git import Git
from kustodian.remote import Refs
from kustodian.render import Renderer
from kustodian.repository import Overlay

from .conftest import Site, application

OVERLAY = Overlay("overlays/x", Path("/overlays/x"))
REFS = Refs("trunk", {"trunk": "a" * 40, "main": "b" * 40, "1.x": "c" * 40}, frozenset({"v1", "main"}))


def destination(revision: str = "main", url: str = "https://git.example.com/org/repo") -> Destination:
    return Destination(OVERLAY, "shop", "argocd", url, revision, 0)


# Finding it


def test_an_overlay_goes_where_its_application_looks(site: Site) -> None:
    url = site.origin.as_uri()
    found = site.destinations()
    assert list(found) == ["overlays/production", "overlays/staging"]
    overlay = site.overlay("staging")
    assert found[overlay.path] == Destination(overlay, "shop-staging", "argocd", url, "main", 0)
    assert find(site.repository, Renderer(site.repository, site.kustomize), overlay) == found[overlay.path]


def test_of_several_sources_it_is_the_one_with_the_overlays_path(site: Site) -> None:
    text = application("staging", "https://h/app")
    source = next(line for line in text.splitlines() if "source:" in line)
    several = (
        "  sources:\n  - {repoURL: https://h/charts, chart: c, targetRevision: 1.0.0}\n  - " + source.partition(": ")[2]
    )
    site.write({"argocd/staging.yaml": text.replace(source, several).replace("targetRevision: main, ", "")})
    found = site.destinations()["overlays/staging"]
    assert (found.source, found.repo_url, found.branch) == (1, "https://h/app", "HEAD")


def test_an_overlay_without_an_application_is_named(site: Site) -> None:
    site.write({"argocd/kustomization.yaml": "resources: [production.yaml]\n"})
    with pytest.raises(UsageError) as raised:
        of(site.destinations(), site.overlay("staging"), site.repository)
    assert raised.value.hint == "declare one in argocd, with `path: overlays/staging`"


def test_in_a_subfolder_of_a_git_repository_the_reason_is_named(site: Site) -> None:
    url = site.origin.as_uri()
    site.write({"argocd/staging.yaml": application("staging", url).replace("path: ", "path: sub/")})
    (site.root / ".git").rename(site.root.parent / ".git")
    with pytest.raises(UsageError) as raised:
        of(site.destinations(), site.overlay("staging"), site.repository)
    assert f"from the top of the git repository, in which {site.root} is but a folder" in raised.value.message


def test_with_a_trial_cluster_up_it_is_the_trials_repository(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    up = state.State(site.root, 1, site.root, "https://127.0.0.1:1", site.root, "file:///trial.git", "trial")
    monkeypatch.setattr(state, "read", lambda root: up if root == site.root else None)
    found = site.destinations()["overlays/staging"]
    assert (found.application, found.repo_url, found.branch, found.trial) == (
        "shop-staging",
        "file:///trial.git",
        "trial",
        True,
    )
    assert remote_of(Git(site.root), found) == "file:///trial.git"


# The remote


def test_the_remote_is_the_one_that_names_the_same_repository(site: Site) -> None:
    site.git("remote", "rename", "origin", "local")
    site.git("remote", "add", "one", "git@GIT.example.com:org/other.git")
    site.git("remote", "add", "two", "git@GIT.example.com:Org/Repo.git")
    assert remote_of(Git(site.root), destination()) == "two"
    site.git("remote", "add", "origin", "ssh://git@git.example.com:2222/org/repo/")
    assert remote_of(Git(site.root), destination()) == "origin"
    assert remote_of(Git(site.root), site.destinations()["overlays/staging"]) == "local"


def test_where_no_remote_fits_both_sides_are_named_without_passwords(site: Site) -> None:
    site.git("remote", "add", "two", "https://me:t0ken@git.example.com/org/other")
    with pytest.raises(UsageError) as raised:
        remote_of(Git(site.root), destination(url="https://me:s3cret@git.example.com/org/repo"))
    assert raised.value.message == (
        "the Application shop follows https://***@git.example.com/org/repo, and no git remote is that repository; "
        f"there is: origin ({site.origin}), two (https://***@git.example.com/org/other)"
    )
    assert raised.value.hint == "add it: git remote add argocd https://***@git.example.com/org/repo"


SAME = [
    "https://github.com/Org/Repo",
    "https://github.com/org/repo.git",
    "https://GitHub.com/org/repo/",
    "https://user:token@github.com:443/org/repo.git/",
    "git@github.com:org/repo",
    "github.com:org/repo.git",
    "git@github.com:/org/repo.git",
    "ssh://git@github.com/org/repo.git",
    "ssh://git@github.com:22/org/repo",
    "git+ssh://github.com/org/repo",
    " https://github.com/org/repo ",
]


@pytest.mark.parametrize("one", SAME)
@pytest.mark.parametrize("other", SAME)
def test_one_repository_has_many_names(one: str, other: str) -> None:
    assert is_same(one, other, Path("/"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://github.com/org/repo", "https://github.com/org/repo2"),
        ("https://github.com/org/repo", "https://gitlab.com/org/repo"),
        ("http://localhost:3000/org/repo", "http://localhost:3001/org/repo"),
        ("git@github.com:org/repo", "/org/repo"),
        ("https://h:port/x", "https://h/x"),
        ("/a/Repo", "/a/repo"),
    ],
)
def test_other_repositories_have_others(one: str, other: str) -> None:
    assert not is_same(one, other, Path("/"))


def test_a_path_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real.git").mkdir()
    (tmp_path / "clone").mkdir()
    (tmp_path / "link.git").symlink_to("real.git")
    for name in (f"{tmp_path}/link.git", "../real.git", f"file://{tmp_path}/real.git/", f"{tmp_path}/clone/../real"):
        assert is_same(name, f"file://{tmp_path}/real.git", tmp_path / "clone"), name


# The branch


@pytest.mark.parametrize(
    ("revision", "branch"),
    [("HEAD", "trunk"), ("main", "main"), ("refs/heads/main", "main"), ("new", "new"), ("1.x", "1.x")],
)
def test_a_branch_is_followed_by_its_name_or_as_the_default_one(revision: str, branch: str) -> None:
    assert branch_of(destination(revision), REFS) == branch


@pytest.mark.parametrize(
    ("revision", "what"),
    [
        ("v1", "tag"),
        ("refs/tags/v2", "tag"),
        ("0" * 40, "commit"),
        ("1.*", "range of versions"),
        ("^1.2", "range of versions"),
        (">=1.0.0 <2.0.0", "range of versions"),
        ("2.x", "range of versions"),
        ("*", "range of versions"),
    ],
)
def test_what_is_no_branch_cannot_be_pushed_to(revision: str, what: str) -> None:
    with pytest.raises(UsageError) as raised:
        branch_of(destination(revision), REFS)
    assert raised.value.message == f"the Application shop follows the {what} {revision}, which can't be pushed to"


def test_an_empty_repository_has_no_default_branch() -> None:
    with pytest.raises(
        UsageError, match=r"follows the default branch of https://git\.example\.com/org/repo, which has"
    ):
        branch_of(destination("HEAD"), Refs("", {}, frozenset()))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (None, True),
        (destination("HEAD"), False),
        (destination("refs/heads/main", "git@git.example.com:org/repo.git"), True),
        (destination(url="https://git.example.com/org/else"), False),
        (destination("v1"), False),
    ],
)
def test_who_follows_the_same_branch_is_known(other: Destination | None, expected: bool) -> None:
    assert follows(other, destination(), REFS, Path("/")) is expected


# The page for a pull request


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("git@github.com:org/repo.git", "https://github.com/org/repo/compare/main...production/a?expand=1"),
        (
            "https://me:t0ken@gitlab.example.com/group/sub/repo",
            "https://gitlab.example.com/group/sub/repo/-/merge_requests/new?merge_request%5Bsource_branch%5D="
            "production/a&merge_request%5Btarget_branch%5D=main",
        ),
        ("https://git.example.com/org/repo", ""),
        ("/srv/github.com/repo.git", ""),
    ],
)
def test_the_page_is_known_where_the_host_is_plain(url: str, page: str) -> None:
    assert review_page(url, "main", "production/a") == page
