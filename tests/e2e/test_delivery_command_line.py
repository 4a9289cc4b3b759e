"""The tasks of deliveries as people run them: what they refuse before a server is asked, and how they say it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kustodian.argocd import connection

from ..conftest import Ran, Repo
from ..unit.delivery import kit

Kustodian = Callable[..., Ran]
NEED_A_SERVER = [
    ("status",),
    ("status", "--env", "dev", "--format", "json"),
    ("sync", "--env", "dev"),
    ("sync", "--env", "dev", "--auto"),
    ("history", "--env", "dev"),
    ("drift", "--env", "dev"),
    ("rollback", "--env", "dev"),
    ("rollback", "--env", "dev", "--to", "HEAD", "--wait"),
    ("rollback", "--env", "dev", "--to", "HEAD", "--emergency"),
    ("push", "--env", "dev", "--message", "a change", "--wait"),
]
NEED_AN_ENVIRONMENT = ("sync", "history", "drift", "rollback", "push")
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: app
  namespace: argocd
  annotations: {{argocd.argoproj.io/manifest-generate-paths: /overlays/dev}}
spec:
  project: default
  source: {{repoURL: "{url}", targetRevision: main, path: overlays/dev}}
"""


def git(repo: Repo, *arguments: str) -> str:
    return kit.git(repo.root, *arguments)


