"""Results of deliveries as one JSON document; its fields are described in docs/delivery.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from kustodian.delivery.fields import ABSENT, Change
from kustodian.report.json import dump

if TYPE_CHECKING:
    from kustodian.delivery.drift import Drift
    from kustodian.delivery.history import History
    from kustodian.delivery.status import Row


def status(rows: Sequence[Row], server: str, stream: TextIO) -> None:
    dump(
        {
            "server": server,
            "environments": [
                {
                    "environment": row.environment,
                    "application": row.application,
                    "branch": row.branch,
                    "wanted": row.wanted,
                    "running": row.running,
                    "sync": row.sync,
                    "health": row.health,
                    "operation": row.operation,
                    "images": list(row.images),
                    "drift": row.drift,
                    "syncedAt": row.synced,
                    "pushedBy": row.pushed_by,
                    "problem": row.problem,
                    "well": row.is_well,
                }
                for row in rows
            ],
        },
        stream,
    )


def history(found: History, stream: TextIO) -> None:
    dump(
        {
            "environment": found.environment,
            "application": found.application,
            "syncs": [
                {
                    "id": sync.id,
                    "revision": sync.revision,
                    "subject": sync.commit.subject if sync.commit else None,
                    "author": sync.commit.author if sync.commit else None,
                    "deployedAt": sync.deployed,
                    "initiatedBy": sync.initiated_by,
                }
                for sync in found.syncs
            ],
        },
        stream,
    )


def drift(found: Drift, stream: TextIO) -> None:
    dump(
        {
            "environment": found.environment,
            "application": found.application,
            "revision": found.revision,
            "resources": found.resources,
            "differences": [
                {
                    "resource": str(difference.resource),
                    "difference": difference.kind.value,
                    "changes": [_change(change) for change in difference.changes],
                }
                for difference in found.differences
            ],
        },
        stream,
    )


def _change(change: Change) -> dict[str, Any]:
    sides = {"live": change.live, "git": change.git}
    return {"path": change.path, **{side: value for side, value in sides.items() if value is not ABSENT}}
