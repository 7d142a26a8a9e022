"""Time that passes is no change."""

import json
from typing import Any

import pytest

from orchestrator.web.feed.document import make_document
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
    waiter = {
        "holder": "learn", "lane": "high", "priority": 1, "waited_s": 2.0 + passed_s, "ahead": 0,
        "is_urgent": False, "why": "x",
    }  # fmt: skip
    return {
        "mode": "ready", "uptime_s": passed_s, "clock": {"now": f"{passed_s}", "speed": 1.0}, "pid": 1,
        "slots": [{"slot": 0, "state": "leased", "reserved_for": None, "lease": lease}],
        "queue": [waiter], "jobs": [job], "breakers": [breaker], "memory": {"daemon_bytes": 80_000_000},
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
