"""How far a followed sync is: a table that comes and goes on a terminal, plain lines of what changed elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from kustodian.console import is_terminal, note, plural
from kustodian.git import short

if TYPE_CHECKING:
    from kustodian.argocd.wait import State

_AT_ONCE = 8
"""How many lines one observation may bring in CI; more are counted."""
_ROWS = 16
"""How many resources the table has; those that are well are counted."""
_SUCCEEDED = "hook, Succeeded"


class Progress(Protocol):
    def show(self, state: State) -> None: ...

    def say(self, text: str) -> None: ...


@contextlib.contextmanager
def progress(environment: str, commit: str, limit: float) -> Iterator[Progress]:
    """A display for `delivery.follow`, on standard error. `limit` is in seconds."""
    if not is_terminal(sys.stderr):
        note(f"{environment}: following {short(commit)} until it is synced and healthy (at most {limit:g} s)")
        yield Lines(environment)
        return
    table = _Table(environment, commit, limit)
    with table:
        yield table


def conditions(state: State) -> dict[str, str]:
    """Each resource, and each hook of the operation, with how it is."""
    application = state.application
    if application is None:
        return {}
    found = {}
    for resource in application.resources:
        words = ", ".join(word for word in (resource.sync, resource.health) if word)
        found[str(resource)] = f"{words}: {resource.message}" if resource.message and not _is_well(words) else words
    operation = application.operation
    for result in operation.results if operation else ():
        if result.hook_type:
            how = f"{result.hook_type} hook, {result.hook_phase}"
            found[str(result)] = how if how.endswith(_SUCCEEDED) else f"{how}: {result.message}"
    return found


def _is_well(how: str) -> bool:
    return how in ("", "Synced", "Synced, Healthy") or how.endswith(_SUCCEEDED)


def _unsaid(how: str) -> str:
    return how if _is_well(how) else ""


class Lines:
    """What changed since the last observation, a line each."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._said = ""
        self._known: dict[str, str] = {}

    def show(self, state: State) -> None:
        said = f"{self._environment}: {state.phase.value}: {state.reason}"
        if said != self._said:
            note(said)
        self._said = said
        now = conditions(state)
        # What is seen for the first time and is well is no news.
        changed = [(name, how) for name, how in now.items() if how and how != self._known.get(name, _unsaid(how))]
        for name, how in changed[:_AT_ONCE]:
            note(f"  {name}  {how}")
        if len(changed) > _AT_ONCE:
            note(f"  and {plural(len(changed) - _AT_ONCE, 'other resource')}")
        self._known = now

    def say(self, text: str) -> None:
        note(f"{self._environment}: {text}")


class _Table:
    def __init__(self, environment: str, commit: str, limit: float) -> None:
        from rich.console import Console
        from rich.live import Live

        self._environment, self._commit, self._limit = environment, commit, limit
        self._started = time.monotonic()
        self._state: State | None = None
        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()

    def show(self, state: State) -> None:
        self._state = state

    def say(self, text: str) -> None:
        self._live.console.print(f"{self._environment}: {text}", markup=False)

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        seconds = time.monotonic() - self._started
        state = self._state
        phase = state.phase.value if state else "asking Argo CD"
        head = f"{self._environment} {short(self._commit)}  {phase}  {seconds:.0f} s of at most {self._limit:g} s"
        grid = Table.grid(padding=(0, 2))
        grid.title, grid.title_justify = Text(head, style="bold"), "left"
        found = conditions(state) if state else {}
        waiting = {name: how for name, how in found.items() if not _is_well(how)}
        for name, how in list(waiting.items())[:_ROWS]:
            grid.add_row(Text(name), Text(how, style="red" if "Degraded" in how or "Failed" in how else "yellow"))
        rest = f" and {len(waiting) - _ROWS} more" if len(waiting) > _ROWS else ""
        caption = f"{rest}{len(found) - len(waiting)} of {plural(len(found), 'resource')} well" if found else ""
        grid.caption = Text("; ".join(filter(None, (caption, state.reason if state else ""))), style="dim")
        grid.caption_justify = "left"
        return grid
