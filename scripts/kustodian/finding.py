"""A finding: one broken rule at one place. It is what a check returns; errors are for what could not be checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """`rule` is the check's id. `file` is repository-relative, empty where it can't be known; `line` counts from 1."""

    rule: str
    message: str
    resource: str = ""
    """`Kind/namespace/name`, empty for a finding about a file of the tree."""
    file: str = ""
    line: int = 0
    overlay: str = ""
    """The path of the overlay in whose render it was found."""
    mend: str = ""
    """What to do about it."""

    def as_json(self) -> dict[str, object]:
        return asdict(self)