@pytest.fixture
def shop(repo: Repo, tmp_path: Path) -> Repo:
    """One environment, declared and pushed."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", tmp_path / "origin.git"], check=True)
    repo.write(
        {
            "kustodian.yaml": "argocd: {applications: argocd}\n",
            "argocd/kustomization.yaml": "resources: [app.yaml]\n",
            "argocd/app.yaml": APPLICATION.format(url=tmp_path / "origin.git"),
            "overlays/dev/kustomization.yaml": "resources: [c.yaml]\n",
            "overlays/dev/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n",
        }
    )
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", "the first")
    git(repo, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(repo, "push", "--quiet", "--set-upstream", "origin", "main")
    return repo


@pytest.mark.parametrize("arguments", NEED_A_SERVER, ids=" ".join)
def test_without_a_server_the_ways_to_name_one_are_told(
    arguments: tuple[str, ...], shop: Repo, kustodian: Kustodian
) -> None:
    shop.write({"overlays/dev/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '2'}\n"})
    head = git(shop, "rev-parse", "HEAD")
    ran = kustodian(*arguments, cwd=shop.root)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: nobody says where Argo CD is\n  → ")
    for way in (connection.SERVER, connection.TOKEN, "argocd.server", "argocd login", "kustodian cluster up"):
        assert way in ran.err
    assert git(shop, "rev-parse", "HEAD") == head  # nothing was committed before that was known


@pytest.mark.parametrize("task", NEED_AN_ENVIRONMENT)
def test_without_an_environment(task: str, shop: Repo, kustodian: Kustodian) -> None:
    ran = kustodian(task, cwd=shop.root)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: no environment was named\n  → give --env NAME; kustodian status lists them\n"


@pytest.mark.parametrize("task", ["push", "status"])
def test_an_unknown_environment(task: str, shop: Repo, kustodian: Kustodian) -> None:
    ran = kustodian(task, "--env", "deb", cwd=shop.root)
    assert (ran.code, ran.err) == (2, "error: no environment is called 'deb'\n  → did you mean dev?\n")


def test_a_name_that_several_overlays_share(shop: Repo, kustodian: Kustodian) -> None:
    shop.write({"kustodian.yaml": "overlays: [overlays, teams/*]\n", "teams/a/dev/kustomization.yaml": ""})
    ran = kustodian("push", "--env", "dev", cwd=shop.root)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: dev is the name of several overlays: overlays/dev, teams/a/dev\n")


@pytest.mark.parametrize("task", ["push", "sync", "rollback"])
def test_a_time_limit_that_is_none(task: str, shop: Repo, kustodian: Kustodian) -> None:
    ran = kustodian(task, "--env", "dev", "--wait", "--time-limit", "soon", cwd=shop.root)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: --time-limit soon: must be a number of seconds above zero")


@pytest.mark.parametrize("task", ["status", "history", "drift"])
def test_a_format_that_is_none(task: str, shop: Repo, kustodian: Kustodian) -> None:
    ran = kustodian(task, "--env", "dev", "--format", "yaml", cwd=shop.root)
    assert (ran.code, ran.err) == (2, "error: --format yaml: unknown\n  → choose one of text, json\n")


@pytest.mark.parametrize("arguments", [("push", "--message", "x"), ("rollback", "--to", "HEAD")], ids=" ".join)
def test_an_overlay_that_nothing_deploys(arguments: tuple[str, ...], shop: Repo, kustodian: Kustodian) -> None:
    shop.write({"kustodian.yaml": ""})
    git(shop, "commit", "--quiet", "--all", "--message", "no Applications")
    ran = kustodian(*arguments, "--env", "dev", cwd=shop.root)
    assert (ran.code, ran.out) == (2, "")
    assert "overlays/dev: which Application deploys it is not known" in ran.err


def test_a_push_and_a_rollback_need_no_server(shop: Repo, kustodian: Kustodian) -> None:
    first = git(shop, "rev-parse", "HEAD")
    shop.write({"overlays/dev/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '2'}\n"})
    ran = kustodian("push", "--env", "dev", "--message", "Set a to 2", cwd=shop.root)
    head = git(shop, "rev-parse", "HEAD")
    assert (ran.code, ran.err) == (0, ""), ran
    assert ran.out == f"committed 1 file: overlays/dev/c.yaml\n✓ dev: pushed {head[:10]} to main\n"
    assert git(shop, "ls-remote", "origin", "main").split() == [head, "refs/heads/main"]
    ran = kustodian("rollback", "--env", "dev", "--to", first, cwd=shop.root)
    assert (ran.code, ran.err) == (0, ""), ran
    assert ran.out.startswith(f"dev: back to {first[:10]} the first (Tester, ")
    assert "data: {a: '1'}" in (shop.root / "overlays/dev/c.yaml").read_text()


def test_an_emergency_changes_no_file(shop: Repo, kustodian: Kustodian) -> None:
    ran = kustodian("rollback", "--env", "dev", "--emergency", "--shared", cwd=shop.root)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: --emergency and --shared contradict each other\n  → an emergency changes no file\n"


def test_an_invalid_environment_is_not_pushed(shop: Repo, kustodian: Kustodian) -> None:
    head = git(shop, "rev-parse", "HEAD")
    shop.write({"overlays/dev/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: []\n"})
    ran = kustodian("push", "--env", "dev", "--message", "broken", cwd=shop.root)
    assert ran.code == 1
    assert "✗ schema  overlays/dev  ConfigMap/c" in ran.out
    assert git(shop, "rev-parse", "HEAD") == head


class Answers(BaseHTTPRequestHandler):
    """A server with the one Application `app`, at whatever commit the test says."""

    document: dict[str, Any]

    def do_GET(self) -> None:
        listing = self.path.split("?")[0].endswith("/applications")
        answer: dict[str, Any] = self.document
        if listing or "resources" in self.path:
            answer = {"items": [self.document] if listing else []}
        body = json.dumps(answer).encode()
        self.send_response(200 if self.headers["Authorization"] == "Bearer a-token" else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server(shop: Repo) -> Iterator[dict[str, str]]:
    """The variables that name the server."""
    head = git(shop, "rev-parse", "HEAD")
    past = [{"id": 0, "revision": head, "deployedAt": "2026-01-01T00:00:00Z", "initiatedBy": {"username": "ada"}}]
    handler = type("Handler", (Answers,), {"document": kit.application(head, history=past)})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield {"ARGOCD_SERVER": f"http://127.0.0.1:{http.server_port}", "ARGOCD_AUTH_TOKEN": "a-token"}
    http.shutdown()
    http.server_close()
    thread.join()


def test_what_runs_is_asked_from_a_server(shop: Repo, kustodian: Kustodian, server: dict[str, str]) -> None:
    head = git(shop, "rev-parse", "HEAD")
    ran = kustodian("status", cwd=shop.root, **server)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split()[:6] == ["dev", "app", head[:10], head[:10], "Synced", "Healthy"]
    assert ran.out.splitlines()[-1] == f"as {server['ARGOCD_SERVER']} (the environment) says"
    ran = kustodian("history", "--env", "dev", cwd=shop.root, **server)
    assert ran.code == 0
    assert ran.out.splitlines()[1].endswith("ada  Tester  the first")
    ran = kustodian("drift", "--env", "dev", cwd=shop.root, **server)
    assert (ran.code, ran.out) == (0, f"✓ dev: 0 resources compared with {head[:10]}: no drift\n")


def test_a_commit_that_runs_is_waited_for_no_longer(shop: Repo, kustodian: Kustodian, server: dict[str, str]) -> None:
    head = git(shop, "rev-parse", "HEAD")
    ran = kustodian("push", "--env", "dev", "--wait", cwd=shop.root, **server)
    assert ran.code == 0, ran
    assert ran.out == (
        f"✓ dev: main is at {head[:10]} already; nothing was pushed\n✓ dev: {head[:10]} is synced and healthy (0 s)\n"
    )


def test_a_commit_that_does_not_arrive_ends_at_the_time_limit(
    shop: Repo, kustodian: Kustodian, server: dict[str, str]
) -> None:
    shop.write({"overlays/dev/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '2'}\n"})
    push = ("push", "--env", "dev", "--message", "Set a to 2", "--wait", "--time-limit", "1")
    ran = kustodian(*push, cwd=shop.root, **server)
    assert ran.code == 1
    assert "is not synced and healthy after 1 s: Argo CD is at " in ran.out
    assert kustodian("status", cwd=shop.root, **server).code == 1


def test_a_token_that_is_refused(shop: Repo, kustodian: Kustodian, server: dict[str, str]) -> None:
    ran = kustodian("status", cwd=shop.root, **{**server, "ARGOCD_AUTH_TOKEN": "another-token"})
    assert (ran.code, ran.out) == (2, "")
    assert "another-token" not in ran.err
    assert "argocd login" in ran.err
