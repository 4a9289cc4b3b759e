"""Results as one JSON document; its fields are described in docs/build.md and docs/validate.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from kustodian.build import Outcome
    from kustodian.validate import Report


def built(outcomes: Sequence[Outcome], seconds: float, stream: TextIO) -> None:
    dump({"overlays": [outcome.as_json() for outcome in outcomes], "seconds": round(seconds, 3)}, stream)


def validated(report: Report, seconds: float, stream: TextIO) -> None:
    dump(
        {
            "overlays": [
                {
                    "path": checked.overlay.path,
                    "environment": checked.overlay.environment,
                    "status": "error" if checked.errors else "findings" if checked.findings else "clean",
                    "resources": checked.resources,
                    "skipped": checked.skipped,
                    "findings": len(checked.findings),
                    "errors": [str(error) for error in checked.errors],
                    "seconds": round(checked.seconds, 3),
                }
                for checked in report.overlays
            ],
            "findings": [finding.as_json() for finding in report.findings],
            "seconds": round(seconds, 3),
        },
        stream,
    )


def dump(value: object, stream: TextIO) -> None:
    """Write one document, indented, to a stream."""
    json.dump(value, stream, indent=2, ensure_ascii=False)
    stream.write("\n")
