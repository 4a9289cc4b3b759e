"""The wait and the client over what a real Argo CD said (recorded/README.md)."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kustodian.argocd import application, wait
from kustodian.argocd.application import Application
from kustodian.argocd.client import Client, Node
from kustodian.argocd.connection import Connection
from kustodian.argocd.wait import Phase, Relation, State
from kustodian.errors import NotFound, NotPermitted, ServerError, TokenRefused

RECORDED = Path(__file__).parent / "recorded"
NAME = "flowlet-development"
COMMITS = [line.split()[0] for line in (RECORDED / "commits.txt").read_text("utf-8").splitlines()]
"""All that were pushed, the oldest first; each is built on the one before."""

REPLAYS = {
    "config-map": {
        "d694ab1": "succeeded",  # ran before
        "3459111": "comparing syncing confirming succeeded",
        "b860d52": "comparing",  # came later
    },
    "nothing-changed": {
        "d694ab1": "superseded",
        "3459111": "succeeded",
        "b860d52": "comparing confirming succeeded",
        "967ff84": "comparing confirming succeeded",
        "d5836cf": "comparing",
    },
    "failing-hook": {
        "967ff84": "confirming syncing superseded",
        "d5836cf": "comparing syncing",
        "060e765": "comparing",
    },
    "reverted-while-retrying": {
        "967ff84": "superseded",
        "d5836cf": "syncing superseded",
        "060e765": "comparing syncing confirming succeeded",
        "939c7e9": "comparing",
    },
    "failed-for-good": {
        "f97f00d": "superseded",
        "6c8c5de": "comparing syncing failed",
        "a37a9fe": "comparing",
    },
    "reverted-after-failure": {
        "6c8c5de": "failed",
        "a37a9fe": "comparing confirming succeeded",
        "64d05f7": "comparing",
    },
    "refused-by-the-api-server": {
        "060e765": "succeeded",
        "939c7e9": "comparing confirming comparing confirming comparing confirming",
        "f97f00d": "comparing",
    },
    "second-push-without-hooks": {
        "f97f00d": "confirming syncing superseded",
        "3defd4d": "comparing syncing superseded",
        "02eaed3": "comparing syncing confirming syncing confirming failed",
        "6c8c5de": "comparing",
    },
    "second-push-in-full": {
        "a37a9fe": "confirming syncing superseded",
        "64d05f7": "comparing syncing superseded",
        "4161bc1": "comparing syncing confirming syncing confirming succeeded",
        "a457602": "comparing",
    },
    "created": {
        "a457602": "comparing superseded",
        "462fa38": "comparing syncing confirming succeeded",
    },
    "changed-by-hand": {
        "6b5f872": "superseded",
        "f4e4f85": "succeeded",
    },
    "deleted": {
        "a457602": "superseded",
        "462fa38": "confirming deleted",
    },
}
"""Recording → commit → the phases of the wait for it, in order."""

SUCCESSES = {
    "config-map": {"d694ab1": "740", "3459111": "895"},
    "nothing-changed": {"3459111": "920", "b860d52": "932", "967ff84": "942"},
    "reverted-while-retrying": {"060e765": "1366"},
    "reverted-after-failure": {"a37a9fe": "2098"},
    "refused-by-the-api-server": {"060e765": "1391"},
    "second-push-in-full": {"4161bc1": "2427"},
    "created": {"462fa38": "2970"},
    "changed-by-hand": {"f4e4f85": "4095"},
}
"""Recording → commit → the `resourceVersion` from which on it is known to run and to be healthy. All there are."""


@dataclass(frozen=True)
class Line:
    """One line of a recorded stream."""

    kind: str
    application: Application
    answers: bool
    """Whether Argo CD's server gives this as its answer to the refresh that was asked for before (`Get` in its
    server/application/application.go): the first without the annotation."""

    @property
    def observed(self) -> Application | None:
        return None if self.kind == "DELETED" else self.application


def text(name: str) -> str:
    return gzip.decompress((RECORDED / name).read_bytes()).decode()


@cache
def recording(name: str) -> tuple[Line, ...]:
    found: list[Line] = []
    for line in text(f"{name}.jsonl.gz").splitlines():
        result = json.loads(line)["result"]
        item = application.parse(result["application"])
        asked = bool(found) and found[-1].application.refresh_requested
        found.append(Line(result["type"], item, answers=asked and not item.refresh_requested))
    return tuple(found)


def commit(short: str) -> str:
    (found,) = (each for each in COMMITS if each.startswith(short))
    return found


class Wait:
    """The wait for one commit of the recorded branch."""

    def __init__(self, target: str) -> None:
        self.state = State(target)
        self.phases: list[str] = []

    def relation(self, revision: str) -> Relation:
        if revision not in COMMITS:
            return Relation.UNKNOWN
        distance = COMMITS.index(revision) - COMMITS.index(self.state.target)
        return Relation.TARGET if distance == 0 else Relation.AFTER if distance > 0 else Relation.BEFORE

    def see(self, line: Line, *, answers: bool) -> bool:
        """Whether the commit is called a success now, and was not before."""
        before = self.state
        self.state = wait.observe(before, line.observed, self.relation, answers=answers)
        phase = self.state.phase.value
        self.phases += [] if self.phases[-1:] == [phase] else [phase]
        return self.state.phase is Phase.SUCCEEDED and not before.is_final


# The wait


def test_every_recording_is_replayed() -> None:
    assert {f"{name}.jsonl.gz" for name in REPLAYS} == {path.name for path in RECORDED.glob("*.jsonl.gz")}
    assert sum(path.stat().st_size for path in RECORDED.iterdir()) < 300_000


@pytest.mark.parametrize("answered", [True, False], ids=["by answers", "by the stream"])
@pytest.mark.parametrize(("name", "short"), [(name, short) for name, replay in REPLAYS.items() for short in replay])
def test_the_phases_of_a_commit_are_these(name: str, short: str, answered: bool) -> None:
    """Who only listens to the stream comes to the same as who is told that this is the answer."""
    waited = Wait(commit(short))
    for line in recording(name):
        waited.see(line, answers=answered and line.answers)
    assert " ".join(waited.phases) == REPLAYS[name][short]


@pytest.mark.parametrize("name", REPLAYS)
def test_no_commit_but_what_ran_healthy_is_a_success_and_not_before_that_is_known(name: str) -> None:
    found = {}
    for target in COMMITS:
        waited = Wait(target)
        for line in recording(name):
            if waited.see(line, answers=line.answers):
                found[target[:7]] = line.application.resource_version
    assert found == SUCCESSES.get(name, {})


def test_argo_cd_does_call_synced_what_the_api_server_refuses() -> None:
    """Or the recording would show nothing: healthy, without an error, for good. It never ran."""
    refused, last = commit("939c7e9"), recording("refused-by-the-api-server")[-1].application
    assert (last.sync, last.revisions, last.health) == ("Synced", (refused,), "Healthy")
    assert (last.conditions, last.refresh_requested, last.operation_requested) == ((), False, False)
    assert last.operation is not None
    assert (last.operation.phase, last.operation.finished < last.reconciled) == ("Succeeded", True)
    assert last.operation.revisions == (commit("060e765"),)
    waited = Wait(refused)
    waited.see(recording("refused-by-the-api-server")[-1], answers=False)
    assert waited.state.wants_refresh


def test_argo_cd_does_leave_the_hooks_of_a_second_push_out() -> None:
    hooks = {}
    for name in ("second-push-without-hooks", "second-push-in-full"):
        operation = recording(name)[-1].application.operation
        assert operation is not None
        hooks[name] = [result.name for result in operation.results if result.hook_type], operation.partial
    assert hooks["second-push-without-hooks"] == ([], True)
    assert hooks["second-push-in-full"] == (["init-system", "database-migration", "data-seeding"], False)


@pytest.mark.parametrize(
    ("version", "phases", "last"),
    [
        ("4105", "syncing confirming succeeded", "4137"),  # a Service is changed, and healed when auto-sync is on again
        ("4199", "progressing confirming progressing confirming succeeded", "4276"),  # Pods are deleted, twice
    ],
)
def test_a_wait_that_begins_while_somebody_changes_the_cluster_ends_when_that_is_undone(
    version: str, phases: str, last: str
) -> None:
    lines = recording("changed-by-hand")
    (start,) = (index for index, line in enumerate(lines) if line.application.resource_version == version)
    waited, succeeded = Wait(commit("f4e4f85")), ""
    for line in lines[start:]:
        if waited.see(line, answers=line.answers):
            succeeded = line.application.resource_version
    assert (" ".join(waited.phases), succeeded) == (phases, last)


@pytest.mark.parametrize(
    ("name", "short", "reason"),
    [
        ("failed-for-good", "6c8c5de", "one or more synchronization tasks completed unsuccessfully"),
        ("second-push-without-hooks", "3defd4d", "a newer commit, 02eaed3, took its place"),
        ("failing-hook", "060e765", "waits for the operation on d5836cf to end"),
        ("deleted", "462fa38", "the Application is being deleted"),
    ],
)
def test_a_wait_says_why_it_ended_or_what_it_waits_for(name: str, short: str, reason: str) -> None:
    waited = Wait(commit(short))
    for line in recording(name):
        waited.see(line, answers=line.answers)
    assert waited.state.reason == reason


def test_why_the_api_server_refused_is_said() -> None:
    waited = Wait(commit("939c7e9"))
    said = set()
    for line in recording("refused-by-the-api-server"):
        waited.see(line, answers=line.answers)
        said.add(waited.state.reason)
    assert any("field can not be less than status.capacity" in reason for reason in said)


def test_the_hook_that_failed_is_named() -> None:
    waited = Wait(commit("6c8c5de"))
    for line in recording("failed-for-good"):
        waited.see(line, answers=line.answers)
    (failed,) = waited.state.failed
    assert (str(failed), failed.hook_type) == (f"Job/{NAME}/database-migration", "Sync")
    assert failed.message == "Job has reached the specified backoff limit"


def test_no_two_lines_make_a_success_of_what_the_api_server_refuses_whatever_is_lost_between_them() -> None:
    lines = recording("refused-by-the-api-server")
    for index, first in enumerate(lines):
        for second in lines[index + 1 :]:
            waited = Wait(commit("939c7e9"))
            waited.see(first, answers=False)
            assert not waited.see(second, answers=False)


@st.composite
def disturbed(draw: st.DrawFn) -> tuple[str, list[int], list[bool]]:
    """A recording, and its lines as they might arrive: some lost, some twice, some late; or anyhow."""
    name = draw(st.sampled_from(list(REPLAYS)))
    lines = range(len(recording(name)))
    times = draw(st.lists(st.sampled_from([0, 0, 1, 1, 1, 2]), min_size=len(lines), max_size=len(lines)))
    order = [index for index, count in zip(lines, times, strict=True) for _time in range(count)]
    for place in draw(st.lists(st.integers(0, max(0, len(order) - 2)), max_size=8)):
        order[place : place + 2] = reversed(order[place : place + 2])
    if draw(st.integers(0, 3)) == 0:
        order = draw(st.lists(st.sampled_from(lines), max_size=40))
    return name, order, draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))


@given(disturbed(), st.data())
@settings(max_examples=500, deadline=None)
def test_lost_repeated_and_late_lines_make_no_success_of_another_commit_and_none_too_early(
    stream: tuple[str, list[int], list[bool]], data: st.DataObject
) -> None:
    name, order, told = stream
    lines = recording(name)
    concerned = {each for line in lines for each in line.application.revisions} & set(COMMITS)
    target = data.draw(st.sampled_from([each for each in COMMITS if each in concerned]))
    waited = Wait(target)
    for index, is_told in zip(order, told, strict=True):
        if waited.see(lines[index], answers=is_told and lines[index].answers):
            assert target[:7] in SUCCESSES.get(name, {})
            shown = lines[index].application
            assert int(shown.resource_version) >= int(SUCCESSES[name][target[:7]])
            assert (shown.sync, shown.revisions, shown.health) == ("Synced", (target,), "Healthy")
            assert not any((shown.operation_requested, shown.refresh_requested, shown.deleting))
            assert lines[index].kind != "DELETED"


# The client


def client(*answers: httpx.Response) -> Client:
    """One that is answered in turn."""
    left = list(answers)
    connection = Connection("https://cd.example.com", "the.secret.token")
    return Client(connection, transport=httpx.MockTransport(lambda _request: left.pop(0)), sleep=lambda _seconds: None)


@pytest.mark.parametrize("name", REPLAYS)
def test_the_stream_gives_each_line(name: str) -> None:
    with client(httpx.Response(200, text=text(f"{name}.jsonl.gz"))) as asked:
        found = list(asked.watch(NAME))
    assert found == [(line.kind, line.application) for line in recording(name)]
    kinds = [kind for kind, _application in found]
    assert kinds[0] == "ADDED"
    assert set(kinds[1:-1]) == {"MODIFIED"}
    assert kinds[-1] == ("DELETED" if name == "deleted" else "MODIFIED")


def test_an_application_is_read_whole() -> None:
    document = json.loads(text("config-map.jsonl.gz").splitlines()[-1])["result"]["application"]
    with client(httpx.Response(200, json=document)) as asked:
        found = asked.application(NAME)
    assert (found.name, found.namespace, found.project) == (NAME, "argocd", NAME)
    assert (found.destination_namespace, found.automated, found.prunes) == (NAME, True, True)
    assert [(source.path, source.target_revision) for source in found.sources] == [("overlays/development", "main")]
    assert (found.sync, found.revisions, found.health) == ("Synced", (commit("3459111"),), "Healthy")
    assert [entry.revisions[0][:7] for entry in found.history] == ["d694ab1", "3459111"]
    assert {entry.initiated_by for entry in found.history} == {"automated"}
    assert found.operation is not None
    assert (found.operation.phase, found.operation.initiated_by) == ("Succeeded", "automated")
    assert len(found.operation.results) == 62
    assert {str(each) for each in found.resources if each.hook} == {
        f"Job/{NAME}/{job}" for job in ("init-system", "database-migration", "data-seeding")
    }
    assert {each.health for each in found.resources} == {"", "Healthy"}
    assert "registry.flowlet.example.com/flowlet/backend:1.8.0-dev.42" in found.images


def test_of_all_managed_resources_the_changed_service_differs() -> None:
    with client(httpx.Response(200, text=text("managed-resources.json.gz"))) as asked:
        found = asked.managed_resources(NAME)
    assert len(found) == 58
    (changed,) = (each for each in found if each.normalized != each.predicted)
    assert str(changed) == f"Service/{NAME}/flowlet-backend-service"
    ports = [document["spec"]["ports"] for document in (changed.normalized, changed.predicted) if document]
    assert [port["targetPort"] for each in ports for port in each] == [8111, "http"]
    assert changed.live is not None
    assert changed.target is not None
    assert "clusterIP" in changed.live["spec"]
    assert "clusterIP" not in changed.target["spec"]


def test_argo_cd_masks_the_values_of_secrets() -> None:
    with client(httpx.Response(200, text=text("managed-resources.json.gz"))) as asked:
        found = [each for each in asked.managed_resources(NAME) if each.kind == "Secret"]
    shown = [document for each in found for document in (each.live, each.target, each.normalized, each.predicted)]
    values = [value for each in shown if each for value in each["data"].values()]
    assert len(found) == 6
    assert {character for value in values for character in value} == {"+"}


def test_the_pod_of_a_hook_that_failed_is_found_by_its_parent_and_the_events_say_why() -> None:
    events = {of: httpx.Response(200, json=answer) for of, answer in json.loads(text("events.json.gz")).items()}
    tree = httpx.Response(200, text=text("resource-tree.json.gz"))
    with client(tree, events["job"], events["pod"], events["application"]) as asked:
        nodes = asked.nodes(NAME)
        (job,) = (node for node in nodes if str(node) == f"Job/{NAME}/database-migration")
        (pod,) = (node for node in nodes if job.uid in node.parents)
        of_job, of_pod, of_application = asked.events(NAME, job), asked.events(NAME, pod), asked.events(NAME)
    assert (job.health, job.message) == ("Degraded", "Job has reached the specified backoff limit")
    assert (job.group, pod.kind) == ("batch", "Pod")
    assert [(event.type, event.reason) for event in of_job] == [
        ("Normal", "SuccessfulCreate"),
        ("Warning", "BackoffLimitExceeded"),
    ]
    assert [event.reason for event in of_pod] == ["Scheduled"]
    assert [event.last for event in of_application] == sorted(event.last for event in of_application)
    assert of_application[-1].last.startswith("2026-11-24T11:52:")


def test_what_made_a_node_is_in_the_tree_or_is_nobody() -> None:
    with client(httpx.Response(200, text=text("resource-tree.json.gz"))) as asked:
        nodes: dict[str, Node] = {node.uid: node for node in asked.nodes(NAME)}
    assert len(nodes) > 60
    assert all(parent in nodes for node in nodes.values() for parent in node.parents)


ERRORS: dict[str, Any] = json.loads((RECORDED / "errors.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("expired-token", TokenRefused, "token has invalid claims: token is expired (401)"),
        ("no-token-of-its", TokenRefused, "token is malformed: could not JSON decode header"),
        ("not-permitted", NotPermitted, "permission denied (403)"),
        ("not-found", NotFound, 'applications.argoproj.io "no-such-application" not found (404)'),
        ("no-operation", ServerError, "Unable to terminate operation. No operation is in progress (400)"),
        ("other-revision", ServerError, "auto-sync currently set to main (400)"),
        ("rollback-automated", ServerError, "rollback cannot be initiated when auto-sync is enabled (400)"),
        ("no-such-path", ServerError, "the answer (404, text/plain) is none of Argo CD's"),
    ],
)
def test_a_refusal_is_an_error_of_its_kind_with_what_argo_cd_says(
    name: str, kind: type[ServerError], said: str
) -> None:
    answer = ERRORS[name]
    response = httpx.Response(answer["status"], text=answer["body"], headers={"content-type": answer["content-type"]})
    with client(response) as asked, pytest.raises(ServerError) as raised:
        asked.application(NAME)
    assert type(raised.value) is kind
    assert said in raised.value.message
    assert "\n" not in raised.value.message


def test_every_recorded_refusal_is_tested() -> None:
    assert len(ERRORS) == 8
