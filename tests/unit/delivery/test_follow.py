"""Following one commit until it is synced and healthy, with a server that says whatever the test makes it say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kustodian.argocd.application import parse
from kustodian.argocd.wait import Phase, State
from kustodian.delivery import follow as stage
from kustodian.delivery.follow import Followed, Outcome, seconds
from kustodian.errors import ExitCode, Interrupted, NotPermitted, ServerError, TokenRefused, UsageError

from .kit import (
    Answer,
    Document,
    Remote,
    Server,
    application,
    event,
    git,
    is_stream,
    operation,
    refused,
    resource,
    stream,
)

AWAY = httpx.ConnectError("connection refused")


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    made = Remote.make(tmp_path_factory.mktemp("remote"))
    made.commit("the second", "2")
    return made


@pytest.fixture(scope="module")
def target(remote: Remote) -> str:
    return git(remote.root, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def before(remote: Remote) -> str:
    return git(remote.root, "rev-parse", "HEAD~1")


class Told:
    """What the displays were told."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.notes: list[str] = []

    @property
    def phases(self) -> list[Phase]:
        found: list[Phase] = []
        for state in self.states:
            found += [] if found[-1:] == [state.phase] else [state.phase]
        return found


class Script:
    """Reads of the Application answered in turn, the last one for ever; streams answered by `streams`, or empty."""

    def __init__(self, *answers: Answer | Callable[[], Answer], streams: list[list[Document]] | None = None) -> None:
        self.answers, self.streams = list(answers), streams or []
        self.read = 0

    def __call__(self, request: httpx.Request) -> Answer:
        if is_stream(request):
            return stream(self.streams.pop(0) if self.streams else ())
        if not request.url.path.endswith("/app"):
            return {"items": []}
        answer = self.answers[min(self.read, len(self.answers) - 1)]
        self.read += 1
        return answer() if callable(answer) else answer


def follow(server: Server, remote: Remote, target: str, told: Told | None = None, **options: Any) -> Followed:
    told = told or Told()
    with server.client() as client:
        return stage.follow(
            client,
            remote.commits,
            target,
            on_state=told.states.append,
            on_note=told.notes.append,
            clock=server.clock,
            sleep=server.clock.sleep,
            **options,
        )


def test_from_the_old_commit_to_a_healthy_new_one(remote: Remote, target: str, before: str) -> None:
    done = operation(target)
    script = Script(
        application(before, version=1),
        application(target, version=2, sync="OutOfSync", operation=operation(target, "Running")),
        application(target, version=5, health="Progressing", operation=done),
        streams=[
            [event(application(target, version=3, sync="OutOfSync", operation=operation(target, "Running")))],
            [event(application(target, version=6, operation=done))],
        ],
    )
    server, told = Server(script), Told()
    found = follow(server, remote, target, told)
    assert (found.outcome, found.exit_code) == (Outcome.HEALTHY, ExitCode.CLEAN)
    assert told.phases == [Phase.COMPARING, Phase.SYNCING, Phase.PROGRESSING, Phase.SUCCEEDED]
    assert told.notes == []
    assert found.seconds == pytest.approx(4)
    assert server.requests[0].url.params["refresh"] == "normal"
    assert [path for path in server.paths if "stream" in path] == ["GET /api/v1/stream/applications"] * 2


def test_a_commit_that_is_never_seen_ends_at_the_time_limit(remote: Remote, target: str, before: str) -> None:
    server = Server(Script(application(before)))
    found = follow(server, remote, target, limit=60)
    assert (found.outcome, found.exit_code) == (Outcome.TIMED_OUT, ExitCode.FINDINGS)
    assert found.state.reason == f"Argo CD is at {before[:7]}"
    assert found.seconds == pytest.approx(60)
    assert len(server.requests) <= 31  # not more often than every two seconds


def test_a_silent_stream_is_no_end(remote: Remote, target: str) -> None:
    silent = httpx.ReadTimeout("nothing came")
    done = operation(target)
    answers: list[Answer] = [
        application(target, health="Progressing", operation=done),
        silent,
        application(target, version=2, operation=done),
    ]
    found = follow(Server(lambda _request: answers.pop(0)), remote, target)
    assert found.outcome is Outcome.HEALTHY


def test_a_server_that_restarts_is_asked_again_and_that_is_said_once(remote: Remote, target: str) -> None:
    down: list[Answer] = [*[AWAY] * 20, httpx.Response(503), httpx.Response(404, text="default backend"), AWAY]
    script = Script(application(target, health="Progressing"), *down, application(target, version=2))
    told = Told()
    found = follow(Server(script), remote, target, told)
    assert found.outcome is Outcome.HEALTHY
    assert len(told.notes) == 2
    assert told.notes[0].endswith("; asking again until the time limit")
    assert told.notes[1] == "Argo CD answers again"


def test_a_server_that_stays_away_ends_at_the_time_limit(remote: Remote, target: str) -> None:
    told = Told()
    found = follow(Server(Script(AWAY)), remote, target, told, limit=100)
    assert (found.outcome, found.state.application) == (Outcome.TIMED_OUT, None)
    assert found.seconds == pytest.approx(100, abs=10)
    assert len(told.notes) == 1


