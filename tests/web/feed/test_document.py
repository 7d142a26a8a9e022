"""Time that passes is no change."""

import json
from typing import Any

import pytest

from orchestrator.web.feed.document import as_status, make_document, steady
from orchestrator.web.feed.patch import diff

NOW = 1_800_000_000.0


def status(passed_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """A status document so many seconds later."""
    lease = {
        "id": 7, "holder": "plan", "lane": "high", "priority": 1,
        "held_s": 3.02 + passed_s, "left_s": 60.0 - passed_s,
        "max_hold_s": 63.0, "is_borrowed": False, "is_called_back": False, "is_late": False,
        "called_back_for": None, "is_leaving": False, "is_broken": False,
    }  # fmt: skip
    job = {
        "name": "plan", "state": "running", "overdue_s": passed_s,
        "beat": {"said": "1 of 3", "ago_s": 1.0 + passed_s},
        "why": f"Runs now, because of: schedule. It said “1 of 3” {1 + passed_s:.0f} s ago.",
    }  # fmt: skip
    breaker = {
        "name": "site:a",
        "state": "open",
        "in_state_s": 5.0 + passed_s,
        "next_probe_in_s": 25.0 - passed_s,
    }
    none = {"held_s": None, "left_s": None, "in_s": None, "then": ""}
    first = none | {"said": "1 in the queue goes first (a)"}
    others = (
        none | {"said": "plan holds slot 0", "held_s": 3.02 + passed_s, "left_s": 60.0 - passed_s},
        none | {"said": "it takes a slot", "in_s": 20.0 - passed_s, "then": "x"},
    )
    waiter = {
        "holder": "learn", "lane": "high", "priority": 1, "waited_s": 2.0 + passed_s, "ahead": 0,
        "is_urgent": False, "why": f"plan holds slot 0 for {3 + passed_s:.0f} s",
        "reasons": [first, *others],
    }  # fmt: skip
    queued = {
        "name": "learn", "state": "queued", "overdue_s": 0.0, "beat": None,
        "why": f"Has waited {2 + passed_s:.1f} s for a slot in lane high: plan holds slot 0.",
    }  # fmt: skip
    return {
        "mode": "ready", "uptime_s": passed_s, "clock": {"now": f"{passed_s}", "speed": 1.0}, "pid": 1,
        "slots": [{"slot": 0, "state": "leased", "reserved_for": None, "lease": lease}],
        "queue": [waiter], "jobs": [job, queued], "breakers": [breaker],
        "memory": {"daemon_bytes": 80_000_000},
        "checks": [{"name": "disk", "state": "up", "duration_s": 0.01 * passed_s}], "shedding": None,
        "problems": [], **more,
    }  # fmt: skip


@pytest.mark.parametrize("passed_s", [0.3, 1.0, 17.0])
def test_seconds_that_pass_change_nothing(passed_s: float) -> None:
    before = make_document(status(), NOW)
    later = make_document(status(passed_s), NOW + passed_s)
    before["jobs"]["plan"].pop("is_overdue")  # which it became
    later["jobs"]["plan"].pop("is_overdue")
    assert diff(before, later) == {}


def test_what_happens_to_one_row_is_a_change_of_that_row() -> None:
    before = make_document(status(), NOW)
    after = make_document(status(mode="degraded"), NOW)
    assert diff(before, after) == {"mode": "degraded"}
    assert json.loads(json.dumps(after)) == after


def test_moments_stand_for_ages() -> None:
    document = make_document(status(), NOW)
    assert document["slots"]["0"]["lease"]["since"] == pytest.approx(NOW - 3.0, abs=0.051)
    assert document["slots"]["0"]["lease"]["until"] == pytest.approx(NOW + 60.0, abs=0.051)
    assert document["breakers"]["site:a"]["next_probe_at"] == pytest.approx(NOW + 25.0, abs=0.051)
    assert document["jobs"]["plan"]["why"] == "Runs now, because of: schedule."


def test_what_a_waiter_waits_for_has_moments_instead_of_ages() -> None:
    document = make_document(status(), NOW)
    assert document["queue"]["learn"]["reasons"] == [
        {"said": "1 in the queue goes first (a)"},
        {"said": "plan holds slot 0", "since": NOW - 3.0, "until": NOW + 60.0},
        {"said": "it takes a slot", "at": NOW + 20.0, "then": "x"},
    ]
    assert "why" not in document["queue"]["learn"]
    assert "why" not in document["jobs"]["learn"]


def test_two_rows_of_one_name_are_both_there() -> None:
    twice = status()["queue"] * 2
    document = make_document(status(queue=twice), NOW)
    assert list(document["queue"]) == ["learn", "learn #2"]


def test_a_moment_that_was_worked_out_anew_stays_as_it_was() -> None:
    before = make_document(status(), NOW)
    for late_s in (0.03, 0.06, 0.09):  # what a busy machine puts between a look at the clock and the next
        again = steady(before, make_document(status(), NOW + late_s))
        assert diff(before, again) == {}
    assert diff(before, steady(before, make_document(status(), NOW + 1))) != {}


def test_the_status_document_can_be_made_of_it_again_as_it_is_by_now() -> None:
    clock = {"speed": 2.0, "real_epoch": NOW, "shown_epoch": NOW}
    back = as_status(make_document(status(), NOW) | {"clock": clock}, NOW + 5)
    then = status(5.0)
    [slot], [waiter], [breaker] = back["slots"], back["queue"], back["breakers"]
    assert slot["lease"]["held_s"] == pytest.approx(then["slots"][0]["lease"]["held_s"], abs=0.06)
    assert slot["lease"]["left_s"] == pytest.approx(then["slots"][0]["lease"]["left_s"], abs=0.06)
    assert slot["lease"]["max_hold_s"] == pytest.approx(63.0, abs=0.11)
    assert waiter["waited_s"] == pytest.approx(7.0, abs=0.06)
    assert waiter["why"] == (
        "1 in the queue goes first (a); plan holds slot 0 for 8 s, 55 s at most to go; "
        "in 15 s it takes a slot, x"
    )
    assert (breaker["in_state_s"], breaker["next_probe_in_s"]) == pytest.approx((10.0, 20.0), abs=0.06)
    assert [job["name"] for job in back["jobs"]] == ["plan", "learn"]
    assert back["jobs"][0]["beat"]["ago_s"] == pytest.approx(6.0, abs=0.06)
    assert back["clock"] == {"now": "2027-01-15T08:00:10+00:00", "speed": 2.0}
