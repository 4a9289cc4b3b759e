"""What git knows of the revisions that Argo CD names, fetched from the followed branch where they are not here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from kustodian import remote
from kustodian.argocd.wait import Relation
from kustodian.delivery.destination import Destination, branch_of, remote_of
from kustodian.errors import GitError, KustodianError, ToolTimeout, UsageError
from kustodian.git import COMMIT_ID, Commit, Git
from kustodian.remote import Refs

_ATTEMPTS = 3
"""How often a commit is looked for at the remote: it may be of another branch, or just being pushed."""


@dataclass
class Commits:
    """The commits of one destination's branch."""

    git: Git
    destination: Destination
    _refs: dict[str, Refs | KustodianError] = field(default_factory=dict)
    """By repository; may be shared by the commits of several destinations, so that each remote is asked once."""
    _attempts: dict[str, int] = field(default_factory=dict)

    @property
    def remote(self) -> str:
        """The remote's name, or its URL where no remote of the checkout is that repository."""
        try:
            return remote_of(self.git, self.destination)
        except UsageError:
            return self.destination.repo_url

    @property
    def refs(self) -> Refs:
        """What the remote has, asked once. Raises `GitError`, `ToolTimeout`."""
        url = self.destination.repo_url
        if url not in self._refs:
            try:
                self._refs[url] = remote.refs(self.git, self.remote)
            except (GitError, ToolTimeout) as error:
                self._refs[url] = error
        found = self._refs[url]
        if isinstance(found, KustodianError):
            raise found
        return found

    @property
    def branch(self) -> str:
        """Raises `GitError`, `UsageError` for what is no branch."""
        return branch_of(self.destination, self.refs)

    def tip(self) -> str:
        """The commit that the followed branch is at. Raises `GitError`, `UsageError`."""
        if tip := self.refs.branches.get(self.branch):
            return tip
        raise UsageError(
            f"the Application {self.destination.application} follows the branch {self.branch}, which is not there",
            hint="push it, or correct `targetRevision`",
        )

    def find(self, revision: str) -> Commit | None:
        """A commit by its full id; None for what is none, or can't be had."""
        if not COMMIT_ID.fullmatch(revision):
            return None
        if self.git.resolve(revision) is None:
            self._fetch(revision)
            if self.git.resolve(revision) is None:
                return None
        return self.git.commit_of(revision)

    def relation_to(self, target: str) -> Callable[[str], Relation]:
        """How a revision stands to a commit, for `wait.observe`; answers are kept, but for what is not known yet."""
        known: dict[str, Relation] = {}

        def relation(revision: str) -> Relation:
            if revision not in known:
                found = self._relation(revision, target)
                if found is Relation.UNKNOWN and self._attempts.get(revision, _ATTEMPTS) < _ATTEMPTS:
                    return found
                known[revision] = found
            return known[revision]

        return relation

    def _fetch(self, revision: str) -> None:
        attempt = self._attempts.get(revision, 0)
        if attempt < _ATTEMPTS:
            self._attempts[revision] = attempt + 1
            with contextlib.suppress(GitError, ToolTimeout, UsageError):
                remote.fetch(self.git, self.remote, self.branch)

    def _relation(self, revision: str, target: str) -> Relation:
        if revision == target:
            return Relation.TARGET
        if self.find(revision) is None or self.find(target) is None:
            return Relation.UNKNOWN
        if self.git.is_ancestor(target, revision):
            return Relation.AFTER
        return Relation.BEFORE if self.git.is_ancestor(revision, target) else Relation.UNKNOWN
