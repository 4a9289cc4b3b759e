"""Measures whole processes, ours and the plain program in turns.

Both run on the same machine within the same seconds, so that what else the machine does falls on both; the ratio of
each pair is what counts. Linux counts the memory of the process that starts a program into the program's peak, so this
one stays small: nothing that is measured is held in it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_NOWHERE = Path(os.devnull)


@dataclass(frozen=True)
class Command:
    """A command line, where and with which variables it runs, and the files that it reads and writes."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    stdin: Path | None = None
    stdout: Path | None = None


@dataclass(frozen=True)
class Sample:
    """One run: wall time and CPU time in seconds with all children, and the largest process' peak memory in bytes."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Row:
    """A line of the table. `ours` and `plain` are pairs by position; `plain` is empty where there is none."""

    what: str
    ours: tuple[Sample, ...]
    plain: tuple[Sample, ...] = ()
    target: float | None = None

    @property
    def ratios(self) -> list[float]:
        return sorted(ours.wall / plain.wall for ours, plain in zip(self.ours, self.plain, strict=False))

    @property
    def cpu_ratios(self) -> list[float]:
        return sorted(ours.cpu / plain.cpu for ours, plain in zip(self.ours, self.plain, strict=False) if plain.cpu)


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables as a user has them: with bytecode caches, without settings of kustodian."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "KUSTODIAN_NO_BUILD")
    return {name: value for name, value in base.items() if name not in left_out}


def once(command: Command) -> Sample:
    """Run a command to its end. Raises `RuntimeError` if it fails: the speed of a failure is not what is asked."""
    with (
        (command.stdin or _NOWHERE).open("rb") as stdin,
        (command.stdout or _NOWHERE).open("wb") as stdout,
        _NOWHERE.open("wb") as stderr,
    ):
        started = time.perf_counter()
        process = subprocess.Popen(
            command.argv, cwd=command.cwd, env=command.env, stdin=stdin, stdout=stdout, stderr=stderr
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode} of: (cd {command.cwd} && {' '.join(command.argv)})")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def pairs(what: str, ours: Command, plain: Command, *, count: int, target: float | None = None) -> Row:
    """One warm-up of each that is not counted, then `count` times ours and the plain one, in turns."""
    once(ours), once(plain)
    samples = [(once(ours), once(plain)) for _ in range(count)]
    return Row(what, tuple(pair[0] for pair in samples), tuple(pair[1] for pair in samples), target)


def alone(what: str, command: Command, *, count: int, peak: Callable[[], int] | None = None) -> Row:
    """`count` runs of one command after a warm-up. `peak` says the peak memory where the system's answer won't do."""
    once(command)
    samples = []
    for _ in range(count):
        sample = once(command)
        samples.append(Sample(sample.wall, sample.cpu, peak()) if peak else sample)
    return Row(what, tuple(samples))


def median(samples: tuple[Sample, ...], field: str) -> float:
    """The median of one field of the samples, by its name."""
    return float(statistics.median(getattr(sample, field) for sample in samples))
