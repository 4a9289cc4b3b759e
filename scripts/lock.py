"""Writes the lock: `requirements.lock`, and the same versions as constraints in `pyproject.toml`.

uv's own lock file names the hosts of a package registry, which this repository keeps out, so it is not committed
(docs/decisions/0005). The constraints make `uv run` resolve to the locked versions; the hashes in `requirements.lock`
are what `.ci/run` installs by.

    uv run python scripts/lock.py            write what is resolved now, within the constraints
    uv run python scripts/lock.py --upgrade  take the newest versions
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
_BLOCK = re.compile(r"^constraint-dependencies = \[.*?^\]$", re.MULTILINE | re.DOTALL)


def versions(lock: str) -> list[str]:
    """`name==version` of every package in a requirements file."""
    return sorted(set(re.findall(r"^([a-z0-9-]+==[^\s;\\]+)", lock, re.MULTILINE)))


def constraints(project: str) -> list[str]:
    """The same from `pyproject.toml`."""
    block = _BLOCK.search(project)
    return re.findall(r'"([^"]+)"', block[0]) if block else []


def main() -> None:
    project = PROJECT.read_text("utf-8")
    if "--upgrade" in sys.argv:
        PROJECT.write_text(_BLOCK.sub("constraint-dependencies = [\n]", project), "utf-8")
    subprocess.run(["uv", "lock", *(["--upgrade"] if "--upgrade" in sys.argv else [])], cwd=ROOT, check=True)
    command = ["uv", "export", "--quiet", "--no-emit-project", "--all-groups", "--all-extras", "--no-header"]
    exported = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    LOCK.write_text(exported, "utf-8")
    block = "".join(f'  "{version}",\n' for version in versions(exported))
    PROJECT.write_text(_BLOCK.sub(f"constraint-dependencies = [\n{block}]", project), "utf-8")


if __name__ == "__main__":
    main()
