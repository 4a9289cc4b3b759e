"""A newcomer's first command, on a machine with Python and git and nothing else: no Go, no kustomize, no keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT

pytestmark = pytest.mark.slow

# Where packages come from, and whom to trust for it, is the machine's business and not set up by a newcomer.
MACHINE = ("PIP_", "SSL_CERT_", "REQUESTS_CA_", "UV_INDEX", "UV_DEFAULT_INDEX", "GOPROXY", "GOSUMDB", "HTTP", "http")


def test_the_readmes_first_commands(tmp_path: Path) -> None:
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    environment = {name: value for name, value in os.environ.items() if name.startswith(MACHINE)}
    environment |= {"PATH": f"{tmp_path / 'python/bin'}:/usr/bin:/bin", "HOME": str(home)}

    # The newcomer's own Python.
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], env=environment, check=True)

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, check=False, timeout=1500
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("pip", "install", "--quiet", "uv")
    first = run("uv", "run", "invoke", "build", "--env", "staging")
    assert "building kustomize v5.8.1 (once; it is kept in the user's cache) …" in first
    assert "✓ overlays/staging → build/overlays/staging.yaml" in first
    assert "6 sealed secrets" in first
    assert (clone / "build/overlays/staging.yaml").stat().st_size > 10_000
    again = run("uv", "run", "invoke", "build", "--env", "staging")
    assert "building" not in again
    assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, check=True).stdout == b""
    assert [path.name for path in home.iterdir()] == [".cache"]
    assert not list((home / ".cache/kustodian").glob("work-*"))
