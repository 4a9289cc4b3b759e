"""A cluster with Argo CD that follows a copy of this repository, whose secrets are encrypted for throw-away keys.

Everything is asked of the real servers; commands are the program's own, run as a person runs them. What the program
prints, what the servers log and what git holds is searched for plain values at the end (`test_secrecy.py`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustodian import toolchain
from kustodian.cluster import state
from kustodian.cluster.api import Api, Refused, client_context

from ..conftest import ROOT, Ran
from ..unit.kit import within

ENVIRONMENTS = ("development", "staging", "production")
NAMESPACE = {environment: f"flowlet-{environment}" for environment in ENVIRONMENTS}
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
_LEFT_OUT = ("tests/", "benchmarks/", "docs/", "scripts/", ".github/", "uv.lock")
SYNC_SECONDS = 120.0


ORDER = ("test_first_sync", "test_enforcement", "test_changes", "test_faults", "test_secrecy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One cluster serves all: first what it is, then what changes it, then what breaks it, then what was left."""
    ours = [item for item in items if "tests/cluster/" in item.nodeid]
    for item in ours:
        item.add_marker(pytest.mark.cluster)
    ours.sort(key=lambda item: next(place for place, name in enumerate(ORDER) if name in item.nodeid))
    places = iter(ours)
    items[:] = [next(places) if "tests/cluster/" in item.nodeid else item for item in items]


