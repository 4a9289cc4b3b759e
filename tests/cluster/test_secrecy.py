"""Runs last: whatever happened before, no plain value is anywhere but in Secrets."""

from __future__ import annotations

import subprocess

from .conftest import Cluster


def values(cluster: Cluster) -> list[str]:
    return [value for kinds in cluster.plain.values() for keys in kinds.values() for value in keys.values()]


def test_nothing_that_was_printed_holds_a_value_or_a_token(synced: Cluster) -> None:
    said = "\n".join(synced.said)
    assert len(said) > 1000
    assert [value for value in (*values(synced), synced.state.token) if value in said] == []


def test_no_log_holds_a_value(synced: Cluster) -> None:
    logs = sorted((synced.state.folder / "logs").iterdir())
    assert len(logs) > 8
    for log in (*logs, synced.state.folder / "audit.log"):
        text = log.read_bytes()
        assert [value for value in values(synced) if value.encode() in text] == [], log


def test_git_holds_no_value(synced: Cluster) -> None:
    for root in (synced.root, synced.state.folder / "repository.git"):
        listed = synced.git("rev-list", "--objects", "--all", root=root).splitlines()
        everything = subprocess.run(
            ["git", "cat-file", "--batch"],
            cwd=root,
            input="\n".join(line.split()[0] for line in listed).encode(),
            check=True,
            capture_output=True,
        ).stdout
        assert len(everything) > 100_000
        assert [value for value in values(synced) if value.encode() in everything] == []
