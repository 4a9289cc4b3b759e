"""What every test gets: the pinned programs, a repository to work in, and an environment that is not the developer's.

The home folder is an empty one, and a test session that leaves anything in it fails loudly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kustodian import console, toolchain
from kustodian.toolchain.pins import CLUSTER_PINS, PINS

ROOT = Path(__file__).parents[1]
DEMO_KEY = ROOT / "overlays" / "development" / "secrets" / "demo.agekey"

# The user's own cache, so that nothing is built twice; found before the home folder is taken away.
os.environ[toolchain.CACHE] = str(toolchain.cache_folder().absolute())
_REAL_HOME = os.environ.get("HOME", "")
_HOME = Path(tempfile.mkdtemp(prefix="kustodian-tests-home-"))
os.environ["HOME"] = str(_HOME)
for _name in list(os.environ):
    if _name.startswith(("SOPS_", "XDG_", "GIT_", "KUSTOMIZE_", "ARGOCD_")) or _name in (
        "KUSTODIAN_NO_BUILD",
        "CI",
        "EDITOR",
    ):
        del os.environ[_name]
os.environ |= {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.com",
    "GIT_COMMITTER_NAME": "Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.com",
    "NO_COLOR": "1",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what is rendered into the golden files")


def pytest_configure(config: pytest.Config) -> None:
    """Build what is missing once, before the workers start: a test needs every program and skips for none."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    wanted = dict.fromkeys((*PINS, *(CLUSTER_PINS if config.option.markexpr == "cluster" else ())))
    missing = [name for name in wanted if toolchain.locate(toolchain.pinned(name))[0] is None]
    if missing:
        os.environ["HOME"] = _REAL_HOME  # Go keeps its settings there
        with console.building() as report:
            toolchain.find_all(missing, report=report)
        os.environ["HOME"] = str(_HOME)


def pytest_unconfigure() -> None:
    left = [path.name for path in _HOME.iterdir()]
    shutil.rmtree(_HOME)
    assert not left, f"tests wrote into the home folder: {left}"


@dataclass(frozen=True)
class Ran:
    """A finished command line."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        return self.out + self.err


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """The path of a pinned program."""
    return lambda name: toolchain.find(name).path


@pytest.fixture(scope="session")
def kustodian() -> Callable[..., Ran]:
    """Runs the program `kustodian` as a user does: its own process, its own exit code."""

    def run(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "kustodian", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **variables},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    return run


@dataclass(frozen=True)
class Identity:
    """A throw-away age key pair."""

    recipient: str
    file: Path


@pytest.fixture(scope="session")
def identity(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Identity:
    file = tmp_path_factory.mktemp("identity") / "keys.txt"
    subprocess.run([tool("age-keygen"), "-o", file], check=True, capture_output=True)
    recipient = subprocess.run([tool("age-keygen"), "-y", file], check=True, capture_output=True, text=True).stdout
    return Identity(recipient.strip(), file)


Files = dict[str, str]
GENERATOR = """\
apiVersion: viaduct.ai/v1
kind: ksops
metadata:
  name: secrets
  annotations:
    config.kubernetes.io/function: |
      exec:
        path: ksops
"""


@dataclass(frozen=True)
class Repo:
    """A git repository in a temporary folder, with a rule that encrypts for the throw-away identity."""

    root: Path
    identity: Identity
    sops: Path

    def write(self, files: Files) -> Repo:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="")
        return self

    def encrypt(self, name: str, text: str | bytes) -> Path:
        """Put an encrypted file in place, by the real sops."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        subprocess.run([self.sops, "encrypt", "--in-place", path], cwd=self.root, check=True, capture_output=True)
        return path

    def secret_overlay(self, name: str, secret: str) -> Path:
        """An overlay whose one generator reads one encrypted manifest."""
        self.write(
            {
                f"overlays/{name}/kustomization.yaml": "generators: [secrets.yaml]\n",
                f"overlays/{name}/secrets.yaml": f"{GENERATOR}files: [secret.sops.yaml]\n",
            }
        )
        return self.encrypt(f"overlays/{name}/secret.sops.yaml", secret)


@pytest.fixture
def repo(tmp_path: Path, identity: Identity, tool: Callable[[str], Path]) -> Repo:
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", root], check=True)
    rule = f"creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    age: {identity.recipient}\n"
    made = Repo(root, identity, tool("sops"))
    return made.write({".sops.yaml": rule, ".gitignore": "/build/\n"})
