"""Cursors: nobody but us can make one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.db.listing import Key
from orchestrator.errors import RequestError
from orchestrator.web.v1.cursor import Cursors

CURSORS = Cursors(b"a key")
FILTERS = {"job": "plan", "ending": "done"}


@pytest.mark.parametrize(
    "position", [(7,), (2**63 - 1,), (datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC), "a5–")]
)
def test_a_cursor_gives_back_its_position(position: Key) -> None:
    cursor = CURSORS.seal("runs", FILTERS, position)
    assert CURSORS.open("runs", dict(reversed(FILTERS.items())), cursor) == position
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("cursors", "listing", "filters"),
    [
        (Cursors(b"another key"), "runs", FILTERS),
        (CURSORS, "posts", FILTERS),
        (CURSORS, "runs", {"job": "plan"}),
        (CURSORS, "runs", {"job": "plan", "ending": "skipped"}),
    ],
    ids=["key", "list", "fewer filters", "another filter"],
)
def test_a_cursor_of_elsewhere_is_refused(cursors: Cursors, listing: str, filters: dict[str, Any]) -> None:
    cursor = CURSORS.seal("runs", FILTERS, (7,))
    with pytest.raises(RequestError, match="none of this list"):
        cursors.open(listing, filters, cursor)


def test_a_cursor_that_was_changed_anywhere_is_refused() -> None:
    cursor = CURSORS.seal("runs", {}, (123456,))
    for place in range(len(cursor) - 1):  # of the last character some bits say nothing
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(RequestError):
            CURSORS.open("runs", {}, changed)


@pytest.mark.parametrize("text", ["", "A", "====", "Wzdd", "%", "ü", "A" * 500, " " * 40])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        CURSORS.open("runs", {}, text)
