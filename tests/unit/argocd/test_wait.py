"""The wait's verdicts over documents as Argo CD serves them, and over generated lives of an Application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kustodian.argocd import wait
from kustodian.argocd.application import Application, parse
from kustodian.argocd.wait import Phase, Relation, State

BEFORE, TARGET, AFTER, STRANGER = "a" * 40, "b" * 40, "c" * 40, "d" * 40
RELATIONS = {BEFORE: Relation.BEFORE, TARGET: Relation.TARGET, AFTER: Relation.AFTER}

Document = dict[str, Any]


def relation(revision: str) -> Relation:
    return RELATIONS.get(revision, Relation.UNKNOWN)


def at(second: int) -> str:
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(
    revision: str = TARGET, sync: str = "Synced", health: str = "Healthy", reconciled: int = 100, **more: Any
) -> Document:
    """A document of the API. `more` are keys of its status."""
    return {
        "metadata": {"name": "web", "resourceVersion": "7"},
        "spec": {"source": {"repoURL": "r", "path": "p"}, "syncPolicy": {"automated": {}}},
        "status": {
            "sync": {"status": sync, "revision": revision},
            "health": {"status": health},
            "reconciledAt": at(reconciled),
            **more,
        },
    }


def operation(
    phase: str, revision: str = TARGET, finished: int | None = None, message: str = "", **result: Any
) -> Document:
    state: Document = {"phase": phase, "message": message, "startedAt": at(1), "syncResult": {"revision": revision}}
    state["syncResult"] |= result
    return state | ({"finishedAt": at(finished)} if finished is not None else {})


def after(*documents: Document | None, state: State | None = None, answers: bool = False) -> State:
    state = state or State(TARGET)
    for item in documents:
        state = wait.observe(state, None if item is None else parse(item), relation, answers=answers)
    return state


def asked(item: Document, version: str = "6") -> Document:
    """The same while another comparison is asked for."""
    return item | {
        "metadata": {"name": "web", "resourceVersion": version, "annotations": {"argocd.argoproj.io/refresh": "normal"}}
    }


def verdict(*documents: Document | None) -> tuple[Phase, str]:
    state = after(*documents)
    return state.phase, state.reason


# Success


def test_a_commit_that_is_synced_and_healthy_since_its_operation_ended_has_succeeded() -> None:
    done = document(reconciled=101, operationState=operation("Succeeded", finished=100))
    assert verdict(done) == (Phase.SUCCEEDED, "synced and healthy")


@pytest.mark.parametrize("more", [{}, {"operationState": operation("Succeeded", BEFORE, finished=50)}])
def test_a_commit_that_changes_nothing_succeeds_without_an_operation(more: Document) -> None:
    item = document()
    item["status"] |= more
    assert after(item, answers=True).phase is Phase.SUCCEEDED
    assert after(asked(item), item).phase is Phase.SUCCEEDED


def test_a_commit_that_undoes_what_failed_before_succeeds_without_an_operation() -> None:
    item = document(operationState=operation("Failed", BEFORE, finished=50))
    assert after(item, answers=True).phase is Phase.SUCCEEDED


def test_without_an_operation_only_a_comparison_that_was_asked_for_is_believed() -> None:
    """Argo CD's own may repeat the results of one that failed (tests/unit/argocd/test_recorded.py)."""
    state = after(document())
    assert state.reason == "nothing had to be synced for it; waits until Argo CD has looked again"
    assert (state.phase, state.wants_refresh) == (Phase.CONFIRMING, True)
    # Something was asked for, but this is not what the answer was written as.
    assert after(asked(document(reconciled=99)), document()).phase is Phase.CONFIRMING
    assert after(asked(document(sync="Unknown")), document()).phase is Phase.CONFIRMING
    assert after(document(), document()).phase is Phase.CONFIRMING


@pytest.mark.parametrize("reconciled", [99, 100])
def test_a_health_from_before_the_end_of_the_operation_is_not_believed(reconciled: int) -> None:
    """`reconciledAt` and `finishedAt` are whole seconds, so that equal ones prove nothing."""
    stale = document(reconciled=reconciled, operationState=operation("Succeeded", finished=100))
    state = after(stale)
    assert (state.phase, state.wants_refresh) == (Phase.CONFIRMING, True)
    fresh = document(reconciled=101, operationState=operation("Succeeded", finished=100))
    assert after(fresh, state=state).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("missing", ["reconciledAt", "finishedAt"])
def test_without_its_times_nothing_is_believed(missing: str) -> None:
    item = document(reconciled=101, operationState=operation("Succeeded", finished=100))
    item["status"].pop(missing, None)
    item["status"]["operationState"].pop(missing, None)
    assert after(item).phase is Phase.CONFIRMING


