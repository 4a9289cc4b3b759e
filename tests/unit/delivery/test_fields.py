"""The fields in which two documents differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kustodian.delivery.fields import ABSENT, Change, changes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab.", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("live", "git", "want"),
    [
        ({"spec": {"replicas": 5}}, {"spec": {"replicas": 3}}, Change("spec.replicas", 5, 3)),
        ({"a": 1}, {}, Change("a", 1, ABSENT)),
        ({}, {"a": {"b": 1}}, Change("a", ABSENT, {"b": 1})),
        ({"a": None}, {}, Change("a", None, ABSENT)),
        ({"a": True}, {"a": 1}, Change("a", True, 1)),
        ({"a": {"b.c/d": "x"}}, {"a": {"b.c/d": "y"}}, Change('a["b.c/d"]', "x", "y")),
        ({"args": ["x", "y"]}, {"args": ["x"]}, Change("args[1]", "y", ABSENT)),
        ({"a": [{"name": "c", "image": 1}]}, {"a": [{"name": "c", "image": 2}]}, Change("a[c].image", 1, 2)),
        (
            {"ports": [{"containerPort": 80}, {"containerPort": 81}]},
            {"ports": [{"containerPort": 81}]},
            Change("ports[80]", {"containerPort": 80}, ABSENT),
        ),
        (
            {"a": [{"name": "c"}, {"name": "d"}]},
            {"a": [{"name": "d"}, {"name": "c"}]},
            Change("a[]", ["c", "d"], ["d", "c"]),
        ),
        ({"a": {}}, {"a": []}, Change("a", {}, [])),
    ],
)
def test_one_field_differs(live: Any, git: Any, want: Change) -> None:
    assert list(changes(live, git)) == [want]


def test_an_item_that_was_put_in_front_moves_no_other() -> None:
    live = {"env": [{"name": "EXTRA", "value": "1"}, {"name": "A", "value": "1"}]}
    git = {"env": [{"name": "A", "value": "2"}]}
    assert [change.path for change in changes(live, git)] == ["env[EXTRA]", "env[A].value"]


@given(VALUES)
def test_a_document_does_not_differ_from_itself(value: Any) -> None:
    assert list(changes(value, value)) == []


@given(VALUES, VALUES)
def test_documents_that_differ_are_told_apart_both_ways(one: Any, other: Any) -> None:
    there, back = list(changes(one, other)), list(changes(other, one))
    assert {(change.path, repr(change.live), repr(change.git)) for change in there} == {
        (change.path, repr(change.git), repr(change.live)) for change in back
    }
    if repr(one) != repr(other) and one != other:
        assert there
