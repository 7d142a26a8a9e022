"""What replies have taught, site by site: what `ctl why reply_learning` adds."""

from orchestrator.db import notes
from orchestrator.errors import DatabaseError
from orchestrator.health.modes import DATABASE
from orchestrator.health.status import House
from orchestrator.learning.reply_lessons import KEEPER, LEAST_REPLIES, Lessons, key_of


async def lines(house: House) -> list[str]:
    """Sentences for each site of which there is anything to say; nothing while the database is away."""
    if house.database is None or house.checks.is_down(DATABASE):
        return []
    try:
        kept = await house.database.run(notes.recall_all, KEEPER, [key_of(site) for site in house.scopes])
    except DatabaseError as error:
        return [f"What replies have taught can't be told: {error}."]
    found = {site: Lessons.of(kept[key_of(site)]) for site in house.scopes if key_of(site) in kept}
    return [line for site, lessons in found.items() for line in _lines(site, lessons)]


def _lines(site: str, lessons: Lessons) -> list[str]:
    if lessons.replies < LEAST_REPLIES:
        return [
            f"Too few replies to learn from have settled on {site}: {lessons.replies} of {LEAST_REPLIES}."
        ]
    said = [f"{lessons.reacted} of the latest {lessons.replies} replies on {site} got a reaction."]
    for dimension, of in lessons.factors.items():
        best_first = sorted(of.items(), key=lambda pair: -pair[1].factor)
        worth = ", ".join(f"{value} ×{known.factor:.2f} ({known.replies})" for value, known in best_first)
        said.append(f"Scores of posts on {site} by their {dimension}: {worth}.")
    return said