def test_a_refresh_that_is_asked_for_is_awaited() -> None:
    item = document()
    item["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "normal"}
    state = after(item)
    assert (state.phase, state.wants_refresh) == (Phase.CONFIRMING, False)


# Revision


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        (BEFORE, "Argo CD is at aaaaaaa"),
        (STRANGER, "Argo CD is at ddddddd, a commit that it is not built on"),
        ("main", "Argo CD is at main, a commit that it is not built on"),
        ("", "Argo CD has not compared anything yet"),
    ],
)
def test_another_revision_is_waited_out_however_well_it_is(revision: str, reason: str) -> None:
    state = after(document(revision))
    assert (state.phase, state.reason) == (Phase.COMPARING, reason)
    assert state.wants_refresh


def test_an_application_without_a_status_is_waited_for() -> None:
    state = after({"metadata": {"name": "web"}, "spec": {}})
    assert (state.phase, state.reason) == (Phase.COMPARING, "Argo CD has not compared anything yet")


def test_a_part_of_the_commits_name_is_another_revision() -> None:
    assert after(document(TARGET[:12])).phase is Phase.COMPARING


def test_a_relation_that_calls_another_revision_the_commit_is_not_believed() -> None:
    state = wait.observe(State(TARGET), parse(document(STRANGER)), lambda _revision: Relation.TARGET)
    assert state.phase is Phase.COMPARING


def test_a_newer_commit_is_an_end_of_its_own() -> None:
    assert verdict(document(AFTER)) == (Phase.SUPERSEDED, "a newer commit, ccccccc, took its place")
    running = document(operationState=operation("Running", AFTER))
    assert verdict(running) == (Phase.SUPERSEDED, "a newer commit, ccccccc, is being synced")


def test_of_several_sources_only_ours_counts() -> None:
    item = document(operationState=operation("Succeeded", finished=50, revisions=[AFTER, TARGET]))
    item["status"]["sync"] = {"status": "Synced", "revisions": [AFTER, TARGET]}
    assert after(item, state=State(TARGET, source=1)).phase is Phase.SUCCEEDED
    assert after(item, state=State(TARGET, source=0)).phase is Phase.SUPERSEDED
    assert after(item, state=State(TARGET, source=2)).phase is Phase.COMPARING


def test_what_keeps_argo_cd_from_comparing_is_said_and_not_final() -> None:
    wrong = {"type": "ComparisonError", "message": "Failed to load target state:\n  connection refused"}
    state = after(document("main", "Unknown", "Unknown", conditions=[wrong]))
    assert (state.phase, state.reason) == (Phase.COMPARING, "Failed to load target state: connection refused")
    assert after(document(), state=state, answers=True).phase is Phase.SUCCEEDED


def test_a_commit_that_could_not_be_compared_is_not_judged() -> None:
    assert verdict(document(sync="Unknown")) == (Phase.COMPARING, "Argo CD could not compare the cluster with it")


# Operation


@pytest.mark.parametrize("phase", ["Running", "Terminating"])
def test_nothing_is_judged_while_an_operation_runs(phase: str) -> None:
    item = document(operationState=operation(phase, message="waiting for completion of hook batch/Job/migrate"))
    assert verdict(item) == (Phase.SYNCING, "waiting for completion of hook batch/Job/migrate")


def test_nothing_is_judged_while_an_operation_is_asked_for() -> None:
    item = document(operationState=operation("Failed", finished=50)) | {"operation": {"sync": {}}}
    assert verdict(item) == (Phase.SYNCING, "an operation is asked for")


def test_an_operation_on_an_older_commit_is_waited_out() -> None:
    item = document(BEFORE, operationState=operation("Running", BEFORE))
    assert verdict(item) == (Phase.COMPARING, "waits for the operation on aaaaaaa to end")


@pytest.mark.parametrize("phase", ["Failed", "Error"])
def test_an_operation_that_failed_is_the_end_even_where_all_is_healthy(phase: str) -> None:
    """A hook after the sync has failed: everything is in place, and the roll-out is not over."""
    item = document(operationState=operation(phase, finished=50, message="one or more hooks failed"))
    assert verdict(item) == (Phase.FAILED, "one or more hooks failed")


def test_an_operation_that_failed_before_it_knew_its_revision_is_known_by_what_it_was_asked() -> None:
    state = {"phase": "Error", "message": "no project", "operation": {"sync": {"revision": TARGET}}}
    assert verdict(document(operationState=state)) == (Phase.FAILED, "no project")


