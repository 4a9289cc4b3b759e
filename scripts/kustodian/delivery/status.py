"""Every environment in one table: what git wants, what runs, and how well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kustodian.delivery.commits import Commits
from kustodian.errors import ExitCode, GitError, KustodianError, ToolTimeout, UsageError

if TYPE_CHECKING:
    from kustodian.argocd.application import Application
    from kustodian.argocd.client import Client
    from kustodian.delivery.destination import Destination
    from kustodian.git import Git
    from kustodian.remote import Refs
    from kustodian.repository import Overlay


@dataclass(frozen=True)
class Row:
    """One environment. What is not known is empty; `problem` then says why."""

    environment: str
    application: str = ""
    branch: str = ""
    wanted: str = ""
    """The commit that the followed branch is at."""
    running: str = ""
    """The commit that was synced last, or that the cluster was found to be the same as."""
    sync: str = ""
    health: str = ""
    operation: str = ""
    """The phase of the operation that runs or ran last."""
    images: tuple[str, ...] = ()
    drift: int = 0
    """How many resources are out of sync."""
    synced: str = ""
    """When the last sync ended, RFC 3339."""
    pushed_by: str = ""
    """The author of the running commit, or who started the last sync where git does not know the commit."""
    problem: str = ""
    could_not_ask: bool = False
    deployed: bool = True
    """Whether an Application deploys it at all; one that none deploys, or that a trial leaves out, is not judged."""

    @property
    def is_well(self) -> bool:
        """Whether what git wants runs, is all of it, and is healthy; while a sync runs, its hooks are still to come."""
        runs = bool(self.wanted) and self.wanted == self.running and self.operation not in ("Running", "Terminating")
        return runs and self.sync == "Synced" and self.health == "Healthy" and not self.problem

    @property
    def exit_code(self) -> ExitCode:
        if self.could_not_ask:
            return ExitCode.ERROR
        return ExitCode.CLEAN if self.is_well or not self.deployed else ExitCode.FINDINGS


def status(
    client: Client, git: Git, overlays: Iterable[Overlay], destinations: Mapping[str, Destination]
) -> tuple[Row, ...]:
    """A row for each overlay, in their order. Raises `ServerError` if Argo CD can't be asked at all."""
    return tuple(_rows(client, git, overlays, destinations, client.applications()))


def running(application: Application, source: int) -> str:
    """The commit of a source that is in the cluster, as far as Argo CD knows; empty before the first sync."""
    history = application.history[-1].revisions if application.history else ()
    # A commit that changes nothing of the Application is compared, found to be the same, and never synced.
    revisions = application.revisions if application.sync == "Synced" else history
    return revisions[source] if source < len(revisions) else ""


def _rows(
    client: Client,
    git: Git,
    overlays: Iterable[Overlay],
    destinations: Mapping[str, Destination],
    applications: Sequence[Application],
) -> Iterator[Row]:
    asked: dict[str, Refs | KustodianError] = {}
    for overlay in overlays:
        name = overlay.environment
        destination = destinations.get(overlay.path)
        if destination is None:
            yield Row(name, problem="no Application of the repository deploys it", deployed=False)
            continue
        commits = Commits(git, destination, asked)
        wanted, problem = _wanted(commits)
        application = next((one for one in applications if _is_of(destination, one)), None)
        if application is None:
            absent = "there is no such Application at the server (or the token may not see it)"
            if destination.trial:  # which says at its start what it leaves out
                absent = "it is not in the trial: its secrets did not open, or others were asked for"
            yield Row(
                name,
                destination.application,
                destination.branch,
                wanted,
                problem=absent,
                deployed=not destination.trial,
            )
            continue
        if application.sync == "Synced" and wanted not in ("", running(application, destination.source)):
            # A commit that does not concern an Application reaches its status minutes later, unless it has to look.
            application = client.application(application.name, refresh="normal", namespace=application.namespace)
        yield _row(name, destination, commits, application, wanted, problem)


def _is_of(destination: Destination, application: Application) -> bool:
    return application.name == destination.application and destination.namespace in ("", application.namespace)


def _row(
    name: str, destination: Destination, commits: Commits, application: Application, wanted: str, problem: str
) -> Row:
    runs = running(application, destination.source)
    commit = commits.find(runs)
    operation = application.operation
    errors = [condition.message for condition in application.conditions if condition.is_error]
    # A hook after the sync may fail with all that was synced being healthy.
    if operation and operation.phase in ("Failed", "Error") and runs in operation.revisions:
        errors.append(f"the sync of it failed: {operation.message}")
    last = application.history[-1] if application.history else None
    return Row(
        environment=name,
        application=application.name,
        branch=destination.branch,
        wanted=wanted,
        running=runs,
        sync=application.sync,
        health=application.health,
        operation=operation.phase if operation else "",
        images=tuple(sorted(application.images)),
        drift=sum(1 for resource in application.resources if resource.sync == "OutOfSync"),
        synced=last.deployed if last else "",
        pushed_by=commit.author if commit else operation.initiated_by if operation else "",
        problem=problem or "; ".join(errors),
        could_not_ask=bool(problem),
    )


def _wanted(commits: Commits) -> tuple[str, str]:
    """The tip of the followed branch, or why it is not known."""
    try:
        return commits.tip(), ""
    except (GitError, ToolTimeout, UsageError) as error:
        return "", error.message