def test_a_stream_that_is_refused_is_no_end(remote: Remote, target: str) -> None:
    done = operation(target)
    answers: list[Answer] = [
        application(target, health="Progressing", operation=done),
        refused(500, "watch closed"),
        *[refused(500, "watch closed")] * 3,
        application(target, version=2, operation=done),
    ]
    found = follow(Server(lambda _request: answers.pop(0)), remote, target)
    assert found.outcome is Outcome.HEALTHY


def test_what_nobody_asked_for_and_what_is_asked_for_may_differ(remote: Remote, target: str) -> None:
    """By itself Argo CD may repeat old results and call a commit synced that the API server refuses."""

    def server(request: httpx.Request) -> Answer:
        if is_stream(request):
            return stream([event(application(target, version=2))])
        asked = "refresh" in request.url.params
        return application(target, version=3, sync="Unknown") if asked else application(target, sync="OutOfSync")

    first = parse(application(target, sync="OutOfSync"))
    told = Told()
    found = follow(Server(server), remote, target, told, first=first, limit=30)
    assert found.outcome is Outcome.TIMED_OUT
    assert found.state.reason == "Argo CD could not compare the cluster with it"
    assert told.phases == [Phase.SYNCING, Phase.CONFIRMING, Phase.COMPARING]


def test_a_token_that_expires_in_the_middle_is_an_error(remote: Remote, target: str) -> None:
    script = Script(application(target, health="Progressing"), refused(401, "token has expired"))
    with pytest.raises(TokenRefused, match="token has expired") as caught:
        follow(Server(script), remote, target)
    assert "argocd login argocd.example.com" in caught.value.hint


def test_an_application_that_the_commit_brings_appears_a_little_later(remote: Remote, target: str) -> None:
    told = Told()
    found = follow(Server(Script(*[refused(403, "permission denied")] * 5, application(target))), remote, target, told)
    assert found.outcome is Outcome.HEALTHY
    assert told.notes[0].endswith("; asking again until it appears")


def test_an_application_that_does_not_appear_is_an_error(remote: Remote, target: str) -> None:
    server = Server(Script(refused(403, "permission denied")))
    start = server.clock.now
    with pytest.raises(NotPermitted, match="permission denied"):
        follow(server, remote, target)
    assert server.clock.now - start == pytest.approx(stage.APPEARANCE_SECONDS, abs=3)


def test_an_answer_that_is_none_of_argo_cds_is_an_error_at_the_beginning(remote: Remote, target: str) -> None:
    with pytest.raises(ServerError, match="is none of Argo CD's"):
        follow(Server(Script(httpx.Response(200, text="<html>log in</html>"))), remote, target)


def test_an_application_that_was_seen_and_may_not_be_seen_now_is_asked_for_again(remote: Remote, target: str) -> None:
    """What Argo CD says while the API server is away."""
    script = Script(
        application(target, health="Progressing"),
        *[refused(403, "permission denied")] * 50,
        application(target, version=2),
    )
    server = Server(script)
    assert follow(server, remote, target).outcome is Outcome.HEALTHY
    assert server.requests[-1].url.params["project"] == "default"


@pytest.mark.parametrize(
    "script",
    [
        lambda target: Script(application(target, health="Progressing"), refused(404, "not found")),
        lambda target: Script(
            application(target, health="Progressing"), streams=[[event(application(target), "DELETED")]]
        ),
    ],
    ids=["read", "streamed"],
)
def test_a_deleted_application_ends_it(script: Callable[[str], Script], remote: Remote, target: str) -> None:
    found = follow(Server(script(target)), remote, target)
    assert (found.outcome, found.exit_code) == (Outcome.DELETED, ExitCode.FINDINGS)


def test_degraded_for_a_moment_is_no_failure_and_for_long_it_is(remote: Remote, target: str) -> None:
    degraded = application(target, health="Degraded", resources=[resource("Pod", "p", health="Degraded", message="x")])
    found = follow(Server(Script(*[degraded] * 10, application(target, version=2))), remote, target)
    assert found.outcome is Outcome.HEALTHY
    found = follow(Server(Script(degraded)), remote, target)
    assert (found.outcome, found.exit_code) == (Outcome.DEGRADED, ExitCode.FINDINGS)
    assert found.seconds == pytest.approx(stage.PATIENCE_SECONDS, abs=3)
    assert [str(unhealthy) for unhealthy in found.state.unhealthy] == ["Pod/dev/p"]


def test_patience_begins_anew_when_it_was_better_in_between(remote: Remote, target: str) -> None:
    degraded, better = application(target, health="Degraded"), application(target, health="Progressing")
    script = Script(*[degraded] * 50, better, *[degraded] * 50, application(target, version=2))
    assert follow(Server(script), remote, target).outcome is Outcome.HEALTHY


