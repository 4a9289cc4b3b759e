"""Finds the pinned programs: in the per-user cache, on PATH, or by building them once.

    kustomize = find("kustomize").path

A program in the cache is trusted by its path (built there by us, named by its version). One on PATH is used only if it
is of the pinned version, because output that differs from what Argo CD will render is worse than a wait.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kustodian import process
from kustodian.errors import ToolError, UsageError
from kustodian.toolchain.pins import CLUSTER_PINS, PINS, Pin

NO_BUILD = "KUSTODIAN_NO_BUILD"
"""Set to forbid building: a program that is neither cached nor on PATH is then an error."""
CACHE = "KUSTODIAN_CACHE"
"""Set to keep built programs and schemas elsewhere than in the user's cache folder."""
WORK = ".kustodian-work"
"""The folder in the cache in which programs are built."""


@dataclass(frozen=True)
class Tool:
    """A program at hand: where it is and where it came from (`cache` or `PATH`)."""

    pin: Pin
    path: Path
    origin: str


Report = Callable[[str, int], None]
"""Called while a program is built, with what is being done and how many packages are compiled so far."""


def cache_folder() -> Path:
    """Where built programs and converted schemas are kept, per user; made by whoever writes into it."""
    try:
        if chosen := os.environ.get(CACHE):
            return Path(chosen).expanduser().absolute()
        import platformdirs

        return Path(platformdirs.user_cache_dir("kustodian", appauthor=False))
    except RuntimeError:  # no HOME, and a user that the system does not know
        raise UsageError("the user has no home folder for the cache", hint=f"name a folder in {CACHE}") from None


def cache_contents() -> list[Path]:
    """What is ours in the cache folder: whoever chose the folder may keep other things in it."""
    return [cache_folder() / name for name in ("bin", "schemas", WORK)]


def find(name: str, *, report: Report | None = None) -> Tool:
    """The pinned program `name`, built if need be. Raises `ToolError` that says what to do."""
    (tool,) = find_all([name], report=report)
    return tool


def find_all(names: Sequence[str], *, report: Report | None = None) -> list[Tool]:
    """The pinned programs, those that are missing built together. Raises `ToolError`."""
    found = [(pin, *locate(pin)) for pin in map(pinned, names)]
    missing = [(pin, unfit) for pin, tool, unfit in found if tool is None]
    if missing and os.environ.get(NO_BUILD):
        pin, unfit = missing[0]
        on_path = "" if pin.replaced else f"put {pin.name} {pin.version} on PATH, or "
        raise ToolError(
            f"{pin.name} {pin.version} is needed and not installed{unfit}",
            hint=f"{on_path}unset {NO_BUILD} so that it is built into the cache",
        )
    if missing:
        from kustodian.toolchain.build import build

        build([pin for pin, _unfit in missing], report or (lambda _text, _count: None))
    return [tool or Tool(pin, cached_path(pin), "cache") for pin, tool, _unfit in found]


def pinned(name: str) -> Pin:
    """Raises `UsageError` for a program that is not pinned."""
    if pin := PINS.get(name) or CLUSTER_PINS.get(name):
        return pin
    raise UsageError(f"{name} is not one of the pinned programs: {', '.join((*PINS, *CLUSTER_PINS))}")


def locate(pin: Pin) -> tuple[Tool | None, str]:
    """The program without building it; if there is none, what on PATH did not fit (or an empty string)."""
    cached = cached_path(pin)
    if os.access(cached, os.X_OK):
        return Tool(pin, cached, "cache"), ""
    on_path = shutil.which(pin.name)
    if on_path is None or pin.replaced:  # nobody else builds it as we do
        return None, ""
    version = version_of(Path(on_path), pin)
    if version == pin.version:
        return Tool(pin, Path(on_path), "PATH"), ""
    return None, f" (the one on PATH, {on_path}, is {version or 'of an unknown version'})"


def cached_path(pin: Pin) -> Path:
    return cache_folder() / "bin" / f"{pin.name}-{pin.version}" / pin.name


def version_of(path: Path, pin: Pin) -> str:
    """The version of the program at `path` with a leading `v`, or an empty string if it won't tell."""
    import re

    try:
        done = process.run([path, *pin.version_arguments], timeout=10)
    except ToolError:
        return ""
    match = re.search(rb"v?(\d+\.\d+\.\d+\S*)", done.stdout)
    if match:
        return "v" + match[1].decode()
    # `go install` leaves some programs calling themselves "development"; Go's own build record knows better.
    record = re.search(rb"mod\t" + re.escape(pin.module.encode()) + rb"\t(v[^\t\n]+)[\t\n]", path.read_bytes())
    return record[1].decode() if record else ""
