"""From what happened to figures."""

import json

import pytest

from orchestrator.simulate.figures import percentile
from tests.simulate.loads import a_job, figures, of_job

FIRST = a_job("first", 90, at="00:10")
SECOND = a_job("second", 30, at="00:11", priority=1)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.95, 4), (1.0, 4)])
def test_a_percentile_is_one_of_the_values_that_there_are(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == value


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.5) == 0


def test_waits_and_use_are_told_by_lane() -> None:
    made = figures(FIRST, SECOND)
    critical, high, background = made.lanes
    assert (critical.waits.count, high.waits.count, background.waits.count) == (0, 1, 1)
    assert high.waits.max_s == pytest.approx(30, abs=1e-3)
    assert [high.use, background.use] == pytest.approx([30 / 3600, 90 / 3600])
    assert made.use == pytest.approx(120 / 3600)


def test_the_queue_is_told_as_its_depth_over_time() -> None:
    made = figures(FIRST, SECOND)
    assert made.deepest == 1
    assert made.mean_depth == pytest.approx(30 / 3600)
    width_s = 3600 / len(made.curves[1].depth)
    assert sum(made.curves[1].depth) * width_s == pytest.approx(30)
    assert sum(made.curves[2].use) * width_s == pytest.approx(90)
    assert all(0 <= use <= 1 + 1e-9 for curve in made.curves for use in curve.use)


def test_one_who_leaves_the_queue_is_gone_before_one_who_comes_then() -> None:
    jobs = [a_job("a", 60, at="00:10"), a_job("b", 60, at="00:10"), a_job("c", 60, at="00:11")]
    assert figures(*jobs).deepest == 1


def test_a_run_is_late_a_minute_after_it_was_due() -> None:
    in_time = figures(a_job("first", 90, at="00:10"), SECOND)
    late = figures(a_job("first", 150, at="00:10"), SECOND)
    assert (of_job(in_time, "second").late, of_job(late, "second").late) == (0, 1)
    assert of_job(late, "second").latest_s == pytest.approx(90, abs=1e-3)


def test_a_run_is_missed_for_every_interval_that_passes_before_it_begins() -> None:
    # Wanted every 100 s and kept waiting for 1,000 s: due in the first 100 of them, so late by over 900.
    holder = a_job("holder", 1000, at="00:10", priority=0)
    made = figures(holder, a_job("often", 1, every_s=100), max_hold_s=1800)
    assert of_job(made, "often").missed == 9


def test_leases_that_end_early_count_as_lost() -> None:
    jobs = [a_job("long", 180, at="00:10"), a_job("critical", 30, at="00:12", priority=0)]
    made = figures(*jobs, critical_wait_s=60, grace_s=15, cleanup_s=15)
    background = made.lanes[2].leases
    assert (background.called_back, background.revoked, background.expired) == (1, 1, 0)
    assert background.lost_s == pytest.approx(165)


def test_jobs_are_listed_by_priority() -> None:
    made = figures(FIRST, SECOND, a_job("another", 1, at="00:20", priority=1))
    assert [job.job for job in made.jobs] == ["another", "second", "first"]


def test_the_document_is_json() -> None:
    document = json.loads(json.dumps(figures(FIRST, SECOND).document()))
    assert document["lanes"][1]["waits"]["count"] == 1
    assert [job["job"] for job in document["jobs"]] == ["second", "first"]
