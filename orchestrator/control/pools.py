"""How full the pools of opportunities are, site by site: what `ctl why harvester` adds."""

from datetime import datetime

from orchestrator.db import notes
from orchestrator.errors import DatabaseError
from orchestrator.health.modes import DATABASE
from orchestrator.health.problems import iso
from orchestrator.health.status import House
from orchestrator.learning.pool import KEEPER, Level, key_of


async def lines(house: House) -> list[str]:
    """A sentence for each site that has a pool; nothing while the database is away."""
    if house.database is None or house.checks.is_down(DATABASE):
        return []
    try:
        kept = await house.database.run(notes.recall_all, KEEPER, [key_of(site) for site in house.scopes])
    except DatabaseError as error:
        return [f"How full the pools are can't be told: {error}."]
    levels = [(site, Level.of(kept.get(key_of(site)))) for site in house.scopes]
    return [_line(site, level, house.clock.now()) for site, level in levels if level.history]


def _line(site: str, level: Level, now: datetime) -> str:
    said = f"{level.count} of {level.target} opportunities are open on {site}"
    if level.count >= level.target:
        return f"{said}: it is not read until some are used or too old."
    minutes = level.every.total_seconds() / 60
    often = f"while there are so many it is read every {minutes:.0f} min"
    if level.harvested_at is None:
        return f"{said}; {often}, and was never yet."
    when = "now" if level.is_due(now) else f"at {level.harvested_at + level.every:%H:%M:%S}"
    return f"{said}; {often}, last at {iso(level.harvested_at)}, next {when}."
