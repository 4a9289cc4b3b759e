"""`rollback`: a commit that brings an environment back to what it was, with the proof that its render is the same.

The proof is in bytes: the render of the restored state must be that of the wanted revision, both made in the same
folder by the same program. Renders are sealed: a fingerprint stands for each ciphertext, so that equal bytes mean equal
ciphertexts, and so the same secrets. What the files do not hold is not proven: a remote base, a moved image tag.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kustodian.console import some
from kustodian.delivery import publish as out
from kustodian.delivery.destination import Destination, of
from kustodian.delivery.effect import Renders, same
from kustodian.delivery.publish import Pushed, Target
from kustodian.delivery.push import commit_tree, refuse_moved, send
from kustodian.delivery.secrecy import refuse_open_secrets
from kustodian.delivery.snapshot import Entry, snapshot, with_files_of
from kustodian.errors import ExitCode, GitError, KustodianError, RenderError, UsageError, task
from kustodian.git import Commit, Git, short
from kustodian.repository import Overlay
from kustodian.validate import Checked, Report, Validator


@dataclass(frozen=True)
class RolledBack:
    """What became of a rollback. `pushed` is None if HEAD renders as the target does already."""

    target: Commit
    """Whose state was wanted."""
    before: Commit
    """What was at HEAD."""
    files: tuple[str, ...] = ()
    """What was restored, added or removed, as git names it."""
    others: tuple[str, ...] = ()
    """The paths of the other overlays whose renders changed with it."""
    pushed: Pushed | None = None


@dataclass(frozen=True)
class _Candidate:
    """A tree that could be committed."""

    tree: str
    files: tuple[str, ...]


def rollback(
    validator: Validator,
    overlay: Overlay,
    destinations: Mapping[str, Destination],
    revisions: Sequence[str],
    *,
    to: str = "",
    shared: bool = False,
    on_checked: Callable[[Checked], None] = lambda _checked: None,
) -> RolledBack | Report:
    """Restore the overlay at `to`, or at the newest of `revisions` that renders otherwise than HEAD, and push that.

    `revisions` are the commits that were healthy, newest last, as the Application's history has them for the
    destination's source. `shared` allows files that others read to go back, too. A `Report` says what is wrong with the
    restored state; nothing is changed then. Raises `UsageError`, `GitError`, `PushRejected`, `RenderError`,
    `ToolError`, `Interrupted`.
    """
    renderer = validator.renderer
    destination = of(destinations, overlay, renderer.repository)
    git = Git(renderer.repository.root)
    head = git.head()
    git.refuse_unfinished()
    _refuse_changes(git)
    target = out.look(git, destination, destinations)
    out.refuse_diverged(git, target, head)
    _refuse_unpushed(git, target, head)
    with snapshot(git) as folder:
        renders = Renders(folder, renderer)
        wanted = _target(git, renders, overlay, head, revisions, to)
        result = RolledBack(git.commit_of(wanted), git.commit_of(head))
        if _is_at(renders, overlay, head, wanted):
            return result
        candidate = _own_files(git, renders, overlay, head, wanted)
        if not _is_at(renders, overlay, candidate.tree, wanted):
            candidate = _all_files(git, renders, overlay, head, wanted)
            if not _is_at(renders, overlay, candidate.tree, wanted):
                raise _unprovable(renders, overlay, candidate.tree, wanted)
        reached = renders.reached(head, candidate.tree)
        affected = renders.changed(head, candidate.tree, out.of_the_same_branch(reached, destinations, target, git))
        others = tuple(path for path in affected if path != overlay.path)
        if not shared:
            _refuse_shared(renders, overlay, candidate, others, wanted, to)
        refuse_open_secrets(git, renderer.repository, target, head, candidate.tree)
        protected = out.under_review(renders, target, overlay, affected)
        if not protected:
            out.refuse_other_branch(git, target, overlay)
        report = _checked(validator, renders, overlay, others, candidate.tree, on_checked)
        if report.exit_code is not ExitCode.CLEAN:
            return report
    commit = _commit(git, candidate, _message(overlay, result), head)
    pushed = send(git, target, overlay, commit, head, affected=affected, protected=protected, committed=candidate.files)
    return replace(result, files=candidate.files, others=others, pushed=pushed)


def _refuse_changes(git: Git) -> None:
    if changes := git.changes().all:
        raise GitError(
            f"there are uncommitted changes: {some(changes)}",
            hint="commit them, or put them away (git stash --include-untracked): a rollback publishes nothing else",
        )


def _refuse_unpushed(git: Git, target: Target, head: str) -> None:
    if not target.tip or target.destination.trial or not (waiting := git.between(target.tip, head)):
        return
    on_it = git.branch() == target.branch
    aside = f"git branch kept && git reset --keep {short(target.tip)}" if on_it else f"git switch {target.branch}"
    raise GitError(
        f"HEAD has commits that {target.shown} lacks, and the rollback would publish them; "
        f"the newest: {git.commit_of(waiting[0])}",
        hint=f"push them first, or start without them: {aside}",
    )


def _target(git: Git, renders: Renders, overlay: Overlay, head: str, revisions: Sequence[str], to: str) -> str:
    """The commit to go back to. Raises `UsageError`."""
    if to:
        commit = _known(git, to)
        _refuse_without(renders, overlay, commit)
        return commit
    for revision in reversed(revisions):
        commit = _known(git, revision)
        if not _is_at(renders, overlay, head, commit):
            _refuse_without(renders, overlay, commit)
            return commit
    raise UsageError(
        f"{overlay.path}: Argo CD's history has no state that differs from the one at HEAD",
        hint=f"name one: {task(f'rollback --env {overlay.environment} --to REVISION')}; see {task('history')}",
    )


def _known(git: Git, revision: str) -> str:
    if commit := git.resolve(revision):
        return commit
    raise UsageError(
        f"there is no commit {revision} in this clone",
        hint="bring it here: git fetch --all (git fetch --unshallow where the clone is shallow)",
    )


def _refuse_without(renders: Renders, overlay: Overlay, commit: str) -> None:
    """Raises `UsageError`, `RenderError` unless the commit has the overlay and it renders."""
    shown = renders.snapshot.git.commit_of(commit)
    render = renders.at(commit, [overlay.path])[overlay.path]
    if render is None:
        raise UsageError(f"{overlay.path} does not exist at {shown}", hint="choose a later revision")
    if isinstance(render, KustodianError):
        raise RenderError(f"{overlay.path} does not render at {shown}: {render.message}", hint=render.hint)


def _is_at(renders: Renders, overlay: Overlay, tree: str, wanted: str) -> bool:
    """Whether the overlay renders, in two states, to the same bytes."""
    one, other = (renders.at(state, [overlay.path])[overlay.path] for state in (tree, wanted))
    return isinstance(one, bytes) and same(one, other)


def _own_files(git: Git, renders: Renders, overlay: Overlay, head: str, wanted: str) -> _Candidate:
    """HEAD with the overlay's own folder as it was."""
    folder = renders.path(overlay.path)
    old, now = renders.entries(wanted), renders.entries(head)
    below = {path for path in old.keys() | now.keys() if folder == "." or path.startswith(f"{folder}/")}
    return _candidate(git, head, {path: old.get(path) for path in below if old.get(path) != now.get(path)})