def test_an_operation_that_failed_for_nobody_knows_what_is_no_success() -> None:
    state = {"phase": "Error", "message": "no project", "finishedAt": at(50)}
    assert verdict(document(operationState=state)) == (Phase.SYNCING, "an operation ended as Error: no project")


def test_a_failed_attempt_is_not_final_while_another_is_to_come() -> None:
    """Argo CD leaves the phase at `Running` and sets an end."""
    retrying = operation("Running", finished=50, message="one task failed. Retrying attempt #1 at 12:00.")
    state = after(document(sync="OutOfSync", health="Missing", operationState=retrying))
    assert state.phase is Phase.SYNCING
    done = document(reconciled=101, operationState=operation("Succeeded", finished=100))
    assert after(done, state=state).phase is Phase.SUCCEEDED


def partial(hook: bool, *history: str, revision: str = TARGET) -> Document:
    """Healthy after an operation that synced one Deployment only."""
    last = operation("Succeeded", revision, finished=100)
    last["operation"] = {"sync": {"revision": revision, "resources": [{"kind": "Deployment", "name": "web"}]}}
    resources = [{"kind": "Job", "name": "migrate", "hook": hook}, {"kind": "Deployment", "name": "web"}]
    entries = [{"id": number, "revision": revision} for number, revision in enumerate(history)]
    return document(reconciled=101, operationState=last, resources=resources, history=entries)


def test_a_commit_whose_hooks_argo_cd_left_out_is_no_success() -> None:
    state = after(partial(True, TARGET, BEFORE), answers=True)
    assert state.phase is Phase.FAILED
    assert "no hooks have run" in state.reason


@pytest.mark.parametrize(
    "item", [partial(True, BEFORE, TARGET), partial(False, BEFORE), partial(True, BEFORE, revision=BEFORE)]
)
def test_a_repair_is_no_failure_where_the_commit_was_synced_as_a_whole_or_has_no_hooks(item: Document) -> None:
    assert after(item, answers=True).phase is Phase.SUCCEEDED
    assert after(item).phase is Phase.CONFIRMING  # of all but the one resource the repair proves nothing


def test_what_failed_is_listed() -> None:
    results = [
        {"kind": "Service", "name": "web", "status": "SyncFailed", "message": "denied"},
        {"kind": "Job", "name": "migrate", "hookType": "PreSync", "hookPhase": "Failed"},
        {"kind": "ConfigMap", "name": "web", "status": "Synced", "hookPhase": "Succeeded"},
    ]
    failed = operation("Failed", finished=50, resources=results)
    assert [str(result) for result in after(document(operationState=failed)).failed] == ["Service/web", "Job/migrate"]
    of_another = operation("Failed", BEFORE, finished=50, resources=results)
    assert after(document(operationState=of_another)).failed == ()


def test_a_commit_that_differs_waits_for_its_operation() -> None:
    item = document(sync="OutOfSync")
    assert verdict(item) == (Phase.SYNCING, "out of sync; waits for auto-sync, or for a sync window that allows it")
    item["spec"] = {}
    assert verdict(item) == (Phase.SYNCING, "out of sync, and auto-sync is off")


def test_why_auto_sync_does_not_come_is_said() -> None:
    wrong = {"type": "SyncError", "message": "Skipping sync attempt: auto-sync will wipe out all resources"}
    assert verdict(document(sync="OutOfSync", conditions=[wrong])) == (Phase.SYNCING, wrong["message"])
    # What is said of an older commit says nothing of this one.
    assert verdict(document(BEFORE, conditions=[wrong])) == (Phase.COMPARING, "Argo CD is at aaaaaaa")


def test_what_stays_different_after_the_operation_is_named() -> None:
    resources = [{"kind": "ConfigMap", "namespace": "n", "name": "old", "status": "OutOfSync"}, {"status": "Synced"}]
    item = document(sync="OutOfSync", operationState=operation("Succeeded", finished=50), resources=resources)
    state = after(item)
    assert state.phase is Phase.SYNCING
    assert state.reason == "applied, but still different in the cluster: ConfigMap/n/old"
    assert [str(resource) for resource in state.unsynced] == ["ConfigMap/n/old"]


# Health


@pytest.mark.parametrize("health", ["Progressing", "Missing", "Suspended", "Unknown"])
def test_what_is_not_healthy_is_waited_for(health: str) -> None:
    assert verdict(document(health=health)) == (Phase.PROGRESSING, f"it is {health}")


