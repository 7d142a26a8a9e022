import math
from datetime import UTC, time
from zoneinfo import ZoneInfo

import pytest

from orchestrator.errors import SettingsError
from orchestrator.retry import HIGH, RetryRule
from orchestrator.settings import JobSettings
from tests.fakes import a_job


@pytest.mark.parametrize("timing", [{"every_s": None}, {"every_s": 60.0, "daily_at": time(3, tzinfo=UTC)}])
def test_a_job_needs_exactly_one_of_interval_and_time_of_day(timing: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="job plan: exactly one of every_s and daily_at"):
        a_job("plan", **timing)  # type: ignore[arg-type]


@pytest.mark.parametrize("every_s", [0.0, -1.0, 1e12, math.inf, math.nan])
def test_an_interval_that_makes_no_sense_is_refused_by_name(every_s: float) -> None:
    with pytest.raises(SettingsError, match="job plan: every_s must be above 0"):
        a_job("plan", every_s=every_s)


def test_a_job_without_settings_keeps_its_timing() -> None:
    job = a_job(every_s=300.0)
    assert job.with_settings(JobSettings()) == job


def test_an_interval_in_the_settings_takes_the_place_of_either_timing() -> None:
    settings = JobSettings(every_s=60)
    assert a_job(every_s=300.0).with_settings(settings).every_s == 60
    changed = a_job(daily_at=time(3, tzinfo=UTC)).with_settings(settings)
    assert (changed.every_s, changed.daily_at) == (60, None)


def test_a_time_of_day_in_the_settings_is_utc_and_takes_the_place_of_an_interval() -> None:
    changed = a_job(every_s=300.0).with_settings(JobSettings(daily_at="03:15"))
    assert (changed.every_s, changed.daily_at) == (None, time(3, 15, tzinfo=UTC))


def test_a_time_of_day_may_have_a_time_zone() -> None:
    changed = a_job().with_settings(JobSettings(daily_at="03:15", time_zone="Europe/Berlin"))
    assert changed.daily_at == time(3, 15, tzinfo=ZoneInfo("Europe/Berlin"))
    assert changed.daily_at.tzinfo == ZoneInfo("Europe/Berlin")
    assert changed.interval_s == 86_400


@pytest.mark.parametrize("max_run_s", [0.0, 1800.1, math.inf, math.nan])
def test_no_job_may_run_longer_than_half_an_hour(max_run_s: float) -> None:
    with pytest.raises(SettingsError) as caught:
        a_job("plan", max_run_s=max_run_s)
    assert str(caught.value) == (f"job plan: max_run_s must be above 0 and at most 1800, not {max_run_s:g}")


def test_half_an_hour_itself_is_allowed() -> None:
    assert a_job(max_run_s=1800.0).max_run_s == 1800


def test_a_job_without_a_retry_rule_has_the_preset_of_its_priority() -> None:
    assert a_job(priority=1, retry=None).retry_rule == HIGH
    assert a_job(priority=1, retry=RetryRule(3, 2.0)).retry_rule == RetryRule(3, 2.0)
