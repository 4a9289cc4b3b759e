"""The git repository around a folder: a typed facade over the real git.

Nothing here waits for a person: git is told not to ask for a password, and each command has a time limit. The user's
hooks, signing and credential helpers are git's own affair and stay in force. Paths are relative to the top of git's
working tree, with `/`; a commit is named by its full id wherever one is returned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from kustodian import process
from kustodian.errors import GitError, ToolError

LOCAL_SECONDS = 120.0
HOOK_SECONDS = 900.0
"""For a commit and a push: the user's hooks may run tests."""
SHORT = 10
"""Digits of a commit's id that are shown."""
COMMIT_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
"""A commit's full id, by SHA-1 or SHA-256."""

_OF_ANOTHER_REPOSITORY = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "LANGUAGE"}
)
"""Variables that are set in a git hook and would point our commands elsewhere, and the one that translates."""
_CONFLICTS = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s]*)@")


@dataclass(frozen=True)
class Changes:
    """What differs from the last commit. A file that is staged and then changed again is among `changed` once."""

    changed: tuple[str, ...]
    """Tracked files, staged or not; `deleted` ones are among them."""
    deleted: tuple[str, ...]
    untracked: tuple[str, ...]
    """Without those that git ignores."""
    conflicts: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(sorted({*self.changed, *self.untracked, *self.conflicts}))


@dataclass(frozen=True)
class Commit:
    id: str
    author: str
    email: str
    date: str
    """Of the commit, ISO 8601."""
    subject: str

    def __str__(self) -> str:
        return f"{short(self.id)} {self.subject} ({self.author}, {self.date[:10]})"


def short(commit: str) -> str:
    return commit[:SHORT]


def mask(text: str) -> str:
    """The text without the passwords and tokens of its URLs: `https://***@host/…`."""

    def hide(match: re.Match[str]) -> str:
        bare = not match[1].lower().startswith("http") and ":" not in match[2]  # ssh://git@host: a name only
        return match[0] if bare else f"{match[1]}***@"

    return _USER.sub(hide, text)


