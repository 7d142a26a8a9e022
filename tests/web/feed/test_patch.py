"""Patches turn one document into the next, whatever the two are."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.web.feed.patch import apply, diff, without_nulls

scalars = st.booleans() | st.integers() | st.text(max_size=4)
values = st.recursive(
    scalars | st.lists(scalars, max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=5,
)
documents = st.dictionaries(st.text(max_size=2), values, max_size=5)


@settings(max_examples=60, deadline=None)
@given(documents, documents)
def test_a_patch_makes_the_one_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert apply(before, diff(before, after)) == after


@settings(max_examples=30, deadline=None)
@given(documents)
def test_equal_documents_have_nothing_between_them(document: dict[str, Any]) -> None:
    assert diff(document, document) == {}


def test_only_what_changed_is_in_the_patch() -> None:
    before = {
        "jobs": {"plan": {"state": "waiting", "why": "x"}, "learn": {"state": "waiting"}},
        "mode": "ready",
    }
    after = {
        "jobs": {"plan": {"state": "running", "why": "x"}, "learn": {"state": "waiting"}},
        "mode": "ready",
    }
    assert diff(before, after) == {"jobs": {"plan": {"state": "running"}}}


def test_a_null_is_no_value() -> None:
    assert without_nulls({"a": None, "b": {"c": None, "d": [None, 1]}}) == {"b": {"d": [None, 1]}}
