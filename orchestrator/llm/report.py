"""What is spent and what fails, as people are told it (A3.3)."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from orchestrator.clock import Clock
from orchestrator.db import spending
from orchestrator.db.pool import Database
from orchestrator.db.spending import Report, Spent
from orchestrator.errors import PartyUnavailableError
from orchestrator.llm.model import LanguageModel

PERIOD = timedelta(days=7)
"""So far back a report looks."""
MIN_FAILURES = 5
"""Fewer in one hour of the day, or beside one job, may be chance."""
FACTOR = 2.0
"""So many times as often as else is a pattern."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Failures that come together with something."""

    subject: str
    """The hour or job, such as "hour 03"."""
    text: str


def patterns(report: Report) -> list[Pattern]:
    """Hours of the day, and jobs, with which calls fail at least twice as often as without them."""
    calls, failed = sum(one.calls for one in report.by_hour), sum(one.failed for one in report.by_hour)
    found = [
        (f"hour {one.what}", f"from {one.what}:00 to {one.what}:59 UTC", one.failed, one.calls,
         failed - one.failed, calls - one.calls)
        for one in report.by_hour
    ] + [
        (f"job {one.job}", f"while {one.job} ran", one.failed, one.calls, one.other_failed, one.other_calls)
        for one in report.beside
    ]  # fmt: skip
    return [
        Pattern(subject, f"{when} {failed} of {calls} calls failed, else {other_failed} of {other_calls}")
        for subject, when, failed, calls, other_failed, other_calls in found
        if _is_pattern(failed, calls, other_failed, other_calls)
    ]


def _is_pattern(failed: int, calls: int, other_failed: int, other_calls: int) -> bool:
    if failed < MIN_FAILURES or not other_calls:
        return False
    return failed / calls >= FACTOR * other_failed / other_calls


async def document(model: LanguageModel | None, database: Database, clock: Clock) -> dict[str, Any]:
    """For `ctl budget`; plain data. Raises DatabaseError."""
    if model is None:
        return {"is_set": False}
    standing = await model.standing()
    report = await database.run(spending.report, clock.now() - PERIOD)
    try:
        said = await model.look()
        is_out = False
    except PartyUnavailableError as error:
        said, is_out = error.line(), True
    tier = standing.tier
    return {
        "is_set": True,
        "is_out": is_out,
        "said": said,
        "budget": _figure(standing.budget),
        "left": _figure(standing.left),
        "left_share": round(standing.left_share, 4),
        "tier": tier.name,
        "model": model.settings.model(is_large=tier.is_large).name,
        "posts_a_run": tier.posts,
        "pause_s": tier.pause.total_seconds(),
        "days": PERIOD.days,
        "by_operation": [_row(one) for one in report.by_operation],
        "by_hour": [_row(one) for one in report.by_hour],
        "failures": [{"kind": kind, "count": count} for kind, count in report.failures],
        "patterns": [pattern.text for pattern in patterns(report)],
    }


def _row(one: Spent) -> dict[str, Any]:
    return {"what": one.what, "calls": one.calls, "failed": one.failed, "cost": _figure(one.cost)}


def _figure(value: Decimal) -> float:
    return round(float(value), 6)
