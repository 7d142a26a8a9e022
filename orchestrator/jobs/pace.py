"""How often accounts post, and when their next post fits: what `plan` asks before it chooses a moment."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.actors.job import Run
from orchestrator.db import pace
from orchestrator.db.findings import Effects
from orchestrator.db.pace import Judgement, Pace
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning import bandit, pacing
from orchestrator.learning.features import hours_of
from orchestrator.learning.pacing import Timetable

TAKEN = 500
"""Posts of one account, waiting or of the last days, that a new one keeps its distance from."""
BEFORE = timedelta(days=1)


async def rates(run: Run, tools: Tools, names: Sequence[str]) -> dict[str, float]:
    """Posts an hour of each of these accounts, judged anew where enough posts have ended since then."""
    settings, found = tools.settings.pacing, {}
    judged: list[Judgement] = []
    for one in await tools.database.run(pace.paces, names):
        now_per_hour = one.per_hour or settings.start_per_hour
        then = pacing.judged(now_per_hour, one.published, one.failed, settings)
        if then is None:
            # Also what was judged under other settings lies within these.
            found[one.account] = min(settings.max_per_hour, max(settings.min_per_hour, now_per_hour))
            continue
        found[one.account] = then
        judged.append(Judgement(one.account, then, _why(one)))
        if then != one.per_hour:
            run.log.info("pace_changed", account=one.account, per_hour=round(then, 2), why=_why(one))
    if judged:
        await tools.database.run(pace.store, judged, tools.fence.number, tools.clock.now())
    return found


def _why(one: Pace) -> str:
    return f"{one.published} of {one.published + one.failed} posts went out"


def timetable(
    account: Account, per_hour: float, effects: Effects, taken: Sequence[datetime], now: datetime
) -> Timetable:
    """When the account may post, by what was found of its hours, and by its other posts since `BEFORE`."""
    peaks = {
        hour
        for (kind, band), effect in effects.items()
        if kind == bandit.HOUR and effect > 0
        for hour in hours_of(band)
    }
    turns = [_turn(at, now) for at in taken]
    return Timetable(account.zone, per_hour, peaks, account.settings.posts_per_day, turns)


def _turn(at: datetime, now: datetime) -> datetime:
    """A post that is late goes out now; of those that are out, only the last day's are asked for."""
    return at if at > now - BEFORE else now