@dataclass
class Cluster:
    """The copy, the cluster that follows it, and every word that was printed on the way."""

    root: Path
    plain: dict[str, dict[str, dict[str, str]]]
    """Environment → Secret → key → value."""
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    @property
    def state(self) -> state.State:
        found = state.read(self.root)
        assert found is not None, "the cluster is not up"
        return found

    def run(self, *arguments: str, root: Path | None = None, **variables: str) -> Ran:
        """The program `kustodian` on the copy, to its end."""
        started = self.start(*arguments, root=root, **variables)
        out, err = started.communicate(timeout=600)
        ran = Ran(started.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
        self.said.append(ran.output)
        return ran

    def start(self, *arguments: str, root: Path | None = None, **variables: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "kustodian", "--repo", str(root or self.root), *arguments],
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self, started: subprocess.Popen[bytes]) -> Ran:
        out, err = started.communicate(timeout=600)
        ran = Ran(started.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
        self.said.append(ran.output)
        return ran

    def git(self, *arguments: str, root: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=root or self.root, env=self.environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def api(self, user: str = "", groups: tuple[str, ...] = ()) -> Api:
        """The API server, as an administrator or as whom an administrator plays."""
        found = self.state
        config = json.loads(found.kubeconfig.read_text("utf-8"))
        made = Api(
            config["clusters"][0]["cluster"]["server"],
            client_context(
                found.ca, *(Path(config["users"][0]["user"][key]) for key in ("client-certificate", "client-key"))
            ),
        )
        if user:
            made._http.headers["Impersonate-User"] = user
            made._http.headers = type(made._http.headers)(
                [*made._http.headers.multi_items(), *(("Impersonate-Group", group) for group in groups)]
            )
        return made

    def application(self, environment: str) -> dict[str, Any]:
        with self.api() as api:
            return api.get(f"{APPLICATIONS}/{NAMESPACE.get(environment, environment)}")

    def is_healthy_at(self, environment: str, commit: str) -> bool:
        status = self.application(environment).get("status", {})
        return bool(
            status.get("sync", {}).get("status") == "Synced"
            and status["sync"].get("revision") == commit
            and status.get("health", {}).get("status") == "Healthy"
            and status.get("operationState", {}).get("phase") == "Succeeded"
        )

    def await_healthy(self, environment: str, commit: str, seconds: float = SYNC_SECONDS) -> None:
        if not within(seconds, lambda: self.is_healthy_at(environment, commit)):
            status = self.application(environment).get("status", {})
            shown = {key: status.get(key) for key in ("sync", "health", "conditions")}
            pytest.fail(f"{environment} at {commit[:10]}: {shown} {status.get('operationState', {}).get('message')}")

    def objects(self, environment: str, api_version: str, kind: str) -> list[dict[str, Any]]:
        with self.api() as api:
            return list(api.get(api.collection(api_version, kind, NAMESPACE[environment]))["items"])

    def tip(self) -> str:
        return self.git("ls-remote", self.state.repository_url, "refs/heads/main").split()[0]

    def pid_of(self, program: str) -> int:
        """The process of one of the cluster's servers."""
        group = os.getpgid(self.state.supervisor)
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    if os.getpgid(int(folder.name)) != group:
                        continue
                    environment = (folder / "environ").read_bytes()
                    command = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
                except OSError:
                    continue
                if f"ARGOCD_BINARY_NAME={program}\0".encode() in environment + b"\0" or Path(command).name == program:
                    return int(folder.name)
        raise AssertionError(f"{program} does not run")

    def kill(self, program: str) -> int:
        pid = self.pid_of(program)
        os.kill(pid, signal.SIGKILL)
        return pid

    def write(self, name: str, change: Callable[[str], str], *, root: Path | None = None) -> None:
        path = (root or self.root) / name
        before = path.read_text("utf-8")
        after = change(before)
        assert after != before, name
        path.write_text(after, "utf-8")

    def push(self, environment: str, message: str, *arguments: str, **variables: str) -> Ran:
        arguments = ("push", "--env", environment, "--message", message, "--wait", *arguments)
        return self.run(*arguments, root=None, **variables)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Up once for all tests, with all three environments synced."""
    folder = tmp_path_factory.mktemp("cluster")
    root = folder / "copy"
    made = _copy(root, folder / "keys.txt")
    up = made.run("cluster", "up")
    assert up.code == 0, up.output
    try:
        yield made
    finally:
        down = made.run("cluster", "down")
        assert down.code == 0, down.output


@pytest.fixture(scope="session")
def synced(cluster: Cluster) -> Cluster:
    """All environments healthy at the first commit."""
    for environment in ENVIRONMENTS:
        cluster.await_healthy(environment, cluster.tip(), 240)
    return cluster


def _copy(root: Path, keys: Path) -> Cluster:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if not name.startswith(_LEFT_OUT) and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    environment = {**os.environ, "SOPS_AGE_KEY_FILE": str(keys)}
    plain = _encrypt_anew(root, keys)
    made = Cluster(root, plain, environment)
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "The first commit")
    return made


def _encrypt_anew(root: Path, keys: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Other recipients in the rules, other values in the files, both known to the tests only."""
    keygen, sops = toolchain.find("age-keygen").path, toolchain.find("sops").path
    recipients = []
    for _environment in ENVIRONMENTS:
        key = subprocess.run([keygen], check=True, capture_output=True, text=True)
        with keys.open("a") as file:
            file.write(key.stdout)
        recipients.append(re.search(r"age1\w+", key.stdout)[0])  # type: ignore[index]
    rules = root / ".sops.yaml"
    remaining = iter(recipients)
    rules.write_text(re.sub(r"(?<=age: )age1\w+", lambda _match: next(remaining), rules.read_text("utf-8")), "utf-8")
    plain: dict[str, dict[str, dict[str, str]]] = {}
    for environment in ENVIRONMENTS:
        for path in sorted((root / "overlays" / environment / "secrets").glob("*.sops.yaml")):
            document = yaml.safe_load(path.read_text("utf-8"))
            del document["sops"]
            values = {key: secrets.token_urlsafe(24) for key in document.get("stringData", {})}
            document["stringData"] = values
            assert "data" not in document, path
            plain.setdefault(environment, {})[document["metadata"]["name"]] = values
            path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
            subprocess.run([sops, "encrypt", "--in-place", path], cwd=root, check=True, capture_output=True)
    return plain


def decoded(secret: dict[str, Any]) -> dict[str, str]:
    """A Secret's values as text."""
    return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}


__all__ = ["Api", "Cluster", "Refused", "decoded", "time"]
