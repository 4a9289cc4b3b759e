"""Results for people: what happened first, then what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from kustodian.console import paint, plural, size

if TYPE_CHECKING:
    from kustodian.build import Outcome
    from kustodian.finding import Finding
    from kustodian.validate import Report

_WIDTH = 100
"""Where long lists are wrapped; the same on every terminal, so that what CI prints compares."""
_IN_FULL = 4
"""Up to how many overlays each gets its details; more get a line each."""


def built(outcomes: Sequence[Outcome], seconds: float, stream: TextIO) -> None:
    for outcome in outcomes:
        if outcome.error:
            _failed(outcome, stream)
        elif outcome.summary:
            summary = outcome.summary
            where = "standard output" if outcome.output == "-" else outcome.output
            _line(
                f"{paint('✓', 'green', stream)} {outcome.overlay.path} → {where}  "
                f"({plural(summary.resources, 'resource')}, {size(summary.size)}, {outcome.seconds:.2f} s)",
                stream,
            )
            if len(outcomes) <= _IN_FULL:
                _details(outcome, stream)
    failed = sum(1 for outcome in outcomes if outcome.error)
    if len(outcomes) > 1:
        resources = sum(outcome.summary.resources for outcome in outcomes if outcome.summary)
        tail = f", {failed} failed" if failed else ""
        _line(
            f"{plural(len(outcomes) - failed, 'overlay')} built{tail}: "
            f"{plural(resources, 'resource')} in {seconds:.2f} s",
            stream,
        )


def validated(report: Report, seconds: float, stream: TextIO) -> None:
    for finding in report.tree:
        _finding(finding, stream)
    for checked in report.overlays:
        for finding in checked.findings:
            _finding(finding, stream)
        for error in checked.errors:
            _error(str(error), stream)
        if not checked.findings and not checked.errors:
            skipped = f", {checked.skipped} skipped" if checked.skipped else ""
            _line(
                f"{paint('✓', 'green', stream)} {checked.overlay.path}  "
                f"({plural(checked.resources, 'resource')}{skipped}, {checked.seconds:.2f} s)",
                stream,
            )
    errors = sum(len(checked.errors) for checked in report.overlays)
    parts = [plural(len(report.findings), "finding")]
    if errors:
        parts.append(f"{errors} could not be checked")
    _line(f"{plural(len(report.overlays), 'overlay')} checked: {', '.join(parts)} in {seconds:.2f} s", stream)


def _details(outcome: Outcome, stream: TextIO) -> None:
    summary = outcome.summary
    assert summary is not None  # noqa: S101  the caller has looked
    # A no-break space holds a number and its kind on one line.
    kinds = ", ".join(f"{count}\u00a0{kind}" for kind, count in summary.kinds.items())
    wrapped = textwrap.fill(kinds, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    _line(wrapped.replace("\u00a0", " "), stream)
    for image in summary.images:
        _line(f"    image {image}", stream)
    if summary.secrets:
        _line(f"    {plural(summary.secrets, 'sealed secret')}", stream)


def _failed(outcome: Outcome, stream: TextIO) -> None:
    _error(str(outcome.error), stream)


def _error(message: str, stream: TextIO) -> None:
    first, *rest = message.splitlines()
    _line(f"{paint('✗', 'red', stream)} {first}", stream)
    for line in rest:
        _line(f"  {line}", stream)


def _finding(finding: Finding, stream: TextIO) -> None:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    parts = [part for part in (finding.overlay, finding.resource, place) if part]
    _line(f"{paint('✗', 'red', stream)} {finding.rule}  {'  '.join(parts)}", stream)
    _line(f"    {finding.message}", stream)
    if finding.mend:
        _line(f"    → {finding.mend}", stream)


def _line(text: str, stream: TextIO) -> None:
    print(text, file=stream)
