"""When a job is due next: pure functions of the wall clock.

Misfire rule: a due time is counted from the start of the last run, so however many were missed
(the machine slept, the daemon was down, the job was paused), one run makes up for all of them, and
a time of day that has had its run has no second one when the clock is put back over it.
"""

import zlib
from datetime import UTC, datetime, time, timedelta
from random import Random

from orchestrator.actors.job import Job

JITTER_SHARE = 0.05
"""Intervals vary by up to this share, so that jobs with equal intervals drift apart; batched ones do not."""
STAGGER_SHARE = 0.1
STAGGER_MAX_S = 60.0
"""At start, overdue jobs are spread over a tenth of their interval, a minute at most."""
BATCH_PRIORITY = 7
GRID_S = 900.0
"""Jobs of this priority and beyond start together at the quarter hours, so that between them is quiet."""
GRID_EARLY = timedelta(minutes=1)
"""A start so shortly before a quarter hour is meant for it: a wall clock that is being slowed lags behind
trio's clock, by less than a minute a day."""
BELIEVED = timedelta(days=1)
"""A last run that lies further ahead was noted by a clock that was wrong."""


def next_due(job: Job, last_start: datetime | None, now: datetime, rng: Random) -> datetime:
    """When `job` is due, `last_start` being the start of its latest run (None: it never ran).

    A job that never ran is due soon, a daily one too: a machine that is off at that time of day would
    never run it. For a last start in the future (the wall clock was put back) see `_anchor`.
    """
    if last_start is None:
        return now + timedelta(seconds=stagger_s(job))
    anchor = _anchor(job, last_start, now)
    if job.daily_at is not None:
        return next_daily(job.daily_at, anchor)
    if is_batched(job):
        return on_grid(anchor + timedelta(seconds=job.interval_s) + GRID_EARLY)
    return anchor + timedelta(seconds=job.interval_s * (1 - rng.uniform(0, JITTER_SHARE)))


def first_due(job: Job, last_start: datetime | None, now: datetime, rng: Random) -> datetime:
    """Like `next_due` at the start of the daemon: what is overdue is staggered, never all at once."""
    due = next_due(job, last_start, now, rng)
    return due if due > now else now + timedelta(seconds=stagger_s(job))


def latest_daily(job: Job, last_start: datetime | None, now: datetime) -> datetime:
    """No due time of a daily job lies later; else the wall clock was put back since it was reckoned."""
    assert job.daily_at is not None
    return next_daily(job.daily_at, now if last_start is None else max(now, _anchor(job, last_start, now)))


def _anchor(job: Job, last_start: datetime, now: datetime) -> datetime:
    """From when the next run counts, for a last start that may lie in the future.

    An interval begins anew, for lack of a better anchor (a running actor has one, see `Actor`). A time of
    day that has had its run is not run again, unless the clock went back by more than a day.
    """
    if job.daily_at is not None and last_start - now <= BELIEVED:
        return last_start
    return min(last_start, now)


def is_batched(job: Job) -> bool:
    """Whether the job keeps to the grid; one whose interval is hardly longer than its step does not."""
    return job.priority >= BATCH_PRIORITY and job.every_s is not None and job.every_s >= 2 * GRID_S


def on_grid(due: datetime) -> datetime:
    """The last quarter hour up to `due`: a start a little after one moves none of those that follow."""
    return datetime.fromtimestamp(due.timestamp() // GRID_S * GRID_S, UTC)


def next_daily(at: time, after: datetime) -> datetime:
    """The first moment after `after` when the clock in `at`'s zone shows `at`; a time without zone is UTC.

    A time that daylight saving skips is taken an hour later; one that comes twice, the first time.
    """
    zone = at.tzinfo or UTC
    today = after.astimezone(zone).date()
    # Yesterday's is still to come where the time that daylight saving skips is the last hour of the day.
    moments = (
        datetime.combine(today + timedelta(days=days), at.replace(tzinfo=None), zone).astimezone(UTC)
        for days in (-1, 0, 1)
    )
    return next(moment for moment in moments if moment > after)


def stagger_s(job: Job) -> float:
    """A delay for the first run: a stable hash of the name, so that every restart gives the same."""
    share = zlib.crc32(job.name.encode()) / 2**32
    return share * min(STAGGER_MAX_S, job.interval_s * STAGGER_SHARE)
