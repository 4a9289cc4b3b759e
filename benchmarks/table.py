"""Prints rows as a table that is plain text and Markdown at once."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from measure import Row, median

_HEAD = (
    "what", "ours: wall s", "CPU s", "peak MiB", "plain: wall s", "CPU s", "peak MiB",
    "ratio of walls (min to max)", "ratio of CPU", "target", "met",
)  # fmt: skip


def render(rows: Sequence[Row]) -> str:
    """The table with aligned columns."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    ours = (_seconds(median(row.ours, "wall")), _seconds(median(row.ours, "cpu")), _mebibytes(median(row.ours, "peak")))
    if not row.plain:
        return (row.what, *ours, *[""] * 7)
    plain = (
        _seconds(median(row.plain, "wall")),
        _seconds(median(row.plain, "cpu")),
        _mebibytes(median(row.plain, "peak")),
    )
    ratio = statistics.median(row.ratios)
    cpu = f"{statistics.median(row.cpu_ratios):.2f}" if row.cpu_ratios else ""
    target = "" if row.target is None else f"≤ {row.target:g}"
    met = "" if row.target is None else "yes" if ratio <= row.target else "NO"
    spread = f"{ratio:.2f} ({row.ratios[0]:.2f} to {row.ratios[-1]:.2f})"
    return (row.what, *ours, *plain, spread, cpu, target, met)


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _mebibytes(value: float) -> str:
    return f"{value / 2**20:.0f}"