def test_a_newer_commit_ends_it(remote: Remote, before: str, target: str) -> None:
    found = follow(Server(Script(application(target))), remote, before)
    assert (found.outcome, found.exit_code) == (Outcome.SUPERSEDED, ExitCode.FINDINGS)
    assert found.state.reason == f"a newer commit, {target[:7]}, took its place"


def test_a_failed_hook_comes_with_its_events_and_those_of_its_pods(remote: Remote, before: str, target: str) -> None:
    hook = {
        "kind": "Job",
        "namespace": "dev",
        "name": "migrate",
        "hookType": "PreSync",
        "hookPhase": "Failed",
        "message": "Job has reached the specified backoff limit",
    }
    failed = operation(target, "Failed", message="one or more synchronization tasks failed", resources=[hook])
    nodes = [
        {"kind": "Job", "namespace": "dev", "name": "migrate", "uid": "1"},
        {"kind": "Pod", "namespace": "dev", "name": "migrate-x", "uid": "2", "parentRefs": [{"uid": "1"}]},
        {"kind": "Pod", "namespace": "dev", "name": "another", "uid": "3"},
    ]
    said = {
        "1": [{"type": "Warning", "reason": "BackoffLimitExceeded", "message": "Job has reached it", "count": 2}],
        "2": [{"type": "Warning", "reason": "BackOff", "message": "restarting failed container"}],
    }

    def handler(request: httpx.Request) -> Answer:
        if request.url.path.endswith("/resource-tree"):
            return {"nodes": nodes}
        if request.url.path.endswith("/events"):
            return {"items": said[request.url.params["resourceUID"]]}
        return application(before, sync="OutOfSync", operation=failed)

    found = follow(Server(handler), remote, target)
    assert (found.outcome, found.exit_code) == (Outcome.FAILED, ExitCode.FINDINGS)
    assert [str(result) for result in found.state.failed] == ["Job/dev/migrate"]
    assert [(name, one.reason, one.count) for name, one in found.events] == [
        ("Job/dev/migrate", "BackoffLimitExceeded", 2),
        ("Pod/dev/migrate-x", "BackOff", 1),
    ]


def test_a_failure_is_reported_without_events_where_they_can_not_be_had(remote: Remote, target: str) -> None:
    hook = {"kind": "Job", "namespace": "dev", "name": "m", "hookType": "Sync", "hookPhase": "Failed"}
    failed = application(target, sync="OutOfSync", operation=operation(target, "Failed", resources=[hook]))

    def handler(request: httpx.Request) -> Answer:
        return failed if request.url.path.endswith("/app") else refused(403, "permission denied")

    found = follow(Server(handler), remote, target)
    assert (found.outcome, found.events) == (Outcome.FAILED, ())


def test_ctrl_c_ends_it_and_says_that_the_sync_goes_on(remote: Remote, target: str) -> None:
    def ctrl_c() -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        follow(Server(Script(application(target, health="Progressing"), ctrl_c)), remote, target)
    assert caught.value.message == f"interrupted; Argo CD goes on with {target[:10]} without us"
    assert caught.value.hint == "see how far it is: invoke status --env dev"


def test_an_answer_from_before_the_sync_was_asked_for_is_no_success(remote: Remote, target: str) -> None:
    """The server's cache may lag behind the request that started a sync."""
    requested = parse({**application(target, version=7), "operation": {"sync": {}}})
    old = application(target, version=6)
    done = application(target, version=9, operation=operation(target, started="2026-01-01T00:00:04Z"))
    told = Told()
    found = follow(Server(Script(old, old, old, done)), remote, target, told, first=requested)
    assert found.outcome is Outcome.HEALTHY
    assert found.state.application is not None
    assert found.state.application.resource_version == "9"
    assert told.phases == [Phase.SYNCING, Phase.SUCCEEDED]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_sequence_of_other_commits_and_faults_is_called_healthy(
    data: st.DataObject, remote: Remote, target: str, before: str
) -> None:
    faults: list[Answer] = [AWAY, httpx.ReadTimeout(""), httpx.Response(502), refused(500, "x"), refused(403, "x")]
    others = st.builds(
        application,
        st.sampled_from([before, "", "0" * 40, "v1"]),
        health=st.sampled_from(["Healthy", "Progressing", "Degraded"]),
        sync=st.sampled_from(["Synced", "OutOfSync"]),
        operation=st.sampled_from([None, operation(before), operation(target, "Running")]),
    )
    unsynced = st.just(application(target, sync="OutOfSync", operation=operation(before)))
    unwell = st.just(application(target, health="Progressing", operation=operation(target)))
    answers = data.draw(st.lists(st.sampled_from(faults) | others | unsynced | unwell, max_size=8))
    server = Server(Script(application(before), *answers, application(before)))
    found = follow(server, remote, target, limit=60)
    assert found.outcome is not Outcome.HEALTHY
    assert found.seconds <= 90


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "nan", "inf", "86401"])
def test_a_time_limit_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="must be a number of seconds above zero"):
        seconds(text)


def test_a_time_limit() -> None:
    assert (seconds("900"), seconds("0.5")) == (900.0, 0.5)
