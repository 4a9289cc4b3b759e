"""Results for people (`text`) and for programs (`json`): one module a format, the same functions in each.

What concerns deliveries has modules of its own (`delivery_text`, `delivery_json`).
"""

from __future__ import annotations

import importlib
from types import ModuleType

from kustodian.errors import UsageError

FORMATS = ("text", "json")


def reporter(name: str) -> ModuleType:
    """The module of a format. Raises `UsageError`."""
    return _module(name, "")


def delivery_reporter(name: str = "text") -> ModuleType:
    """The module of a format for deliveries. Raises `UsageError`."""
    return _module(name, "delivery_")


def _module(name: str, prefix: str) -> ModuleType:
    if name not in FORMATS:
        raise UsageError(f"--format {name}: unknown", hint=f"choose one of {', '.join(FORMATS)}")
    return importlib.import_module(f"{__name__}.{prefix}{name}")
