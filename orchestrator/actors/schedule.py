"""When a job is due next: pure functions of the wall clock.

Misfire rule: a due time is counted from the start of the last run, so however many were missed
(the machine slept, the daemon was down, the job was paused), one run makes up for all of them.
"""

import zlib
from datetime import UTC, datetime, time, timedelta
from random import Random

from orchestrator.actors.job import Job

JITTER_SHARE = 0.05
"""Intervals vary by up to this share, so that jobs with equal intervals drift apart."""
STAGGER_SHARE = 0.1
STAGGER_MAX_S = 60.0
"""At start, overdue jobs are spread over a tenth of their interval, a minute at most."""


def next_due(job: Job, last_start: datetime | None, now: datetime, rng: Random) -> datetime:
    """When `job` is due, `last_start` being the start of its latest run (None: it never ran).

    A last start in the future (the wall clock was put back) counts as now. A job that never ran is due
    soon, a daily one too: a machine that is off at that time of day would never run it.
    """
    if last_start is None:
        return now + timedelta(seconds=stagger_s(job))
    last_start = min(last_start, now)
    if job.daily_at is not None:
        return next_daily(job.daily_at, last_start)
    assert job.every_s is not None
    return last_start + timedelta(seconds=job.every_s * (1 - rng.uniform(0, JITTER_SHARE)))


def first_due(job: Job, last_start: datetime | None, now: datetime, rng: Random) -> datetime:
    """Like `next_due` at the start of the daemon: what is overdue is staggered, never all at once."""
    due = next_due(job, last_start, now, rng)
    return due if due > now else now + timedelta(seconds=stagger_s(job))


def latest_due(job: Job, now: datetime) -> datetime:
    """No due time lies later; one that does was reckoned before the wall clock was put back."""
    if job.daily_at is not None:
        return next_daily(job.daily_at, now)
    assert job.every_s is not None
    return now + timedelta(seconds=job.every_s)


def next_daily(at: time, after: datetime) -> datetime:
    """The first moment after `after` when the clock in `at`'s zone shows `at`.

    A time that daylight saving skips is taken an hour later; one that comes twice, the first time.
    """
    zone = at.tzinfo or UTC
    local = after.astimezone(zone)
    candidate = datetime.combine(local.date(), at.replace(tzinfo=None), zone)
    if candidate.astimezone(UTC) <= after.astimezone(UTC):
        candidate = datetime.combine(local.date() + timedelta(days=1), at.replace(tzinfo=None), zone)
    return candidate.astimezone(UTC)


def stagger_s(job: Job) -> float:
    """A delay for the first run: a stable hash of the name, so that every restart gives the same."""
    share = zlib.crc32(job.name.encode()) / 2**32
    every_s = job.every_s or 86_400.0
    return share * min(STAGGER_MAX_S, every_s * STAGGER_SHARE)
