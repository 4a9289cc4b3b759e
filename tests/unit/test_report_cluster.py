from __future__ import annotations

import io
from pathlib import Path

from kustodian.cluster.state import State
from kustodian.report import cluster


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


STATE = State(
    folder=Path("/cache/clusters/x"),
    supervisor=4711,
    kubeconfig=Path("/cache/clusters/x/kubeconfig"),
    server="https://127.0.0.1:1234",
    ca=Path("/cache/clusters/x/ca.crt"),
    repository_url="file:///cache/clusters/x/repository.git",
    branch="main",
    token="very-secret-token",
)


def test_a_cluster_that_is_up_says_where_it_is_and_shows_no_token() -> None:
    stream = io.StringIO()
    cluster.up(STATE, stream)
    text = stream.getvalue()
    for said in ("4711", STATE.server, str(STATE.kubeconfig), STATE.repository_url, "/cache/clusters/x/logs"):
        assert said in text
    for next_step in ("invoke status", "invoke push --env NAME --wait", "invoke cluster down"):
        assert next_step in text
    assert "very-secret-token" not in text


def test_each_step_is_a_line_in_a_log() -> None:
    stream = io.StringIO()
    with cluster.coming_up(stream) as display:
        display.step("etcd")
        display.note("overlays/prod is left out: no key")
        display.step("Argo CD")
    assert stream.getvalue().splitlines() == [
        "starting etcd … (0 s)",
        "· overlays/prod is left out: no key",
        "starting Argo CD … (0 s)",
    ]


def test_on_a_terminal_the_steps_share_a_line_that_is_gone_at_the_end() -> None:
    stream = Terminal()
    with cluster.coming_up(stream) as display:
        display.step("etcd")
        display.step("Argo CD")
    clear = "\r\x1b[K"
    assert stream.getvalue() == f"{clear}starting etcd … (0 s){clear}starting Argo CD … (0 s){clear}"


def test_the_line_is_gone_after_an_error_too() -> None:
    stream = Terminal()
    try:
        with cluster.coming_up(stream) as display:
            display.step("etcd")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert stream.getvalue().endswith("\r\x1b[K")
