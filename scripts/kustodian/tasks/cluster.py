"""The task for the trial cluster: up, down, status."""

from __future__ import annotations

import sys

from invoke import Context

from kustodian.errors import ExitCode, UsageError
from kustodian.errors import task as task_line
from kustodian.tasks.shared import SELECTION, command, repository_of, task, tools


@task(
    iterable=["env"],
    help={
        "action": "up, down or status.",
        "env": f"For up: {SELECTION['env']} Without: all whose secrets open with the keys at hand.",
    },
)
@command
def cluster(c: Context, action: str, env: list[str]) -> ExitCode:
    """Try the whole thing on this machine: a real API server and a real Argo CD that follow this repository."""
    from kustodian import cluster as stage
    from kustodian.cluster import state
    from kustodian.console import say
    from kustodian.report import cluster as report

    repository = repository_of(c)
    if action not in ("up", "down", "status"):
        raise UsageError(f"cluster {action}: unknown", hint="choose one of up, down, status")
    if env and action != "up":
        raise UsageError(f"--env is not for cluster {action}")
    if action == "up":
        if env:  # a slip of the finger is told before anything is built
            repository.select(environments=env, every=False, roots=[])
        programs = tools(stage.PROGRAMS)
        with report.coming_up(sys.stderr) as display:
            found = stage.up(repository, programs, environments=env, on_step=display.step, on_note=display.note)
        report.up(found, sys.stdout)
        return ExitCode.CLEAN
    if action == "down":
        say("the trial cluster is gone" if stage.down(repository) else "there is no trial cluster to end")
        return ExitCode.CLEAN
    running = state.read(repository.root)
    if running is None:
        say(f"this repository's trial cluster is not up; to start it: {task_line('cluster up')}")
        return ExitCode.FINDINGS
    report.up(running, sys.stdout)
    return ExitCode.CLEAN
