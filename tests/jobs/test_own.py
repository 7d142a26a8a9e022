"""Users' own jobs: how one is declared."""

from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog

from orchestrator.errors import SettingsError
from orchestrator.jobs import RetryRule, Run, Tools, done, job
from orchestrator.model import Outcome
from orchestrator.testing.house import open_house


async def followers(_run: Run, _tools: Tools) -> Outcome:
    return done()


def test_a_declaration_says_all_that_the_jobs_of_the_house_can_say() -> None:
    at = time(3, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    rule = RetryRule(2, 1.0)
    declared = job(
        daily_at=at,
        priority=7,
        after=["posting"],
        uses_browser=True,
        needs_database=False,
        not_in_window=True,
        retry=rule,
        max_run_s=60,
    )(followers).declaration
    assert (declared.name, declared.daily_at, declared.every_s) == ("followers", at, None)
    assert (declared.priority, declared.after, declared.retry_rule) == (7, ("posting",), rule)
    assert (declared.uses_browser, declared.needs_database, declared.not_in_window) == (True, False, True)
    assert declared.max_run_s == 60


def test_a_declaration_with_an_interval_alone_is_a_job_of_the_background() -> None:
    declared = job(every_s=900)(followers).declaration
    assert (declared.every_s, declared.priority, declared.after) == (900, 5, ())
    assert not declared.uses_browser


async def test_a_declared_function_can_still_be_called() -> None:
    declared = job(every_s=900)(followers)
    async with open_house() as house:
        run = Run("followers", 5, "schedule", 1, structlog.get_logger("test"))
        assert await declared(run, house.tools) == done()


@pytest.mark.parametrize(
    ("declaration", "error"),
    [
        ({}, "exactly one of every_s and daily_at must be given"),
        ({"every_s": 900, "daily_at": time(3)}, "exactly one of every_s and daily_at must be given"),
        ({"every_s": 0}, "every_s must be above 0"),
        ({"every_s": "900"}, "every_s must be int or float or None, not '900'"),
        ({"daily_at": "03:30"}, "daily_at must be time or None, not '03:30'"),
        ({"every_s": 900, "priority": 11}, "priority must be 0 to 10, not 11"),
        ({"every_s": 900, "priority": -1}, "priority must be 0 to 10, not -1"),
        ({"every_s": 900, "priority": True}, "priority must be int, not True"),
        ({"every_s": 900, "after": "posting"}, "after must be a tuple of names"),
        ({"every_s": 900, "after": (followers,)}, "after must be a tuple of names"),
        ({"every_s": 900, "after": None}, "after must be a tuple of names"),
        ({"every_s": 900, "uses_browser": "no"}, "uses_browser must be bool, not 'no'"),
        ({"every_s": 900, "retry": 3}, "retry must be RetryRule or None, not 3"),
        ({"every_s": 900, "max_run_s": 7200}, "max_run_s must be above 0 and at most 1800"),
    ],
)
def test_a_declaration_that_can_not_be_is_refused(declaration: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingsError, match=f"job followers: {error}"):
        job(**declaration)(followers)


async def without_tools(_run: Run) -> Outcome:
    return done()


async def Followers(_run: Run, _tools: Tools) -> Outcome:  # noqa: N802 - that is what is refused
    return done()


def not_async(_run: Run, _tools: Tools) -> Outcome:
    return done()


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (without_tools, "job without_tools: must take run and tools"),
        (not_async, "job not_async: must be an async function"),
        (Followers, "job Followers: a job's name has small letters"),
    ],
)
def test_what_is_no_function_for_a_job_is_refused(work: Any, error: str) -> None:
    with pytest.raises(SettingsError, match=error):
        job(every_s=900)(work)