def test_what_is_degraded_is_told_but_not_final() -> None:
    resources = [
        {"kind": "Service", "name": "a", "health": {"status": "Progressing"}},
        {"kind": "Deployment", "name": "b", "health": {"status": "Degraded", "message": "too slow"}},
        {"kind": "Deployment", "name": "c", "health": {"status": "Healthy"}},
        {"kind": "ConfigMap", "name": "d"},
    ]
    state = after(document(health="Degraded", resources=resources))
    assert (state.phase, state.is_final) == (Phase.DEGRADED, False)
    assert state.reason == "Deployment/b is Degraded, Service/a is Progressing"
    assert [str(resource) for resource in state.unhealthy] == ["Service/a", "Deployment/b"]
    assert after(document(), state=state, answers=True).phase is Phase.SUCCEEDED


def test_of_many_resources_three_are_named() -> None:
    resources = [{"kind": "Pod", "name": f"p{number}", "health": {"status": "Progressing"}} for number in range(5)]
    reason = "Pod/p0 is Progressing, Pod/p1 is Progressing, Pod/p2 is Progressing and 2 more"
    assert verdict(document(health="Progressing", resources=resources)) == (Phase.PROGRESSING, reason)


# Ends, and the order of what arrives


def test_an_application_that_is_deleted_is_an_end() -> None:
    assert verdict(document(BEFORE), None) == (Phase.DELETED, "the Application was deleted")


def test_an_application_that_is_being_deleted_is_no_success_however_well_it_is() -> None:
    item = document()
    item["metadata"]["deletionTimestamp"] = at(100)
    state = after(item, answers=True)
    assert (state.phase, state.reason) == (Phase.DELETED, "the Application is being deleted")


def test_an_observation_that_arrives_late_changes_nothing() -> None:
    """A watch may deliver what was before a sync was asked for."""
    asked = document(operationState=None) | {"operation": {"sync": {}}}
    asked["metadata"]["resourceVersion"] = "10"
    state = after(asked)
    assert after(document(), state=state) is state


# Generated: whatever is observed

REVISIONS = st.sampled_from([TARGET, TARGET, TARGET, TARGET, BEFORE, AFTER, STRANGER, "main", ""])
TIMES = st.sampled_from([at(1), at(1), at(2), at(3), "", "soon"])


