"""Past syncs, and which of them to go back to."""

from __future__ import annotations

from pathlib import Path

import pytest
from kustodian.argocd.application import parse
from kustodian.delivery.history import choose, history, revisions
from kustodian.errors import UsageError

from .kit import Remote, Server, application


def past(*revisions: str) -> list[dict[str, object]]:
    return [
        {"id": number, "revision": revision, "deployedAt": f"2026-01-0{number + 1}T00:00:00Z", "initiatedBy": who}
        for number, (revision, who) in enumerate(
            zip(revisions, [{"automated": True}, {"username": "ada"}] * len(revisions), strict=False)
        )
    ]


def test_the_newest_first_with_what_git_knows(tmp_path: Path) -> None:
    remote = Remote.make(tmp_path)
    theirs = remote.commit("Theirs", "2", elsewhere=True)
    unknown = "0" * 40
    server = Server(lambda _request: application(theirs, history=past(unknown, theirs)))
    with server.client() as client:
        found = history(client, remote.commits)
        known = revisions(client, remote.commits)
    assert (found.environment, found.application) == ("dev", "app")
    assert [(sync.id, sync.revision, sync.initiated_by, sync.deployed) for sync in found.syncs] == [
        (1, theirs, "ada", "2026-01-02T00:00:00Z"),
        (0, unknown, "automated", "2026-01-01T00:00:00Z"),
    ]
    assert [sync.commit and sync.commit.subject for sync in found.syncs] == ["Theirs", None]
    assert known == (theirs,)


@pytest.mark.parametrize(
    ("now", "to", "want"),
    [
        ("c" * 40, "", 1),  # the cluster is at the last sync: the one before
        ("d" * 40, "", 2),  # what is wanted now never succeeded: the last that did
        ("c" * 40, "aaaa", 0),
        ("c" * 40, "c" * 40, 2),
    ],
)
def test_the_sync_to_go_back_to(now: str, to: str, want: int) -> None:
    found = parse(application(now, history=past("a" * 40, "b" * 40, "c" * 40)))
    assert choose(found, 0, to).id == want


def test_the_same_commit_synced_twice_is_passed_over() -> None:
    found = parse(application("b" * 40, history=past("a" * 40, "b" * 40, "b" * 40)))
    assert choose(found, 0).id == 0


@pytest.mark.parametrize(
    ("synced", "to", "hint"),
    [((), "", "nothing was ever synced"), (("a" * 40,), "", f"it has {'a' * 10}"), (("a" * 40,), "b", "it has aaaa")],
)
def test_no_sync_to_go_back_to(synced: tuple[str, ...], to: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"has no sync of {to or 'another commit'}") as caught:
        choose(parse(application("a" * 40, history=past(*synced))), 0, to)
    assert hint in caught.value.hint