def _all_files(git: Git, renders: Renders, overlay: Overlay, head: str, wanted: str) -> _Candidate:
    """HEAD with the overlay's folder, and all else that it read, as it was.

    What it reads now and did not read then is left alone: the restored files do not refer to it.
    """
    folder = renders.path(overlay.path)
    old, now = renders.entries(wanted), renders.entries(head)
    read = renders.closures(wanted)[overlay.path]
    paths = {path for path in old.keys() | now.keys() if path.startswith(f"{folder}/")} | (read & old.keys())
    return _candidate(git, head, {path: old.get(path) for path in paths if old.get(path) != now.get(path)})


def _candidate(git: Git, head: str, changed: Mapping[str, Entry | None]) -> _Candidate:
    return _Candidate(with_files_of(git, head, changed), tuple(sorted(changed)))


def _unprovable(renders: Renders, overlay: Overlay, tree: str, wanted: str) -> RenderError:
    render = renders.at(tree, [overlay.path])[overlay.path]
    reason = f": {render.message}" if isinstance(render, KustodianError) else ""
    return RenderError(
        f"{overlay.path}: its files as they were at {short(wanted)} do not render as they did then{reason}",
        hint="a link or a setting of kustodian.yaml or .gitattributes may differ; restore those first",
    )


def _refuse_shared(
    renders: Renders, overlay: Overlay, candidate: _Candidate, others: Sequence[str], wanted: str, to: str
) -> None:
    """Raises `UsageError` if more than this overlay's own goes back: files of others, or others' renders."""
    folder = renders.path(overlay.path)
    files = [path for path in candidate.files if folder != "." and not path.startswith(f"{folder}/")]
    if not files and not others:
        return
    what = f"needs files back that are not its own: {some(files)}" if files else "changes other environments"
    with_it = f"this changes the renders of {', '.join(others)}" if others else "no other environment's render changes"
    chosen = f" --to {short(wanted)}" if to else ""
    raise UsageError(
        f"{overlay.path}: the state of {short(wanted)} {what}; {with_it}",
        hint=f"if that is meant: {task(f'rollback --env {overlay.environment}{chosen} --shared')}",
    )


def _checked(
    validator: Validator,
    renders: Renders,
    overlay: Overlay,
    others: Sequence[str],
    tree: str,
    on_checked: Callable[[Checked], None],
) -> Report:
    """The restored state, checked before anything of the working tree is touched."""
    repository = renders.show(tree)
    restored = replace(validator, renderer=replace(validator.renderer, repository=repository))
    overlays = [one for one in repository.overlays if one.path in (overlay.path, *others)]
    return restored.validate(overlays, on_done=on_checked)


def _commit(git: Git, candidate: _Candidate, message: str, head: str) -> str:
    """Restore the files here and commit them; as it was before where that does not work."""
    refuse_moved(git, head)
    _refuse_changes(git)  # again: what was edited during the checks would be overwritten
    try:
        git.restore(candidate.files, candidate.tree)
        return commit_tree(git, candidate.tree, message, head)
    except BaseException:
        with contextlib.suppress(KustodianError):
            if git.head() == head:
                git.restore(candidate.files, head)
        raise


def _message(overlay: Overlay, result: RolledBack) -> str:
    old, now = result.target, result.before
    return (
        f"Roll {overlay.path} back to {short(old.id)}\n\n"
        f"Restores what it was at {old.id}\n({old.subject}, {old.date});\n"
        f"HEAD was {now.id}\n({now.subject}, {now.date}).\n"
        "Its render is byte for byte the same as at that revision.\n"
    )
