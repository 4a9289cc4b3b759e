"""How servers are watched over. Those here are shell scripts: what a real one does at its end can't be had at will."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kustodian.cluster import supervisor
from kustodian.cluster.plan import Plan, Program
from kustodian.cluster.supervisor import Supervisor
from kustodian.errors import ToolError

from ..kit import is_running, within


@pytest.fixture
def watch(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor, "_RESTART_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "_FAILURES", 2)
    made = Supervisor(plan)
    yield made
    for server in made.servers.values():
        server.process.kill()
        server.process.wait()


@pytest.fixture
def healthy() -> Iterator[str]:
    """The address of something that answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def shell(script: str, health: str = "") -> Program:
    return Program("etcd", ("sh", "-c", script), {"PATH": os.environ["PATH"], "MARK": "moin"}, health)


def test_a_server_gets_its_variables_and_a_home_in_the_clusters_folder(watch: Supervisor, plan: Plan) -> None:
    watch.start([shell('echo "$MARK $HOME $TMPDIR $PWD"; echo failing >&2; sleep 60')])
    log = plan.folder / "logs" / "etcd.log"
    want = f"moin {plan.home} {plan.temporary} {plan.folder}\nfailing\n"
    assert within(5, lambda: log.read_text("utf-8") == want), log.read_text("utf-8")


def test_what_has_ended_is_started_again(watch: Supervisor) -> None:
    watch.start([shell("exec sleep 60")])
    first = watch.servers["etcd"].process.pid
    watch.tend()
    assert watch.servers["etcd"].process.pid == first
    os.kill(first, signal.SIGKILL)

    def is_started_again() -> bool:
        watch.tend()
        return watch.servers["etcd"].process.pid != first

    assert within(5, is_started_again)
    assert is_running(watch.servers["etcd"].process.pid)
    assert watch.servers["etcd"].failures == 1


def test_a_server_that_answers_is_waited_for(watch: Supervisor, healthy: str) -> None:
    watch.start([shell("exec sleep 60", f"{healthy}/healthz")])
    watch.await_health(["etcd"])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('echo starting; echo "Error: unknown flag: --x"; echo usage; exit 1', "Error: unknown flag: --x"),
        ("echo first; echo last; exit 1", "last"),
        ("exit 1", "it says nothing"),
    ],
)
def test_a_server_that_ends_again_and_again_is_told_with_its_words(
    script: str, words: str, watch: Supervisor, healthy: str
) -> None:
    watch.start([shell(script, f"{healthy}/readyz")])
    with pytest.raises(ToolError) as raised:
        watch.await_health(["etcd"])
    assert raised.value.message == f"etcd does not come up: {words}"


def test_a_server_that_does_not_answer_in_time_is_told(watch: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SECONDS", 0.2)
    watch.start([shell("echo 'waiting for nobody'; exec sleep 60", "http://127.0.0.1:1/healthz")])
    with pytest.raises(ToolError) as raised:
        watch.await_health(["etcd"])
    assert raised.value.message == "etcd does not come up: waiting for nobody"


def test_a_program_that_is_not_there_is_named(watch: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as raised:
        watch.start([Program("etcd", (str(tmp_path / "gone"),))])
    assert raised.value.message == f"can't start {tmp_path / 'gone'}: No such file or directory"
