"""Peak memory of our Python process over more and more overlays of equal size: it must not grow with their sum."""

from __future__ import annotations

import sys
from pathlib import Path

from inputs import fleet
from machine import ROOT
from measure import Command, Row, alone, environment

_COUNTS = (50, 100, 300)
_COMMANDS = (("build", "--all"), ("build", "--all", "--output", "-"), ("validate", "--all"))
_PAYLOAD = 256 * 1024
_DRIVER = ROOT / "benchmarks" / "drivers" / "own_peak.py"


def rows(work: Path) -> list[Row]:
    found: list[Row] = []
    for count in _COUNTS:
        root = fleet.generate(work / str(count), count, payload=_PAYLOAD)
        found += [_row(work, root, count, what) for what in _COMMANDS]
    return sorted(found, key=lambda row: row.what)


def _row(work: Path, root: Path, count: int, what: tuple[str, ...]) -> Row:
    file = work / "peak"
    command = Command((sys.executable, str(_DRIVER), str(file), "--repo", str(root), *what), root, environment())
    rendered = count * _PAYLOAD / 2**20
    name = f"own memory: {' '.join(what)}, {count:3} overlays ({rendered:.0f} MiB rendered)"
    return alone(name, command, count=1, peak=lambda: int(file.read_text("utf-8")))
