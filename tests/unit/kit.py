"""What several unit tests share: running a script in a process of its own, and waiting for something to come true."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Files = Mapping[str, str | bytes]


def write(root: Path, files: Files) -> Path:
    """Files by their path below `root`, line ends as they are; returns `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def python(script: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script by itself: for what changes the whole process (flags, limits, imported modules)."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def within(seconds: float, condition: Callable[[], Any]) -> bool:
    """Whether `condition` comes true before the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Whether a process is there and is not a zombie that its new parent has yet to collect."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def program(path: Path, body: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{textwrap.dedent(body)}", "utf-8")
    path.chmod(0o755)
    return path
