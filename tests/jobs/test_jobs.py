"""The list of all jobs: their names, order and needs, and how settings change them."""

from collections.abc import Mapping
from datetime import UTC, time
from itertools import pairwise
from typing import cast

import pytest

from orchestrator.actors.graph import downstream_of
from orchestrator.actors.job import Job
from orchestrator.errors import SettingsError
from orchestrator.jobs import alert_delivery, all_jobs, with_settings
from orchestrator.model import CheckResult, Outcome, done
from orchestrator.settings import JobSettings
from tests.jobs.house import House

OFF = JobSettings(enabled=False)


async def keep() -> Outcome:
    return done()


async def look() -> list[CheckResult]:
    return []


@pytest.fixture
def listed(house: House) -> list[Job]:
    return all_jobs(house.tools, look, keep, cast("alert_delivery.AlertTools", None))


def changed(listed: list[Job], settings: Mapping[str, JobSettings]) -> dict[str, Job]:
    return {job.name: job for job in with_settings(listed, settings)}


async def test_success_goes_from_plan_to_posting_to_metrics_to_learning(listed: list[Job]) -> None:
    downstream = downstream_of(listed)
    way = ["plan", "posting", "metrics_scraper", "learn"]
    for upstream, follower in pairwise(way):
        assert follower in downstream[upstream]


async def test_what_was_measured_is_summed_up_and_then_judged(listed: list[Job]) -> None:
    downstream = downstream_of(listed)
    assert "analytics" in downstream["metrics_scraper"]
    assert downstream["analytics"] == ("expert_analysis",)


async def test_what_was_harvested_is_reviewed_and_then_answered(listed: list[Job]) -> None:
    downstream = downstream_of(listed)
    way = ["account_discovery", "harvester", "opportunity_review", "reply_posting"]
    for upstream, follower in pairwise(way):
        assert follower in downstream[upstream]


async def test_what_publishes_is_critical_and_pages_are_visited_by_eleven_jobs(listed: list[Job]) -> None:
    assert [job.name for job in listed if job.priority == 0] == ["posting", "reply_posting"]
    visitors = {job.name for job in listed if job.uses_browser}
    on_their_own = {"session_keeper", "onboarding", "follower_snapshot"}
    readers = {"account_discovery", "harvester", "scrape_priority", "scrape_background"}
    assert (
        visitors == {"posting", "reply_posting", "metrics_scraper", "reconciliation"} | on_their_own | readers
    )


async def test_what_publishes_is_tried_again_after_1_2_and_4_seconds_and_plan_after_2_4_and_8(
    listed: list[Job],
) -> None:
    """A2.4; each is the upper bound of a full-jitter delay."""
    rules = {job.name: job.retry_rule for job in listed if job.retry_rule.retries == 3}
    bounds = {name: [rule.bound_s(n) for n in (1, 2, 3)] for name, rule in rules.items()}
    assert bounds == {"posting": [1, 2, 4], "reply_posting": [1, 2, 4], "plan": [2, 4, 8]}


async def test_a_run_of_posting_ends_long_before_a_post_counts_as_stuck(
    house: House, listed: list[Job]
) -> None:
    for job in listed:
        if job.priority == 0:
            assert job.max_run_s * 2 < house.tools.settings.posting.stuck_s


async def test_a_job_that_is_switched_off_is_waited_for_by_none(listed: list[Job]) -> None:
    jobs = changed(listed, {"posting": OFF})
    assert "posting" not in jobs
    assert jobs["metrics_scraper"].after == ()
    assert jobs["learn"].after == ("metrics_scraper",)
    downstream_of(jobs.values())


async def test_every_job_can_be_switched_off_alone(listed: list[Job]) -> None:
    for job in listed:
        assert job.name not in downstream_of(changed(listed, {job.name: OFF}).values())


async def test_a_job_without_anything_to_do_is_left_out_and_may_be_named_in_the_settings(
    listed: list[Job],
) -> None:
    jobs = with_settings(listed, {"reply_posting": JobSettings(every_s=60)}, ["reply_posting"])
    assert [job.name for job in jobs] == [job.name for job in listed if job.name != "reply_posting"]


async def test_an_interval_and_a_time_of_day_replace_each_other(listed: list[Job]) -> None:
    jobs = changed(listed, {"plan": JobSettings(every_s=60), "learn": JobSettings(daily_at="03:30")})
    assert (jobs["plan"].every_s, jobs["plan"].daily_at) == (60, None)
    assert (jobs["learn"].every_s, jobs["learn"].daily_at) == (None, time(3, 30, tzinfo=UTC))


async def test_a_name_that_is_no_job_is_refused_with_the_names_there_are(listed: list[Job]) -> None:
    with pytest.raises(SettingsError, match=r"jobs\.postng: there is no such job") as caught:
        with_settings(listed, {"postng": OFF})
    assert "posting" in caught.value.remedy


async def test_without_changes_the_jobs_are_as_they_were_declared(listed: list[Job]) -> None:
    assert with_settings(listed, {}) == listed
