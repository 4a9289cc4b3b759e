"""A cluster with Argo CD that follows a copy of this repository, whose secrets are encrypted for throw-away keys.

`home` is the copy whose trial cluster it is; `root` is where a person works: a clone of the repository that Argo CD
follows, with the server's address and token in the environment, as if the cluster were anywhere. Everything is asked of
the real servers; commands are the program's own, run as a person runs them. What the program prints, what the servers
log and what git holds is searched for plain values at the end (`test_secrecy.py`).
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
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kustodian import toolchain
from kustodian.cluster import state
from kustodian.cluster.api import Api, Refused, client_context

from ..conftest import ROOT, Ran

ENVIRONMENTS = ("development", "staging", "production")
BOX = "sandbox"
NAMESPACE = {BOX: BOX, **{environment: f"flowlet-{environment}" for environment in ENVIRONMENTS}}
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
_LEFT_OUT = ("tests/", "benchmarks/", "docs/", "scripts/", ".github/", "uv.lock")
SYNC_SECONDS = 120.0
SANDBOX = {
    "overlays/sandbox/kustomization.yaml": """\
namespace: sandbox
resources: [namespace.yaml, deployment.yaml, volume.yaml]
configMapGenerator:
  - name: settings
    envs: [settings.env]
""",
    "overlays/sandbox/settings.env": "LEVEL=debug\n",
    "overlays/sandbox/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: sandbox\n",
    "overlays/sandbox/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: worker
spec:
  replicas: 1
  selector:
    matchLabels: {app: worker}
  template:
    metadata:
      labels: {app: worker}
    spec:
      containers:
        - name: worker
          image: worker:1
          envFrom: [{configMapRef: {name: settings}}]
""",
    "overlays/sandbox/volume.yaml": """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: any
  resources:
    requests:
      storage: 2Gi
""",
    "argocd/applications/sandbox.yaml": """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: sandbox
  annotations:
    argocd.argoproj.io/manifest-generate-paths: /overlays/sandbox
spec:
  project: default
  source:
    path: overlays/sandbox
  destination:
    namespace: sandbox
""",
    "base/config/schema/sandbox.schema.json": "{}\n",
}
"""One more environment, of a few resources: what goes wrong there goes wrong within seconds."""


ORDER = ("test_first_sync", "test_enforcement", "test_changes", "test_faults", "test_secrecy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One cluster serves all: first what it is, then what changes it, then what breaks it, then what was left."""
    ours = [item for item in items if "tests/cluster/" in item.nodeid]
    for item in ours:
        item.add_marker(pytest.mark.cluster)
    ours.sort(key=lambda item: next(place for place, name in enumerate(ORDER) if name in item.nodeid))
    places = iter(ours)
    items[:] = [next(places) if "tests/cluster/" in item.nodeid else item for item in items]


def within(seconds: float, condition: Callable[[], Any], *, pause: float = 0.3) -> bool:
    """Whether `condition` comes true before the time is over; a server that is just starting again is no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return True
        except (httpx.TransportError, Refused):
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)


@dataclass
class Cluster:
    """The cluster, the clone that is worked in, and every word that was printed on the way."""

    home: Path
    root: Path
    plain: dict[str, dict[str, dict[str, str]]]
    """Environment → Secret → key → value."""
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    @property
    def state(self) -> state.State:
        found = state.read(self.home)
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

    @cached_property
    def admin(self) -> Api:
        return self.api()

    def application(self, environment: str) -> dict[str, Any]:
        return self.admin.get(f"{APPLICATIONS}/{NAMESPACE.get(environment, environment)}")

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
        """All of a kind but what is being deleted."""
        found = self.admin.get(self.admin.collection(api_version, kind, NAMESPACE[environment]))["items"]
        return [item for item in found if "deletionTimestamp" not in item["metadata"]]

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
    made = _copy(folder)
    up = made.run("cluster", "up", root=made.home)
    assert up.code == 0, up.output
    try:
        made.git("clone", "--quiet", made.state.repository_url, str(made.root), root=folder)
        made.environment |= {
            "ARGOCD_SERVER": made.state.server,
            "ARGOCD_AUTH_TOKEN": made.state.token,
            "ARGOCD_CA": str(made.state.ca),
        }
        yield made
    finally:
        if "admin" in made.__dict__:
            made.admin.close()
        down = made.run("cluster", "down", root=made.home)
        assert down.code == 0, down.output


@pytest.fixture(scope="session")
def synced(cluster: Cluster) -> Cluster:
    """All environments healthy at the first commit."""
    for environment in (*ENVIRONMENTS, BOX):
        cluster.await_healthy(environment, cluster.tip(), 240)
    return cluster


def _copy(folder: Path) -> Cluster:
    root, keys = folder / "copy", folder / "keys.txt"
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
    made = Cluster(root, folder / "desk", plain, environment)
    url = (state.folder_of(root) / "repository.git").resolve().as_uri()
    made.write("argocd/projects/every.yaml", lambda text: re.sub(r"https://git\.\S+", url, text), root=root)
    for name, text in SANDBOX.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    applications = "  - applications/development.yaml\n"
    made.write(
        "argocd/kustomization.yaml",
        lambda text: text.replace(applications, f"{applications}  - applications/sandbox.yaml\n"),
        root=root,
    )
    made.git("init", "--quiet", "--initial-branch=main", root=root)
    made.git("add", "--all", root=root)
    made.git("commit", "--quiet", "--message", "The first commit", root=root)
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
