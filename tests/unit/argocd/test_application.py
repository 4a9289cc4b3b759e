from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kustodian.argocd.application import Application, Condition, HistoryEntry, Operation, Source, parse

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=10,
)
NAMES = [
    "metadata",
    "spec",
    "status",
    "sync",
    "health",
    "revision",
    "revisions",
    "operationState",
    "syncResult",
    "resources",
    "conditions",
    "history",
    "id",
    "retryCount",
    "operation",
    "initiatedBy",
    "automated",
    "syncPolicy",
    "source",
    "sources",
    "annotations",
    "images",
    "enabled",
]
DOCUMENTS = st.recursive(
    st.one_of(JSON, st.sampled_from(["Synced", "Running", 2, 2.5, "2"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=6)
    ),
    max_leaves=40,
)


@given(DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_any_document_gives_an_application(document: object) -> None:
    found = parse(document)
    assert isinstance(found, Application)
    assert hash(found) == hash(parse(document))
    assert all(isinstance(entry.id, int) for entry in found.history)
    assert all(isinstance(revision, str) for revision in found.revisions)


def test_an_application_without_a_status_is_unknown() -> None:
    found = parse({"metadata": {"name": "web", "namespace": "argocd"}, "spec": {"project": "p"}})
    assert (found.name, found.namespace, found.project) == ("web", "argocd", "p")
    assert (found.sync, found.health, found.revisions, found.operation) == ("Unknown", "Missing", (), None)


def test_what_a_server_says_is_read() -> None:
    found = parse(
        {
            "metadata": {
                "name": "web",
                "resourceVersion": "12",
                "annotations": {"argocd.argoproj.io/refresh": "normal"},
            },
            "spec": {
                "source": {"repoURL": "r", "path": "overlays/a", "targetRevision": "main"},
                "destination": {"namespace": "web-a"},
            },
            "operation": {"sync": {}},
            "status": {
                "reconciledAt": "2026-01-01T00:00:00Z",
                "conditions": [{"type": "ComparisonError", "message": "m"}],
                "history": [{"id": 3, "revision": "abc", "deployedAt": "t", "initiatedBy": {"username": "ann"}}],
                "operationState": {
                    "phase": "Running",
                    "retryCount": 2,
                    "finishedAt": "t",
                    "operation": {"sync": {"revision": "asked"}, "initiatedBy": {"automated": True}},
                },
                "summary": {"images": ["i:1"]},
            },
        }
    )
    assert found.sources == (Source("r", "overlays/a", "main"),)
    assert (found.destination_namespace, found.resource_version, found.reconciled) == (
        "web-a",
        "12",
        "2026-01-01T00:00:00Z",
    )
    assert found.refresh_requested
    assert found.operation_requested
    assert found.conditions == (Condition("ComparisonError", "m"),)
    assert found.history == (HistoryEntry(3, ("abc",), "t", "ann"),)
    assert found.operation == Operation(
        "Running", revisions=("asked",), finished="t", retries=2, initiated_by="automated"
    )
    assert found.images == ("i:1",)


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        (None, False),
        ({}, False),
        ({"automated": None}, False),
        ({"automated": {}}, True),
        ({"automated": {"enabled": True}}, True),
        ({"automated": {"enabled": False, "prune": True}}, False),
    ],
)
def test_auto_sync_is_on_unless_it_says_no(policy: Any, want: bool) -> None:
    assert parse({"spec": {"syncPolicy": policy}}).automated is want


def test_a_part_of_an_application_is_told_from_the_whole_and_a_deletion_is_seen() -> None:
    state = {"phase": "Running", "operation": {"sync": {"resources": [{"kind": "Service", "name": "web"}]}}}
    found = parse({"metadata": {"deletionTimestamp": "t"}, "status": {"operationState": state}})
    assert (found.deleting, found.operation) == (True, Operation("Running", partial=True))
    found = parse({"status": {"operationState": {"phase": "Running", "operation": {"sync": {"resources": []}}}}})
    assert (found.deleting, found.operation) == (False, Operation("Running"))


def test_each_revision_keeps_the_index_of_its_source() -> None:
    found = parse({"status": {"sync": {"revisions": ["", None, "abc"]}}})
    assert found.revisions == ("", "", "abc")
    assert parse({"status": {"sync": {"revisions": [], "revision": "abc"}}}).revisions == ("abc",)
