"""`push`: a change of an environment → checked → one commit → the branch that Argo CD follows, or a pull request.

What is pushed is what was checked: the tree of the commit is made and rendered before there is a commit, and the render
must have the bytes of the working tree's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kustodian.console import some
from kustodian.delivery import publish as out
from kustodian.delivery.destination import Destination, of
from kustodian.delivery.effect import Renders
from kustodian.delivery.publish import Pushed, Target
from kustodian.delivery.secrecy import refuse_open_secrets
from kustodian.delivery.snapshot import snapshot, with_files_of_working_tree
from kustodian.errors import ExitCode, GitError, KustodianError, RenderError, UsageError, task
from kustodian.git import Git, short
from kustodian.repository import Overlay
from kustodian.validate import Checked, Report, Validator


def push(
    validator: Validator,
    overlay: Overlay,
    destinations: Mapping[str, Destination],
    *,
    message: str = "",
    on_checked: Callable[[Checked], None] = lambda _checked: None,
) -> Pushed | Report:
    """Commit what the overlay reads and push it; a `Report` of what is wrong instead, with nothing committed.

    `destinations` are those of `destination.find_all`; `message` is the commit's, needed where there is something to
    commit. Raises `UsageError`, `GitError` (a tree or a branch that may not be pushed as it is), `PushRejected` (the
    commit is made and kept), `RenderError`, `ToolError`, `Interrupted`.
    """
    renderer = validator.renderer
    destination = of(destinations, overlay, renderer.repository)
    git = Git(renderer.repository.root)
    head = git.head()
    git.refuse_unfinished()
    with snapshot(git) as folder:
        renders = Renders(folder, renderer)
        files = _to_commit(git, renders, overlay, head)
        if files and not message.strip():
            raise UsageError(
                f"there is something to commit, and no message: {some(files)}",
                hint=task(f"push --env {overlay.environment} --message TEXT"),
            )
        target = out.look(git, destination, destinations)
        out.refuse_diverged(git, target, head)
        if not files and head == target.tip:
            return Pushed(destination, head, target.branch, changed=False)
        tree = with_files_of_working_tree(git, head, files)
        refuse_open_secrets(git, renderer.repository, target, head, tree)
        reached = renders.reached(target.tip, tree)
        affected = renders.changed(target.tip, tree, out.of_the_same_branch(reached, destinations, target, git))
        protected = out.under_review(renders, target, overlay, affected)
        if not protected:
            out.refuse_other_branch(git, target, overlay)
        report = validator.validate(_existing(validator, overlay, reached), on_done=on_checked)
        if report.exit_code is not ExitCode.CLEAN:
            return report
        _prove(renders, overlay, tree)
    commit = commit_tree(git, tree, message, head) if files else head
    return send(git, target, overlay, commit, head, affected=affected, protected=protected, committed=files)


def send(
    git: Git,
    target: Target,
    overlay: Overlay,
    commit: str,
    before: str,
    *,
    affected: Sequence[str],
    protected: Sequence[str],
    committed: Sequence[str],
) -> Pushed:
    """Push a commit made on top of `before`, or that itself. What is for review leaves the followed branch as it was.

    Whatever else is committed here meanwhile is not pushed: nobody has checked it.
    """
    review = bool(protected)
    if review and commit != before and git.branch() in target.deploying:
        git.continue_on(out.branch_for_review(git, target, overlay, commit), left=before)
    branch, changed = out.publish(git, target, overlay, commit, review=review)
    return Pushed(
        target.destination,
        commit,
        branch,
        pull_request=review,
        changed=changed,
        affected=tuple(affected),
        protected=tuple(protected),
        committed=tuple(committed),
        page=out.page_for(target, branch) if review else "",
    )


def commit_tree(git: Git, tree: str, message: str, head: str) -> str:
    """Commit the tree that was checked on top of `head`, and see that no hook has put another in its place.

    Raises `GitError`.
    """
    refuse_moved(git, head)
    commit = git.commit(tree, message)
    if git.tree(commit) != tree:
        raise GitError(
            f"the commit {short(commit)} holds something else than what was checked: a git hook has changed it; "
            "it is kept, and not pushed",
            hint="look at it (git show), then push again: it is checked anew",
        )
    return commit


def refuse_moved(git: Git, head: str) -> None:
    """Raises `GitError` if HEAD is not `head` any more: what was checked would take back what came in since."""
    if (now := git.head()) != head:
        raise GitError(
            f"HEAD was {short(head)} when the checks began, and now is {git.commit_of(now)}; nothing was committed",
            hint="look at what came in, and try again: it is checked anew",
        )


def _to_commit(git: Git, renders: Renders, overlay: Overlay, head: str) -> tuple[str, ...]:
    """The changed files that the overlay reads. Raises `GitError` for any other change, and for what git can't hold."""
    repository = renders.renderer.repository
    closure = repository.tree.closure(overlay.directory)
    read, outside = _read(git, closure.files.union(closure.links))
    if outside:
        raise GitError(
            f"{overlay.path} reads what lies outside of the git repository: {some(outside)}",
            hint="move it into the repository, or it can't be deployed from there",
        )
    if ignored := git.ignored(sorted(read)):
        raise GitError(
            f"{overlay.path} reads what git ignores: {some(sorted(ignored))}",
            hint="take it out of .gitignore, if it holds no secret, or Argo CD will not find it",
        )
    changes = git.changes()
    if changes.deleted:
        read |= renders.closures(head).get(overlay.path, frozenset()) & set(changes.deleted)
    if other := sorted(set(changes.all) - read):
        raise GitError(
            f"there are changes that {overlay.path} does not read: {some(other)}",
            hint="commit them by themselves, put them away (git stash --include-untracked) or have git ignore them",
        )
    return tuple(sorted(read & set(changes.all)))


def _read(git: Git, files: frozenset[Path]) -> tuple[set[str], list[str]]:
    """Files as git names them, and those that lie outside of its working tree."""
    names = {path: git.name(path) for path in files}
    inside = {name for name in names.values() if name is not None}
    return inside, sorted(str(path) for path, name in names.items() if name is None)


def _existing(validator: Validator, overlay: Overlay, reached: Sequence[str]) -> tuple[Overlay, ...]:
    """The overlay, and the others that the change reaches; not those that it removes."""
    others = [other for other in validator.renderer.repository.overlays if other.path in reached]
    return tuple(dict.fromkeys((overlay, *others)))


def _prove(renders: Renders, overlay: Overlay, tree: str) -> None:
    """Raises `RenderError` unless the tree renders, by itself, as the working tree does."""
    here = renders.renderer.render(overlay)
    there = renders.at(tree, [overlay.path])[overlay.path]
    if here != there:
        reason = there.message if isinstance(there, KustodianError) else "it renders otherwise"
        raise RenderError(
            f"{overlay.path}: what would be pushed is not what is here: {reason}",
            hint="look for files that git changes or leaves out: .gitattributes, a submodule, a file marked "
            "`git update-index --assume-unchanged`",
        )
