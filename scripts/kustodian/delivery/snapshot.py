"""States that git holds, or could hold, as files in a folder of their own; the working tree stays as it is.

A linked worktree (`git worktree add`) would run hooks, leave an entry in .git when the process is killed, and could not
show a tree that is not committed. A second index over the same objects does without.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kustodian.git import Git, pathspecs

Entry = tuple[str, str]
"""Mode and object id of a file, as `git ls-tree` shows them."""


@dataclass(frozen=True)
class Snapshot:
    """A folder that shows one tree after the other, always at the same place."""

    git: Git
    folder: Path
    index: Path

    def show(self, tree: str) -> None:
        """Make the folder hold the files of a tree or commit, and no others."""
        command = ("-c", "core.fsmonitor=false", "read-tree", "--reset", "-u", "--no-sparse-checkout", tree)
        self.git.run(
            *command,
            cwd=self.folder,
            variables={
                "GIT_DIR": str(self.git.directory),
                "GIT_WORK_TREE": str(self.folder),
                "GIT_INDEX_FILE": str(self.index),
            },
        )


@contextlib.contextmanager
def snapshot(git: Git) -> Iterator[Snapshot]:
    """A folder for `Snapshot.show`, removed at the end whatever happens."""
    with tempfile.TemporaryDirectory(prefix="kustodian-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve() / "tree"
        folder.mkdir()
        yield Snapshot(git, folder, folder.parent / "index")


def entries(git: Git, tree: str) -> dict[str, Entry]:
    """Every file of a tree or commit, by its path."""
    found: dict[str, Entry] = {}
    for line in os.fsdecode(git.run("ls-tree", "-r", "-z", "--full-tree", tree).stdout).split("\0"):
        if line:
            head, _tab, path = line.partition("\t")
            mode, _kind, identity = head.split(" ")
            found[path] = mode, identity
    return found


def with_files_of_working_tree(git: Git, base: str, paths: Collection[str]) -> str:
    """The tree that committing these files on top of `base` makes; nothing is staged or committed."""
    if not paths:
        return git.tree(base)
    with _index(git, base) as index:
        options = ("--all", "--pathspec-from-file=-", "--pathspec-file-nul")
        git.run("add", *options, stdin=pathspecs(paths), variables=index)
        return git.run("write-tree", variables=index).stdout.decode().strip()


def with_files_of(git: Git, base: str, wanted: Mapping[str, Entry | None]) -> str:
    """The tree `base` with these files replaced, added, or (None) removed; nothing is staged or committed."""
    gone = f"0 {'0' * len(base)}"
    # What goes comes first: a file may take the place of a folder.
    ordered = sorted(wanted.items(), key=lambda item: item[1] is not None)
    lines = [f"{' '.join(entry) if entry else gone}\t{path}" for path, entry in ordered]
    with _index(git, base) as index:
        text = b"".join(os.fsencode(line) + b"\0" for line in lines)
        git.run("update-index", "-z", "--index-info", stdin=text, variables=index)
        return git.run("write-tree", variables=index).stdout.decode().strip()


@contextlib.contextmanager
def _index(git: Git, base: str) -> Iterator[dict[str, str]]:
    """The variable that has git use a temporary index, which holds `base`."""
    with tempfile.TemporaryDirectory(prefix="kustodian-", ignore_cleanup_errors=True) as name:
        index = {"GIT_INDEX_FILE": str(Path(name).resolve() / "index")}
        git.run("read-tree", "--no-sparse-checkout", base, variables=index)
        yield index
