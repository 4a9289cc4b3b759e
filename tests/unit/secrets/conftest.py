from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Identity

Encrypt = Callable[..., Path]


@pytest.fixture
def encrypt(tmp_path: Path, identity: Identity, tool: Callable[[str], Path]) -> Encrypt:
    """Puts a file into `tmp_path`, encrypted by the real sops; further arguments go to it (`--encrypted-regex=…`)."""

    def run(name: str, content: str | bytes, *arguments: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        command: list[str | Path] = [
            tool("sops"),
            "encrypt",
            "--in-place",
            "--age",
            identity.recipient,
            *arguments,
            path,
        ]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return path

    return run
