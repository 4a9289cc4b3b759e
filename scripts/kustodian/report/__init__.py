"""Results for people (`text`) and for programs (`json`): one module a format, the same functions in each."""

from __future__ import annotations

from types import ModuleType

from kustodian.errors import UsageError

FORMATS = ("text", "json")


def reporter(name: str) -> ModuleType:
    """The module of a format. Raises `UsageError`."""
    if name == "text":
        from kustodian.report import text

        return text
    if name == "json":
        from kustodian.report import json

        return json
    raise UsageError(f"--format {name}: unknown", hint=f"choose one of {', '.join(FORMATS)}")
