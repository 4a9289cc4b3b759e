"""Refuses to push a secret that only the history holds: git gives out every commit, not just the last state.

What is in the last state is the validator's to check.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from kustodian.delivery.publish import Target
from kustodian.delivery.snapshot import entries
from kustodian.errors import GitError
from kustodian.git import Git
from kustodian.repository import Repository
from kustodian.validate import tree


def refuse_open_secrets(git: Git, repository: Repository, target: Target, head: str, checked: str) -> None:
    """Raises `GitError` if a commit that the remote lacks holds a plain Secret, or an encrypted file in the open.

    `checked` is the tree that is pushed in the end, which the validator has seen. A trial cluster's
    repository lies on this machine only, and is not asked about.
    """
    if target.destination.trial:
        return
    root = repository.root.relative_to(git.top).as_posix()
    with tempfile.TemporaryDirectory(prefix="kustodian-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for position, (identity, path) in enumerate(_only_in_history(git, target, head, checked)):
            if not PurePosixPath(path).is_relative_to(root):
                continue
            inside = PurePosixPath(path).relative_to(root).as_posix()
            if any(fnmatch(inside, pattern) for pattern in repository.settings.ignore):
                continue
            file = folder / str(position) / inside
            file.parent.mkdir(parents=True)
            file.write_bytes(git.run("cat-file", "blob", identity).stdout)
            findings, _definitions = tree.check(folder / str(position), [file])
            file.unlink()
            if findings:
                found = git.run("log", "--format=%H", f"--find-object={identity}", head).stdout.decode().split()
                commit = found[-1] if found else head  # the newest of them is the one that took it away
                raise GitError(
                    f"{path}: {findings[0].message}, in a commit that would be pushed: {git.commit_of(commit)}",
                    hint="take it out of the history before it leaves this machine: git rebase -i "
                    f"{target.tip or '--root'}; then replace the value wherever it is used",
                )


def _only_in_history(git: Git, target: Target, head: str, tree: str) -> Iterator[tuple[str, str]]:
    """The files, by object id and path, that are new to the remote and no longer in `tree`."""
    known = [target.tip] if target.tip else sorted(filter(git.resolve, set(target.refs.branches.values())))
    there = {(identity, path) for path, (_mode, identity) in entries(git, tree).items()}
    listed = git.run("rev-list", "--objects", head, "--not", *known).stdout
    for line in os.fsdecode(listed).splitlines():
        identity, _space, path = line.partition(" ")
        if path and (identity, path) not in there and _is_file(git, identity):
            yield identity, path


def _is_file(git: Git, identity: str) -> bool:
    return git.run("cat-file", "-t", identity).stdout.strip() == b"blob"
