"""Renders an environment, and decrypts a file of development. The one place of these tests that knows how."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

# What `kustomize build` asks for by the name "ksops": the encrypted documents as they are, without `sops:`.
GENERATOR = """#!/usr/bin/env python3
import sys, yaml
given = yaml.safe_load(sys.stdin)
documents = [yaml.safe_load(open(name)) for name in given["functionConfig"]["files"]]
for document in documents:
    document.pop("sops")
yaml.safe_dump(dict(apiVersion="config.kubernetes.io/v1", kind="ResourceList", items=documents), sys.stdout)
"""


@functools.cache
def render(environment: str) -> list[dict[str, Any]]:
    """The sealed resources of `environment`, in kustomize's order."""
    with tempfile.TemporaryDirectory() as folder:
        generator = Path(folder, "ksops")
        generator.write_text(GENERATOR, encoding="utf-8")
        generator.chmod(0o755)
        built = subprocess.run(
            ["kustomize", "build", "--enable-alpha-plugins", "--enable-exec", f"overlays/{environment}"],
            cwd=ROOT,
            env={**os.environ, "PATH": os.pathsep.join([folder, os.environ["PATH"], "/tmp/x/bin"])},
            capture_output=True,
            check=False,
            timeout=60,
            text=True,
        )
    assert built.returncode == 0, built.stderr
    return list(yaml.load_all(built.stdout, Loader=yaml.CSafeLoader))


def decrypt(path: Path) -> dict[str, Any]:
    """A file of development, whose key is public."""
    tools = os.pathsep.join([os.environ["PATH"], "/tmp/x/bin"])
    demo = ROOT / "overlays" / "development" / "secrets" / "demo.agekey"
    run = subprocess.run(
        ["sops", "decrypt", str(path)],
        cwd=ROOT,
        env={**os.environ, "PATH": tools, "SOPS_AGE_KEY_FILE": str(demo)},
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return dict(yaml.safe_load(run.stdout)["stringData"])
