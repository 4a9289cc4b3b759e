"""What git knows of the revisions that Argo CD names."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from kustodian.argocd.wait import Relation
from kustodian.delivery.commits import Commits
from kustodian.errors import GitError, UsageError
from kustodian.git import Git

from .kit import Remote, git


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote.make(tmp_path)


def test_the_tip_is_what_the_remote_has_now(remote: Remote) -> None:
    theirs = remote.commit("theirs", "2", elsewhere=True)
    assert remote.commits.tip() == theirs
    assert git(remote.root, "rev-parse", "origin/main") != theirs


def test_a_branch_that_is_not_there(remote: Remote) -> None:
    commits = Commits(Git(remote.root), replace(remote.destination, branch="gone"))
    with pytest.raises(UsageError, match="follows the branch gone, which is not there"):
        commits.tip()


def test_somebody_elses_commit_is_fetched(remote: Remote) -> None:
    theirs = remote.commit("Theirs, by another person", "2", elsewhere=True)
    found = remote.commits.find(theirs)
    assert found is not None
    assert (found.id, found.subject, found.author) == (theirs, "Theirs, by another person", "Tester")
    assert git(remote.root, "rev-parse", "HEAD") != theirs


@pytest.mark.parametrize("revision", ["", "main", "1.2.3", "0" * 39, "--help"])
def test_what_is_no_commit_is_not_looked_for(revision: str, remote: Remote) -> None:
    shutil.rmtree(remote.url)
    assert remote.commits.find(revision) is None


def test_how_revisions_stand_to_a_commit(remote: Remote) -> None:
    first = git(remote.root, "rev-parse", "HEAD")
    ours = remote.commit("ours", "2")
    git(remote.other, "pull", "--quiet")
    later = remote.commit("later", "3", elsewhere=True)
    git(remote.other, "switch", "--quiet", "--create", "side", first)
    aside = remote.commit("aside", "4", elsewhere=True)
    relation = remote.commits.relation_to(ours)
    assert [relation(revision) for revision in (first, ours, later, aside, "", "v1")] == [
        Relation.BEFORE,
        Relation.TARGET,
        Relation.AFTER,
        Relation.UNKNOWN,
        Relation.UNKNOWN,
        Relation.UNKNOWN,
    ]


def test_a_commit_that_appears_a_little_later_is_known_then(remote: Remote) -> None:
    ours = git(remote.root, "rev-parse", "HEAD")
    later = remote.commit("later", "2", elsewhere=True, push=False)
    relation = remote.commits.relation_to(ours)
    assert relation(later) is Relation.UNKNOWN
    git(remote.other, "push", "--quiet", "origin", "HEAD")
    assert relation(later) is Relation.AFTER


def test_a_commit_that_never_appears_is_given_up(remote: Remote) -> None:
    ours = git(remote.root, "rev-parse", "HEAD")
    never = remote.commit("never", "2", elsewhere=True, push=False)
    relation = remote.commits.relation_to(ours)
    assert [relation(never) for _time in range(4)] == [Relation.UNKNOWN] * 4
    git(remote.other, "push", "--quiet", "origin", "HEAD")
    assert relation(never) is Relation.UNKNOWN


def test_a_remote_that_is_away_is_an_error_for_the_tip_and_none_for_a_relation(remote: Remote) -> None:
    ours = git(remote.root, "rev-parse", "HEAD")
    theirs = remote.commit("theirs", "2", elsewhere=True)
    remote.url.rename(remote.url.with_name("moved.git"))
    commits = remote.commits
    assert commits.relation_to(ours)(theirs) is Relation.UNKNOWN
    for _time in range(2):
        with pytest.raises(GitError, match="ls-remote"):
            commits.tip()


def test_a_checkout_without_that_remote_asks_the_repository_itself(remote: Remote) -> None:
    git(remote.root, "remote", "remove", "origin")
    theirs = remote.commit("theirs", "2", elsewhere=True)
    assert remote.commits.tip() == theirs
    assert remote.commits.find(theirs) is not None