@dataclass(frozen=True)
class Git:
    """The repository around the folder `root`. Every method may raise `GitError`, `ToolError`, `Interrupted`."""

    root: Path

    @cached_property
    def top(self) -> Path:
        """The folder that paths are relative to."""
        return Path(os.fsdecode(self._line("rev-parse", "--show-toplevel", cwd=self.root))).resolve()

    @cached_property
    def directory(self) -> Path:
        """Where git keeps what belongs to this working tree (`.git`)."""
        return Path(os.fsdecode(self._line("rev-parse", "--absolute-git-dir", cwd=self.root)))

    def name(self, path: Path) -> str | None:
        """A path as git names it; None for one outside of the working tree."""
        return path.relative_to(self.top).as_posix() if path.is_relative_to(self.top) else None

    # What is here

    def head(self) -> str:
        """The commit that is checked out. Raises `GitError` when there is none yet."""
        if commit := self.resolve("HEAD"):
            return commit
        raise GitError(f"{self.top} has no commit yet", hint="commit what there is: git add . && git commit")

    def branch(self) -> str:
        """The branch that is checked out; empty for none (a detached HEAD)."""
        done = self.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision names (`HEAD~2`, a tag, a shortened id), or None."""
        if revision.startswith("-"):
            return None
        done = self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", check=False)
        return done.stdout.decode().strip() or None

    def tree(self, revision: str) -> str:
        """The id of a commit's tree."""
        return self._line("rev-parse", "--verify", f"{revision}^{{tree}}").decode()

    def commit_of(self, commit: str) -> Commit:
        """Who made a commit, when and why."""
        form = "--format=%H%x00%an%x00%ae%x00%cI%x00%s"
        text = self._line("log", "-1", "--no-show-signature", "--encoding=UTF-8", form, commit)
        return Commit(*text.decode("utf-8", "replace").split("\0"))

    def between(self, older: str, newer: str) -> tuple[str, ...]:
        """The commits that `newer` has and `older` lacks, newest first."""
        return tuple(self.run("rev-list", f"{older}..{newer}").stdout.decode().split())

    def is_ancestor(self, older: str, newer: str) -> bool:
        done = self.run("merge-base", "--is-ancestor", older, newer, check=False)
        if done.returncode not in (0, 1):
            raise self.failure(done)
        return done.returncode == 0

    def changes(self) -> Changes:
        """What is not committed."""
        text = self.run("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all").stdout
        entries = [(entry[:2], entry[3:]) for entry in os.fsdecode(text).split("\0") if entry]
        tracked = [(state, path) for state, path in entries if state != "??" and state not in _CONFLICTS]
        gone = [path for state, path in tracked if state[1] == "D" or state == "D "]
        untracked = tuple(path for state, path in entries if state == "??")
        return Changes(
            changed=tuple(path for _state, path in tracked),
            deleted=tuple(path for path in gone if path not in untracked),
            untracked=untracked,
            conflicts=tuple(path for state, path in entries if state in _CONFLICTS),
        )

    def ignored(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those of the paths that git ignores; a tracked file is not ignored whatever .gitignore says."""
        done = self.run("check-ignore", "-z", "--stdin", stdin=_listed(paths), check=False)
        if done.returncode not in (0, 1):
            raise self.failure(done)
        return tuple(filter(None, os.fsdecode(done.stdout).split("\0")))

    def refuse_unfinished(self) -> None:
        """Raises `GitError` in the middle of a merge, a rebase and the like, or with conflicts."""
        for mark, what in _UNFINISHED.items():
            if (self.directory / mark).exists():
                end = "git bisect reset" if what == "bisect" else f"git {what} --continue, or git {what} --abort"
                raise GitError(f"a {what} is in progress in {self.top}", hint=f"end it first: {end}")
        if conflicts := self.changes().conflicts:
            raise GitError(f"unresolved conflicts: {', '.join(conflicts)}", hint="resolve and commit them first")

    # What is changed here

    def commit(self, tree: str, message: str) -> str:
        """Commit a tree, whose files the working tree has, on top of HEAD; the new commit.

        The user's hooks run and may refuse; then nothing is committed, and what was staged is as before.
        """
        staged = self.run("write-tree").stdout.decode().strip()
        self.run("read-tree", "--reset", tree)
        done = self.run("commit", "--quiet", f"--message={message}", timeout=HOOK_SECONDS, check=False)
        if done.returncode != 0:
            self.run("read-tree", "--reset", staged)
            said = mask(done.error_text or done.stdout.decode("utf-8", "replace").strip())
            raise GitError(f"git does not commit: {said}", hint="nothing was committed and nothing was pushed")
        return self.head()

    def restore(self, paths: Sequence[str], source: str) -> None:
        """Files and folders as they are in `source`, in the working tree and staged; what it lacks is removed."""
        options = (f"--source={source}", "--staged", "--worktree", "--pathspec-from-file=-", "--pathspec-file-nul")
        self.run("restore", *options, stdin=pathspecs(paths))

    def continue_on(self, branch: str, *, left: str) -> None:
        """Check out HEAD as a new branch, and set the one that it was on back to the commit `left`."""
        before, head = self.branch(), self.head()
        self.run("switch", "--quiet", "--create", branch)
        self.run("update-ref", f"refs/heads/{before}", left, head)

    # git itself

    def run(
        self,
        *arguments: str,
        timeout: float = LOCAL_SECONDS,
        check: bool = True,
        stdin: bytes | None = None,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> process.Completed:
        """A command of git, in `top` unless `cwd` says otherwise, with more variables in its environment.

        Raises `GitError` if it fails, unless `check` is off.
        """
        environment = {**self._environment, **(variables or {})}
        try:
            done = process.run(["git", *arguments], cwd=cwd or self.top, env=environment, timeout=timeout, stdin=stdin)
        except ToolError as error:  # quotes the command, in which a URL may stand
            missing = error.message == "can't start git: git does not exist"
            hint = "install git and have it on PATH" if missing else error.hint
            raise type(error)(mask(error.message), hint=mask(hint)) from None
        if check and done.returncode != 0:
            raise self.failure(done)
        return done

    def failure(self, done: process.Completed, *, hint: str = "") -> GitError:
        """The error for a command that failed."""
        text = mask(done.error_text)
        if "not a git repository" in text and done.argv[1] == "rev-parse":
            return GitError(f"{self.root} is not in a git repository", hint="git init makes one; or give --repo DIR")
        if "dubious ownership" in text:
            return GitError(
                f"git does not trust {self.root}: it belongs to another user",
                hint=f"git config --global --add safe.directory {self.root}",
            )
        return GitError(f"git {done.argv[1]}: {_reason(text) or f'exit code {done.returncode}'}", hint=hint)

    def _line(self, *arguments: str, cwd: Path | None = None) -> bytes:
        return self.run(*arguments, cwd=cwd).stdout.removesuffix(b"\n")

    @cached_property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
        # C.UTF-8 is as untranslated as C, and hooks keep their UTF-8.
        return {**kept, "LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0"}


def _reason(text: str) -> str:
    """What git says is wrong, in one line, without its advice."""
    lines = text.partition("\nPlease make sure")[0].splitlines()
    kept = [re.sub(r"^(fatal|error): ", "", line).strip() for line in lines if not line.startswith("hint:")]
    return "; ".join(filter(None, kept))


def _listed(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def pathspecs(paths: Iterable[str]) -> bytes:
    """What git takes from standard input for these paths as they are written (`--pathspec-file-nul`).

    A path stands for all that is below it: of a file that becomes a folder, git must not be told both.
    """
    given = set(paths)
    outermost = sorted(path for path in given if given.isdisjoint(map(str, PurePosixPath(path).parents)))
    return _listed(f":(top,literal){path}" for path in outermost)