@st.composite
def any_documents(draw: st.DrawFn) -> Document:
    item: Document = {
        "metadata": {"name": "web", "resourceVersion": draw(st.sampled_from(["", "1", "2", "3", "x"]))},
        "spec": {"syncPolicy": {"automated": {}}},
        "status": {
            "sync": {
                "status": draw(st.sampled_from(["Synced", "Synced", "Synced", "OutOfSync", "Unknown", ""])),
                "revision": draw(REVISIONS),
            },
            "health": {
                "status": draw(st.sampled_from(["Healthy", "Healthy", "Healthy", "Degraded", "Progressing", ""]))
            },
            "reconciledAt": draw(TIMES),
        },
    }
    if draw(st.booleans()):
        phase = st.sampled_from(
            ["Running", "Succeeded", "Succeeded", "Succeeded", "Failed", "Error", "Terminating", ""]
        )
        item["status"]["operationState"] = {
            "phase": draw(phase),
            "finishedAt": draw(TIMES),
            "syncResult": {"revision": draw(REVISIONS)},
        }
    if draw(st.integers(0, 4)) == 0:
        item["operation"] = {"sync": {}}
    if draw(st.integers(0, 4)) == 0:
        item["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "hard"}
    return item


@given(
    st.lists(st.tuples(st.one_of(any_documents(), any_documents(), st.none()), st.booleans()), max_size=8),
    st.sampled_from(list(Relation)),
)
@settings(max_examples=400, deadline=None)
def test_success_is_never_reported_for_another_revision_nor_from_a_stale_health(
    observed: list[tuple[Document | None, bool]], unknown: Relation
) -> None:
    state = State(TARGET)
    for item, answers in observed:
        earlier = state
        application = None if item is None else parse(item)
        state = wait.observe(state, application, lambda rev: RELATIONS.get(rev, unknown), answers=answers)
        if earlier.is_final:
            assert state is earlier
        if state.phase is Phase.SUCCEEDED and not earlier.is_final:
            assert item is not None
            assert_proven(item)
            own = item["status"].get("operationState", {}).get("syncResult", {}).get("revision") == TARGET
            assert own or answers or (earlier.application is not None and earlier.application.refresh_requested)


def assert_proven(item: Document) -> None:
    status = item["status"]
    assert status["sync"] == {"status": "Synced", "revision": TARGET}
    assert status["health"] == {"status": "Healthy"}
    assert "operation" not in item
    assert "annotations" not in item["metadata"]
    if "operationState" in status:
        last = status["operationState"]
        assert last["phase"] == "Succeeded" or last["syncResult"]["revision"] not in (TARGET, "")
        assert last["phase"] not in ("Running", "Terminating")
        assert status["reconciledAt"] > last["finishedAt"] > ""


# Generated: the life of an Application, as the controller makes it


@dataclass
class Controller:
    """Argo CD's controller over a cluster, as far as the wait can see it. Time passes only between its steps."""

    branch: str = BEFORE
    applied: str = BEFORE
    healthy: bool = True
    second: int = 10
    version: int = 1
    step: int = 0
    compared_in: int = 0
    ended_in: int = 0
    status: Document = field(default_factory=dict)
    asked: bool = False

    def compare(self) -> None:
        self.compared_in = self.step
        self.status["sync"] = {
            "status": "Synced" if self.applied == self.branch else "OutOfSync",
            "revision": self.branch,
        }
        self.status["health"] = {"status": "Healthy" if self.healthy else "Progressing"}
        self.status["reconciledAt"] = at(self.second)
        self.asked = self.asked or self.status["sync"]["status"] == "OutOfSync"

    def look(self) -> None:
        """A partial comparison: it sees the cluster, and leaves `reconciledAt`."""
        if self.status:
            revision, reconciled = self.status["sync"]["revision"], self.status["reconciledAt"]
            self.compared_in = self.step
            self.status["sync"] = {
                "status": "Synced" if self.applied == revision else "OutOfSync",
                "revision": revision,
            }
            self.status["health"] = {"status": "Healthy" if self.healthy else "Progressing"}
            self.status["reconciledAt"] = reconciled

    def work(self) -> None:
        """One step of the operation: take it up, apply, or end it."""
        state = self.status.get("operationState")
        if not self.asked or not self.status:
            return
        if not state or state["phase"] == "Succeeded":
            wanted = self.status["sync"]["revision"]
            self.status["operationState"] = {"phase": "Running", "syncResult": {"revision": wanted}}
        elif self.applied != state["syncResult"]["revision"]:
            self.applied, self.healthy = state["syncResult"]["revision"], False
        else:
            state |= {"phase": "Succeeded", "finishedAt": at(self.second)}
            self.asked, self.ended_in = False, self.step

    def settle(self) -> None:
        self.healthy = True

    def push(self) -> None:
        self.branch = TARGET

    def tick(self) -> None:
        self.second += 1

    def shown(self) -> Application:
        self.version += 1
        item: Document = {
            "metadata": {"name": "web", "resourceVersion": str(self.version)},
            "spec": {"syncPolicy": {"automated": {}}},
            "status": {**self.status, "operationState": dict(self.status.get("operationState") or {})},
        }
        return parse(item | ({"operation": {"sync": {}}} if self.asked else {}))


STEPS = ("compare", "look", "work", "work", "settle", "tick")


def lived(controller: Controller, steps: list[str]) -> Iterator[Application]:
    for name in steps:
        controller.step += 1
        getattr(controller, name)()
        yield controller.shown()


@given(st.lists(st.sampled_from(STEPS), max_size=5), st.lists(st.sampled_from(STEPS), min_size=6, max_size=20))
@settings(max_examples=600, deadline=None)
def test_in_every_life_of_an_application_success_is_what_a_later_look_saw_and_comes_in_the_end(
    before: list[str], steps: list[str]
) -> None:
    controller = Controller()
    state = State(TARGET)
    for shown in lived(controller, [*before, "push", *steps]):
        earlier = state
        state = wait.observe(state, shown, relation)
        if state.phase is Phase.SUCCEEDED and not earlier.is_final:
            assert controller.applied == TARGET
            assert controller.compared_in > controller.ended_in

    # From here on Argo CD does all of its work, and the driver asks to look again when the machine wants it.
    for _round in range(12):
        again = ["compare"] if state.wants_refresh else []
        for shown in lived(controller, ["tick", *again, "work", "settle", "look"]):
            state = wait.observe(state, shown, relation)
    assert state.phase is Phase.SUCCEEDED


@given(st.permutations(range(4)))
def test_the_order_in_which_observations_arrive_does_not_make_a_success_of_what_is_none(order: list[int]) -> None:
    healthy = parse(document())
    lives = [
        replace(healthy, resource_version="1"),
        replace(healthy, resource_version="2", sync="OutOfSync"),
        replace(healthy, resource_version="3", operation_requested=True),
        replace(healthy, resource_version="4", health="Progressing"),
    ]
    state = State(TARGET)
    newest = -1
    for index in order:
        state = wait.observe(state, lives[index], relation)
        newest = max(newest, index)
        if newest > 0 and order[0] != 0:
            assert state.phase is not Phase.SUCCEEDED
