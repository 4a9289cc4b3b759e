"""How a commit goes out: to the branch that an environment follows, or as a branch for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kustodian import remote as remotes
from kustodian.delivery.destination import Destination, branch_of, followed_of, follows, remote_of, review_page
from kustodian.delivery.effect import Renders
from kustodian.errors import GitError, Interrupted, PushRejected, task
from kustodian.git import Git, mask, short
from kustodian.remote import Refs
from kustodian.repository import Overlay


@dataclass(frozen=True)
class Pushed:
    """What became of a push. Paths of overlays, not names of environments, where nothing else is said."""

    destination: Destination
    commit: str
    """What is now at `branch`: with `pull_request` it is for others to merge, and waiting for it makes no sense."""
    branch: str
    pull_request: bool = False
    changed: bool = True
    """Whether the remote's branch moved."""
    affected: tuple[str, ...] = ()
    """The overlays whose render differs from what was followed before."""
    protected: tuple[str, ...] = ()
    """Those because of which it goes by pull request."""
    committed: tuple[str, ...] = ()
    """The files that were committed, as git names them."""
    page: str = ""
    """Where the pull request is opened, if that is known."""


@dataclass(frozen=True)
class Target:
    """What is pushed to, as the remote was when it was asked."""

    destination: Destination
    remote: str
    """A remote's name, or the URL of a trial cluster's repository."""
    branch: str
    tip: str
    """The commit at the followed branch; empty as long as there is no such branch."""
    refs: Refs
    deploying: frozenset[str] = frozenset()
    """The branches of the same repository that environments follow: what is for review goes to none of them."""

    @property
    def shown(self) -> str:
        return f"{self.branch} of {mask(self.remote)}"


def look(git: Git, destination: Destination, destinations: Mapping[str, Destination]) -> Target:
    """Ask the remote for what it has, and bring the followed branch's commits here. Raises `UsageError`, `GitError`."""
    remote = remote_of(git, destination)
    refs = remotes.refs(git, remote)
    branch = branch_of(destination, refs)
    tip = refs.branches.get(branch, "")
    if tip:
        remotes.fetch(git, remote, branch)
        if git.resolve(tip) is None:
            raise GitError(f"{branch} of {mask(remote)} was replaced while it was read", hint="try again")
    deploying = frozenset(followed_of(destinations.values(), destination, refs, git.top))
    return Target(destination, remote, branch, tip, refs, deploying)


def refuse_diverged(git: Git, target: Target, head: str) -> None:
    """Raises `GitError` if the followed branch has commits that `head` lacks.

    In a trial cluster that is no matter: its repository holds nothing but what was pushed from here.
    """
    if target.destination.trial or not target.tip or git.is_ancestor(target.tip, head):
        return
    missing = git.between(head, target.tip)
    count = f"{len(missing)} commits" if len(missing) > 1 else "a commit"
    raise GitError(
        f"{target.shown} has {count} that HEAD lacks; the newest: {git.commit_of(missing[0])}",
        hint=f"take them in and look at what they change: git pull --rebase {mask(target.remote)} {target.branch}",
    )


def refuse_other_branch(git: Git, target: Target, overlay: Overlay) -> None:
    """Raises `GitError` unless the followed branch is checked out. In a trial cluster any will do."""
    here = git.branch()
    if not target.destination.trial and here != target.branch:
        raise GitError(
            f"{overlay.environment} follows {target.shown}, but {f'the branch {here}' if here else 'no branch'} "
            "is checked out",
            hint=f"git switch {target.branch} (and bring the change along: git merge or git cherry-pick)",
        )


def under_review(renders: Renders, target: Target, overlay: Overlay, affected: Iterable[str]) -> tuple[str, ...]:
    """The protected overlays that the push would change; the pushed one is among them whatever it changes.

    Protected is what the settings name, now or at the followed branch's tip: a change can't lift the protection of what
    it changes. A trial cluster protects nothing: nobody reviews there. Raises `GitError` if there are some and the
    followed branch, which a pull request needs, does not exist.
    """
    if target.destination.trial:
        return ()
    names = set(renders.renderer.repository.settings.protected)
    if target.tip:
        names |= set(renders.settings(target.tip).protected)
    found = tuple(path for path in dict.fromkeys((overlay.path, *affected)) if _is_named(path, names))
    if found and not target.tip:
        raise GitError(
            f"{target.shown} does not exist yet, so that no pull request can be made for {', '.join(found)}",
            hint=f"make it by hand once: git push {target.remote} HEAD:refs/heads/{target.branch}",
        )
    return found


def _is_named(overlay: str, names: set[str]) -> bool:
    return not names.isdisjoint((overlay, overlay.rpartition("/")[2]))


def of_the_same_branch(
    overlays: Iterable[str], destinations: Mapping[str, Destination], target: Target, git: Git
) -> tuple[str, ...]:
    """Those of the overlays that a push to the followed branch deploys, too."""
    return tuple(path for path in overlays if follows(destinations.get(path), target.destination, target.refs, git.top))


def branch_for_review(git: Git, target: Target, overlay: Overlay, commit: str) -> str:
    """The branch of a pull request: the one checked out, if no environment follows it."""
    here = git.branch()
    if here and here not in target.deploying:
        return here
    name = re.sub(r"[^A-Za-z0-9._-]", "-", overlay.environment).strip(".-") or "change"
    # Git has no branch `production/x` beside a branch `production`.
    between = "-" if name in target.refs.branches or git.resolve(f"refs/heads/{name}") else "/"
    return f"{name}{between}{short(commit)}"


def publish(git: Git, target: Target, overlay: Overlay, commit: str, *, review: bool) -> tuple[str, bool]:
    """Push a commit that is checked out; the branch that it went to, and whether that moved.

    Raises `PushRejected` when somebody else was faster: the commit is kept, and nothing of the others is lost.
    """
    branch = branch_for_review(git, target, overlay, commit) if review else target.branch
    replace = target.tip if target.destination.trial and target.tip else None
    try:
        return branch, remotes.push(git, target.remote, commit, branch, replace=replace)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; your commit {short(commit)} is kept, "
            f"and may be at {branch} of {mask(target.remote)} already",
            hint=f"to have it there: {task(f'push --env {overlay.environment}')}",
        ) from None
    except PushRejected as error:
        here = git.branch() or "HEAD"
        raise PushRejected(
            f"somebody else pushed to {branch} of {mask(target.remote)} meanwhile; "
            f"your commit {short(commit)} is kept on {here} ({error.message})",
            hint=f"git pull --rebase {mask(target.remote)} {branch}, look at what came in, and push again",
        ) from None
    except GitError as error:
        hint = error.hint
        if "protected" in error.message and not review:
            hint = (
                f"list {overlay.environment} under `protected` in kustodian.yaml: its changes then go by pull request"
            )
        kept = f"{error.message}\n  your commit {short(commit)} is kept on {git.branch() or 'HEAD'}"
        raise GitError(kept, hint=hint) from None


def page_for(target: Target, branch: str) -> str:
    return review_page(target.destination.repo_url, target.branch, branch)
