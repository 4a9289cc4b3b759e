"""The trial cluster, for people: what is being started, and where it is then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from kustodian.console import is_terminal, paint
from kustodian.errors import task

if TYPE_CHECKING:
    from kustodian.cluster.state import State


class Steps:
    """One line that changes on a terminal, a line for each step elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live, self._started = stream, is_terminal(stream), time.monotonic()

    def step(self, text: str) -> None:
        line = f"starting {text} … ({time.monotonic() - self._started:.0f} s)"
        print(f"\r\x1b[K{line}" if self._live else line, end="" if self._live else "\n", file=self._stream, flush=True)

    def note(self, text: str) -> None:
        self.clear()
        print(f"{paint('·', 'dim', self._stream)} {text}", file=self._stream, flush=True)

    def clear(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=self._stream, flush=True)


@contextlib.contextmanager
def coming_up(stream: TextIO) -> Iterator[Steps]:
    steps = Steps(stream)
    try:
        yield steps
    finally:
        steps.clear()


def up(state: State, stream: TextIO) -> None:
    """Where the cluster is and what to do with it."""
    lines = (
        f"{paint('✓', 'green', stream)} the trial cluster is up (process {state.supervisor})",
        f"    Argo CD     {state.server}  (its pages are not built: the tasks speak to it)",
        f"    kubeconfig  {state.kubeconfig}",
        f"    follows     {state.repository_url}  {state.branch}",
        f"    logs        {state.folder / 'logs'}",
        f"    → {task('status')}; {task('push --env NAME --wait')}; to end it: {task('cluster down')}",
    )
    for line in lines:
        print(line, file=stream)
