"""How often posts are looked at, site by site: what `ctl why metrics_scraper` adds."""

from orchestrator.db import notes
from orchestrator.errors import DatabaseError
from orchestrator.health.modes import DATABASE
from orchestrator.health.status import House
from orchestrator.jobs import metrics_scraper
from orchestrator.jobs.slowdown import MIN_PAGES, Slowdown, key_of


async def lines(house: House) -> list[str]:
    """A sentence for each site; nothing while the database is away."""
    if house.database is None or house.checks.is_down(DATABASE):
        return []
    found = []
    for site in house.scopes:
        try:
            kept = await house.database.run(notes.recall, metrics_scraper.NAME, key_of(site))
        except DatabaseError as error:
            return [f"How often pages of {site} are read can't be told: {error}."]
        found.append(_line(site, Slowdown() if kept is None else Slowdown(**kept)))
    return found


def _line(site: str, one: Slowdown) -> str:
    if not one.judged:
        needed = f"{MIN_PAGES} pages are needed to judge"
        return f"Posts on {site} are looked at as often as their age says; {needed}."
    often = "as often as their age says" if one.factor == 1 else f"{one.factor:.2f} times as seldom"
    since = f"; {one.read} of {one.read + one.failed} since then" if one.read + one.failed else ""
    return f"Posts on {site} are looked at {often}: {one.judged}{since}."
