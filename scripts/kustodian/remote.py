"""The remotes of a git repository: what they have, and bringing commits from and to them.

`remote` is a remote's name or a URL. Nothing here waits for a person; a server that wants a password which git's
credential helpers do not know is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kustodian import process
from kustodian.errors import GitError, PushRejected
from kustodian.git import HOOK_SECONDS, Git, mask

NETWORK_SECONDS = 180.0

_REMOTE = re.compile(r"(\S+)\t(.*) \((?:fetch|push)\)(?: \[[^\]]*\])?")
_OVERTAKEN = re.compile(
    r"fetch first|non-fast-forward|stale info|needs force|cannot lock ref|failed to update ref|incorrect old value"
)
"""Why a push is rejected because the remote's branch moved; the last three come from two pushes at the same moment."""


@dataclass(frozen=True)
class Remote:
    """`urls` are all that name it: as configured, and as git rewrites them (`url.<base>.insteadOf`, `pushurl`)."""

    name: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Refs:
    """What a remote has. `default` is the branch that its HEAD names; empty for an empty repository."""

    default: str
    branches: Mapping[str, str]
    """Commit by branch."""
    tags: frozenset[str]


def remotes(git: Git) -> tuple[Remote, ...]:
    """The remotes that are set up."""
    urls: dict[str, list[str]] = {}
    for line in git.run("remote", "--verbose").stdout.decode("utf-8", "surrogateescape").splitlines():
        if match := _REMOTE.fullmatch(line):
            urls.setdefault(match[1], []).append(match[2])
    for name, found in urls.items():
        done = git.run("config", "--null", "--get-all", f"remote.{name}.url", check=False)
        found.extend(filter(None, done.stdout.decode("utf-8", "surrogateescape").split("\0")))
    return tuple(Remote(name, tuple(dict.fromkeys(found))) for name, found in urls.items())


def refs(git: Git, remote: str) -> Refs:
    """The branches and tags of a remote, as it has them now."""
    text = _ask(git, "ls-remote", "--symref", "--", remote, "HEAD", "refs/heads/*", "refs/tags/*").stdout
    default, branches, tags = "", {}, set()
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        value, _tab, ref = line.partition("\t")
        if ref == "HEAD" and value.startswith("ref: refs/heads/"):
            default = value.removeprefix("ref: refs/heads/")
        elif ref.startswith("refs/heads/"):
            branches[ref.removeprefix("refs/heads/")] = value
        elif ref.startswith("refs/tags/"):
            tags.add(ref.removeprefix("refs/tags/").removesuffix("^{}"))
    return Refs(default, branches, frozenset(tags))


def fetch(git: Git, remote: str, branch: str) -> None:
    """Bring a remote's branch here: into the remote's own tracking branch at most, into none of ours."""
    # FETCH_HEAD is left alone, because an editor that fetches by itself would write it at the same time.
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
    _ask(git, "fetch", *options, "--", remote, f"refs/heads/{branch}")


def push(git: Git, remote: str, commit: str, branch: str, *, replace: str | None = None) -> bool:
    """Push one commit to a branch, forward only; whether the branch moved. The user's hooks run.

    `replace` is the commit that the branch must be at, and which need not be an ancestor.
    Raises `PushRejected` if the branch holds other commits, `GitError` if the server refuses for another reason.
    """
    lease = [] if replace is None else [f"--force-with-lease=refs/heads/{branch}:{replace}"]
    command = ("push", "--porcelain", "--no-follow-tags", *lease, "--", remote, f"{commit}:refs/heads/{branch}")
    done = _ask(git, *command, timeout=HOOK_SECONDS, check=False)
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        flag, _tab, rest = line.partition("\t")
        reason = rest.partition("\t")[2]
        if flag == "!" and _OVERTAKEN.search(reason):
            raise PushRejected(f"{mask(remote)} rejects the push to {branch}: {reason}")
        if flag == "!":
            said = [line for line in mask(done.error_text).splitlines() if line.startswith("remote:")]
            raise GitError("\n  ".join((f"{mask(remote)} refuses the push to {branch}: {reason}", *said)))
        if flag == "=" and done.returncode == 0:
            return False
    if done.returncode != 0:
        raise git.failure(done, hint=_by_hand(git, done))
    return True


def _ask(git: Git, *arguments: str, timeout: float = NETWORK_SECONDS, check: bool = True) -> process.Completed:
    """A command that speaks to a remote. ssh asks nothing either, unless the user has set how it is started."""
    own = {"GIT_SSH", "GIT_SSH_COMMAND"} & os.environ.keys() or git.run("config", "core.sshCommand", check=False).stdout
    variables = {} if own else {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    done = git.run(*arguments, timeout=timeout, check=False, variables=variables)
    if check and done.returncode != 0:
        raise git.failure(done, hint=_by_hand(git, done))
    return done


def _by_hand(git: Git, done: process.Completed) -> str:
    return f"git must be able to do this without asking: {mask(process.command_line(done.argv, git.top))}"
