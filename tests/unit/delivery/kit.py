"""What tests of deliveries share: a server that is one function, its documents, a clock, and a git remote."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from kustodian.argocd.client import Client
from kustodian.argocd.connection import Connection
from kustodian.delivery.commits import Commits
from kustodian.delivery.destination import Destination
from kustodian.git import Git
from kustodian.repository import Overlay

Document = dict[str, Any]
Answer = httpx.Response | Document | BaseException
Handler = Callable[[httpx.Request], Answer]


@dataclass
class Clock:
    """Time that passes only while somebody sleeps."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@dataclass
class Server:
    """Answers with what `handler` returns: a document, a response, or an exception of the network."""

    handler: Handler
    clock: Clock = field(default_factory=Clock)
    requests: list[httpx.Request] = field(default_factory=list)

    def client(self) -> Client:
        def respond(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            answer = self.handler(request)
            if isinstance(answer, BaseException):
                raise answer
            return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

        connection = Connection("https://argocd.example.com", "a-token", origin="the environment")
        return Client(connection, transport=httpx.MockTransport(respond), sleep=self.clock.sleep)

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


def refused(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": message, "message": message, "code": 0})


def application(
    revision: str,
    *,
    name: str = "app",
    version: int = 1,
    sync: str = "Synced",
    health: str = "Healthy",
    reconciled: str = "2026-01-01T00:00:10Z",
    operation: Document | None = None,
    **status: Any,
) -> Document:
    """A document of the API; `operation` is its `operationState`."""
    policy = {"automated": {"prune": True, "selfHeal": True}}
    source = {"repoURL": "r", "path": "overlays/dev", "targetRevision": "main"}
    return {
        "metadata": {"name": name, "namespace": "argocd", "resourceVersion": str(version)},
        "spec": {"project": "default", "source": source, "syncPolicy": policy},
        "status": {
            "sync": {"status": sync, "revision": revision},
            "health": {"status": health},
            "reconciledAt": reconciled,
            **({"operationState": operation} if operation else {}),
            **status,
        },
    }


def operation(
    revision: str, phase: str = "Succeeded", *, started: str = "2026-01-01T00:00:00Z", **more: Any
) -> Document:
    """An operation's state; one that is over ended five seconds after the year began."""
    end = {} if phase == "Running" else {"finishedAt": "2026-01-01T00:00:05Z"}
    result = {"revision": revision, "resources": more.pop("resources", [])}
    asked = {"initiatedBy": {"automated": True}, "sync": {"revision": revision}}
    return {"phase": phase, "startedAt": started, **end, "operation": asked, "syncResult": result, **more}


def resource(kind: str, name: str, sync: str = "Synced", health: str = "", message: str = "") -> Document:
    judged = {"health": {"status": health, "message": message}} if health else {}
    return {"kind": kind, "namespace": "dev", "name": name, "status": sync, **judged}


def event(document: Document, kind: str = "MODIFIED") -> Document:
    return {"result": {"type": kind, "application": document}}


def stream(events: Iterable[Document] = ()) -> httpx.Response:
    return httpx.Response(200, content="".join(json.dumps(one) + "\n" for one in events).encode())


def is_stream(request: httpx.Request) -> bool:
    return request.url.path.startswith("/api/v1/stream/")


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Remote:
    """A clone, with the bare repository that it came from and another clone for other people's commits."""

    url: Path
    root: Path
    other: Path

    @staticmethod
    def make(folder: Path) -> Remote:
        made = Remote(folder / "origin.git", folder / "here", folder / "there")
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(made.url))
        git(folder, "clone", "--quiet", str(made.url), str(made.root))
        git(made.root, "switch", "--quiet", "--create", "main")
        made.commit("the first", "first")
        git(folder, "clone", "--quiet", str(made.url), str(made.other))
        return made

    def commit(self, subject: str, content: str, *, elsewhere: bool = False, push: bool = True) -> str:
        root = self.other if elsewhere else self.root
        (root / "file").write_text(content)
        git(root, "add", "file")
        git(root, "commit", "--quiet", "--message", subject)
        if push:
            git(root, "push", "--quiet", "origin", "HEAD")
        return git(root, "rev-parse", "HEAD")

    @property
    def destination(self) -> Destination:
        overlay = Overlay("overlays/dev", self.root / "overlays" / "dev")
        return Destination(overlay, "app", "argocd", str(self.url), "main", 0)

    @property
    def commits(self) -> Commits:
        return Commits(Git(self.root), self.destination)
