"""What people see: colours only on a terminal, progress only on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from kustodian.toolchain import Report

_CODES = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches the stream; not so in CI, whatever the runner pretends to be."""
    return stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO) -> str:
    """`text` in a colour where the stream shows colours and NO_COLOR (https://no-color.org) is not set."""
    if os.environ.get("NO_COLOR") or not is_terminal(stream):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def say(text: str) -> None:
    """A line of a result, to standard output."""
    print(text)


def note(text: str) -> None:
    """A line about the work, to standard error."""
    print(text, file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """`text` without what would move a terminal's cursor or colours: a server, or a file's name, may hold that."""
    return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text)


def plural(count: int, noun: str) -> str:
    """`1 resource`, `2 resources`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(names: Sequence[str], most: int = 10) -> str:
    """The first names and how many more there are: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def size(count: int) -> str:
    """A number of bytes for people, in units of 1000."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 10**6 else f"{count / 10**6:.1f} MB"


@contextlib.contextmanager
def building() -> Iterator[Report]:
    """Shows how far the building of programs is: a bar on a terminal, plain lines elsewhere."""
    display = _Bar() if is_terminal(sys.stderr) else _Lines()
    name, started = "", time.monotonic()

    def finished() -> None:
        if name:
            display.say(f"built {name} in {time.monotonic() - started:.0f} s")

    def report(current: str, packages: int) -> None:
        nonlocal name, started
        if current != name:
            finished()
            name, started = current, time.monotonic()
        display.show(current, packages)

    try:
        yield report
        finished()
    finally:
        display.close()


class _Lines:
    """A line at the start of each program, and one now and then after it, so that CI shows life."""

    SECONDS = 30.0

    def __init__(self) -> None:
        self._name = ""
        self._spoke = 0.0

    def show(self, name: str, packages: int) -> None:
        now = time.monotonic()
        if name != self._name:
            self.say(f"building {name} (once; it is kept in the user's cache) …")
            self._name, self._spoke = name, now
        elif now - self._spoke >= self.SECONDS:
            self.say(f"building {name}: {packages} packages so far")
            self._spoke = now

    def say(self, text: str) -> None:
        note(text)

    def close(self) -> None:
        pass


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("building {task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed} packages"),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=None)

    def show(self, name: str, packages: int) -> None:
        from kustodian.toolchain.pins import CLUSTER_PINS, PINS

        wanted = name.partition(" ")[0]
        pin = PINS.get(wanted) or CLUSTER_PINS.get(wanted)
        total = max(pin.packages, packages + 1) if pin else None
        self._progress.update(self._task, description=name, completed=packages, total=total)

    def say(self, text: str) -> None:
        self._progress.console.print(text)

    def close(self) -> None:
        self._progress.stop()


class Counter:
    """`12/300` on a terminal while many overlays are worked on; silent elsewhere and for a few."""

    def __init__(self, total: int, what: str) -> None:
        self._done, self._total, self._what = 0, total, what
        self._shown = total > 3 and is_terminal(sys.stderr)

    def advance(self) -> None:
        self._done += 1
        if self._shown:
            end = "\r" if self._done < self._total else "\r\x1b[K"
            text = f"{self._what} {self._done}/{self._total}" if self._done < self._total else ""
            print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)
