"""Says on what the figures were measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from kustodian import __version__, toolchain

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
"""Where the interpreter's environment has its console scripts."""


def program(name: str) -> str:
    """The path of a pinned program, built first if need be."""
    return str(toolchain.find(name).path)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> str:
    """Date, size, load and versions, in two lines."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = [f"Python {platform.python_version()}", f"kustodian {__version__}"]
    versions += [f"{name} {toolchain.pinned(name).version}" for name in ("kustomize", "kubeconform", "sops")]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("invoke", "pyyaml", "kubernetes-validate")]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {cores()} cores, {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release()}; load at the start {load}\n{', '.join(versions)}"
    )
