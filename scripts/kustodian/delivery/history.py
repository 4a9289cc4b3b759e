"""What was synced when, by whom, and what git knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kustodian.errors import UsageError

if TYPE_CHECKING:
    from kustodian.argocd.application import Application, HistoryEntry
    from kustodian.argocd.client import Client
    from kustodian.delivery.commits import Commits
    from kustodian.git import Commit


_SHORTEST = 4
"""How many characters of a commit name it at the least, as for git."""


@dataclass(frozen=True)
class Sync:
    """One sync that succeeded. `commit` is None where git does not know the revision."""

    id: int
    revision: str
    deployed: str
    """When it was over, RFC 3339."""
    initiated_by: str
    commit: Commit | None = None


@dataclass(frozen=True)
class History:
    environment: str
    application: str
    syncs: tuple[Sync, ...]
    """The newest first; Argo CD keeps ten, if the Application does not say otherwise."""


def history(client: Client, commits: Commits) -> History:
    """The past syncs of a destination. Raises `ServerError`."""
    destination = commits.destination
    application = client.application(destination.application, namespace=destination.namespace)
    syncs = []
    for entry in reversed(application.history):
        revision = revision_of(entry, destination.source)
        commit = commits.find(revision)
        syncs.append(Sync(entry.id, revision, entry.deployed, entry.initiated_by, commit))
    return History(destination.overlay.environment, application.name, tuple(syncs))


def revisions(client: Client, commits: Commits) -> tuple[str, ...]:
    """The commits that were synced, the newest last, without those that git can't find. Raises `ServerError`."""
    found = history(client, commits)
    return tuple(sync.revision for sync in reversed(found.syncs) if sync.commit)


def revision_of(entry: HistoryEntry, source: int) -> str:
    """What a past sync synced of a source; empty where it had fewer of them."""
    return entry.revisions[source] if source < len(entry.revisions) else ""


def choose(application: Application, source: int, to: str = "") -> HistoryEntry:
    """The past sync to go back to: the newest one of the commit `to` (full or shortened), or of another commit than the
    one that Argo CD compares the cluster with now. Raises `UsageError`.
    """
    now = application.revisions[source] if source < len(application.revisions) else ""
    fitting = {
        revision: entry
        for entry in application.history
        if (revision := revision_of(entry, source)) and (revision.startswith(to) if to else revision != now)
    }
    if to and fitting and (len(fitting) > 1 or len(to) < _SHORTEST):
        raise UsageError(
            f"{to} is too short to name a sync of {application.name}: it may be {', '.join(fitting)}",
            hint="give more of the commit",
        )
    if fitting:
        return max(fitting.values(), key=lambda entry: entry.id)
    known = ", ".join(dict.fromkeys(revision_of(entry, source)[:10] for entry in reversed(application.history)))
    raise UsageError(
        f"Argo CD's history of {application.name} has no sync of {to or 'another commit'}",
        hint=f"it has {known}" if known else "nothing was ever synced",
    )
