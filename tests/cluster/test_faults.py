"""What fails on the way: each ends in the right state or in a clear error, never in a false "healthy"."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kustodian.cluster import state

from ..unit.kit import is_running
from .conftest import BOX, Cluster, within
from .steps import another_level


@pytest.fixture(autouse=True)
def restored(synced: Cluster) -> Iterator[None]:
    yield
    assert synced.git("status", "--porcelain") == ""
    synced.await_healthy(BOX, synced.tip())


def pushed(cluster: Cluster, message: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """A push that waits, as soon as its commit has arrived."""
    another_level(cluster)
    before = cluster.tip()
    started = cluster.start("push", "--env", BOX, "--message", message, "--wait", *arguments, root=None, **variables)
    assert within(60, lambda: cluster.tip() != before or started.poll() is not None)
    return started


@pytest.mark.parametrize(
    "program",
    ["argocd-server", "argocd-repo-server", "argocd-application-controller", "kube-apiserver"],
)
def test_a_server_that_dies_while_we_wait_is_waited_for(synced: Cluster, program: str) -> None:
    started = pushed(synced, f"While {program} dies")
    pid = synced.kill(program)
    ran = synced.finish(started)
    assert ran.code == 0, ran.output
    assert synced.is_healthy_at(BOX, synced.git("rev-parse", "HEAD"))
    assert synced.pid_of(program) != pid


class Wire:
    """A way to a server that can be cut: what is open is closed, and nothing new gets through until it is mended."""

    def __init__(self, port: int) -> None:
        self._target, self._open = port, True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._open:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self._open = False
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def mend(self) -> None:
        self._open = True

    def close(self) -> None:
        self.cut()
        self._listener.close()


def test_a_cut_network_is_waited_for_and_told(synced: Cluster) -> None:
    wire = Wire(int(synced.state.server.rpartition(":")[2]))
    try:
        started = pushed(
            synced,
            "Over a wire that is cut",
            ARGOCD_SERVER=f"127.0.0.1:{wire.port}",
        )
        wire.cut()
        time.sleep(10)  # longer than a request is repeated without a word
        assert started.poll() is None, synced.finish(started).output
        wire.mend()
        ran = synced.finish(started)
    finally:
        wire.close()
    assert ran.code == 0, ran.output
    assert "asking again until the time limit" in ran.err
    assert "Argo CD answers again" in ran.err


def test_a_network_that_stays_cut_ends_at_the_time_limit(synced: Cluster) -> None:
    wire = Wire(int(synced.state.server.rpartition(":")[2]))
    try:
        started = pushed(
            synced,
            "Over a wire that stays cut",
            "--time-limit",
            "12",
            ARGOCD_SERVER=f"127.0.0.1:{wire.port}",
        )
        wire.cut()
        ran = synced.finish(started)
    finally:
        wire.close()
    assert ran.code in (1, 2), ran.output
    assert "healthy" not in ran.out.lower() or "not" in ran.out.lower()


def test_an_expired_token_is_said_and_not_shown(synced: Cluster) -> None:
    headers = {"Authorization": f"Bearer {synced.state.token}", "Content-Type": "application/json"}
    made = httpx.post(
        f"{synced.state.server}/api/v1/account/kustodian/token",
        json={"expiresIn": 1},
        headers=headers,
        verify=ssl.create_default_context(cafile=str(synced.state.ca)),
        trust_env=False,
    )
    token = made.raise_for_status().json()["token"]
    time.sleep(2)
    ran = synced.run(
        "status",
        ARGOCD_AUTH_TOKEN=token,
    )
    assert ran.code == 2, ran.output
    assert "expired" in ran.err
    assert token not in ran.output


def test_a_token_that_nobody_gave_is_refused(synced: Cluster) -> None:
    ran = synced.run(
        "status",
        ARGOCD_AUTH_TOKEN="made-up-by-somebody",
    )
    assert ran.code == 2, ran.output
    assert "does not accept the token" in ran.err
    assert "made-up-by-somebody" not in ran.output


def test_a_server_whose_certificate_nobody_vouches_for_is_not_spoken_to(synced: Cluster) -> None:
    ran = synced.run("status", ARGOCD_CA="")
    assert ran.code == 2, ran.output
    assert "certificate" in ran.err


def test_a_branch_that_moved_under_us_is_not_overwritten(synced: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    synced.git("clone", "--quiet", synced.state.repository_url, str(other))
    (other / "NOTES.md").write_text("Somebody else's.\n", "utf-8")
    synced.git("add", "NOTES.md", root=other)
    synced.git("commit", "--quiet", "--message", "Somebody else's work", root=other)
    synced.git("push", "--quiet", "origin", "main", root=other)
    theirs = synced.tip()
    another_level(synced)
    ran = synced.push(BOX, "Ours, which comes second")
    assert ran.code == 2, ran.output
    assert "git pull --rebase" in ran.output
    assert synced.tip() == theirs
    assert "LEVEL" in synced.git("diff", "HEAD")  # our work is where it was
    synced.git("stash", "--quiet")
    synced.git("pull", "--quiet", "--rebase", synced.state.repository_url, "main")
    synced.git("stash", "pop", "--quiet")
    ran = synced.push(BOX, "Ours, on top of theirs")
    assert ran.code == 0, ran.output
    assert "Somebody else's work" in synced.git("log", "--format=%s", synced.tip())


def test_of_two_people_pushing_at_once_one_wins_and_nothing_is_lost(synced: Cluster, tmp_path: Path) -> None:
    """The second one's commit arrives between the first one's look at the branch and the push: git decides."""
    other = tmp_path / "other"
    synced.git("clone", "--quiet", synced.state.repository_url, str(other))
    (other / "NOTES.md").write_text("At the same time.\n", "utf-8")
    synced.git("add", "NOTES.md", root=other)
    synced.git("commit", "--quiet", "--message", "At the same time", root=other)
    hook = synced.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nenv -i PATH="$PATH" HOME="$HOME" git -C "{other}" push --quiet origin main\n', "utf-8")
    hook.chmod(0o755)
    another_level(synced)
    try:
        ran = synced.push(BOX, "At the very same time")
    finally:
        hook.unlink()
    assert ran.code == 2, ran.output
    synced.git("fetch", "--quiet", "origin")
    assert synced.git("log", "-1", "--format=%s", synced.tip()) == "At the same time"
    assert synced.git("log", "-1", "--format=%s") == "At the very same time"  # kept, to be rebased
    synced.git("pull", "--quiet", "--rebase", synced.state.repository_url, "main")
    ran = synced.run("push", "--env", BOX, "--wait")
    assert ran.code == 0, ran.output


def test_ctrl_c_while_waiting_ends_us_and_not_the_sync(synced: Cluster) -> None:
    import signal

    started = pushed(synced, "Somebody goes for lunch")
    time.sleep(1)
    started.send_signal(signal.SIGINT)
    ran = synced.finish(started)
    assert ran.code == 2, ran.output
    assert "goes on" in ran.err
    synced.await_healthy(BOX, synced.git("rev-parse", "HEAD"))


def test_a_killed_cluster_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    """One of its own, which is killed while it runs: every server ends and the folder goes."""
    root = tmp_path / "small"
    (root / "overlays" / "a").mkdir(parents=True)
    (root / "overlays/a/kustomization.yaml").write_text("namespace: a\nresources: [map.yaml]\n", "utf-8")
    (root / "overlays/a/map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "utf-8")
    for arguments in (("init", "--quiet", "--initial-branch=trunk"), ("add", "--all"), ("commit", "-qm", "One")):
        cluster.git(*arguments, root=root)
    up = cluster.run("cluster", "up", root=root)
    assert up.code == 0, up.output
    found = state.read(root)
    assert found is not None
    again = cluster.run("cluster", "up", root=root)
    assert (again.code, "is up already" in again.err) == (2, True), again.output
    seen = cluster.run("cluster", "status", root=root)
    assert (seen.code, found.server in seen.out) == (0, True), seen.output
    assert found.token not in seen.output
    group = [pid for pid in _group(found.supervisor) if pid != found.supervisor]
    assert len(group) >= 10
    import os
    import signal

    os.kill(found.supervisor, signal.SIGKILL)
    assert within(10, lambda: not found.folder.exists())
    assert within(10, lambda: not any(is_running(pid) for pid in group))
    gone = cluster.run("cluster", "status", root=root)
    assert (gone.code, "not up" in gone.out) == (1, True), gone.output


def _group(leader: int) -> list[int]:
    import os

    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if re.match(r"\d+", folder.name) and os.getpgid(int(folder.name)) == leader:
                    found.append(int(folder.name))
    return found
