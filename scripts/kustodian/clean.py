"""`clean`: removes what can be made again."""

from __future__ import annotations

import shutil
from pathlib import Path

from kustodian import process
from kustodian.errors import OutputError, ToolError


def clean(paths: list[Path]) -> list[Path]:
    """Remove folders; returns those that were there. Raises `OutputError` for one that git tracks files in."""
    present = [path for path in paths if path.is_dir() and not path.is_symlink()]
    for path in present:
        if tracked := _tracked(path):
            raise OutputError(f"{path} is not removed: git tracks {tracked}", hint="it is not ours; remove it by hand")
    for path in present:
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise OutputError(f"can't remove {path}: {error.strerror or error}") from None
    return present


def _tracked(path: Path) -> str:
    try:
        done = process.run(["git", "ls-files", "--", "."], cwd=path, timeout=30)
    except ToolError:
        return ""
    return done.stdout.decode("utf-8", "replace").partition("\n")[0] if done.returncode == 0 else ""
