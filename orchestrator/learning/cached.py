"""What was learned, through the cache: it changes once an hour and is read for each draft and each screen."""

from collections.abc import Sequence
from functools import partial

from orchestrator.cache.cache import Cache
from orchestrator.cache.namespace import Level, Namespace
from orchestrator.db import findings, learned
from orchestrator.db.learned import ArmRow
from orchestrator.db.pool import Database

ARMS: Namespace[list[ArmRow]] = Namespace("arms", Level.QUARTER_HOUR, list[ArmRow])
OUTCOMES: Namespace[int] = Namespace("outcomes", Level.HALF_HOUR, int)
EFFECTS: Namespace[list[tuple[str, str, float]]] = Namespace(
    "effects", Level.HALF_HOUR, list[tuple[str, str, float]]
)
"""Kind, subject and effect of the findings that hold."""
ALL = "all"


async def arms(cache: Cache, database: Database, scope: str) -> list[ArmRow]:
    """All arms of a site that were ever tried. Raises DatabaseError."""
    return await cache.get_or_set(ARMS, scope, partial(database.run, learned.arms, scope))


async def count_outcomes(cache: Cache, database: Database) -> int:
    """Of all sites. Raises DatabaseError."""
    return await cache.get_or_set(OUTCOMES, ALL, partial(database.run, learned.count_outcomes))


async def forget_learned(cache: Cache, scope: str) -> None:
    """To be called when something new was learned of a site."""
    await cache.forget(ARMS, scope)
    await cache.forget(OUTCOMES, ALL)


async def effects(
    cache: Cache, database: Database, site: str, account: str, kinds: Sequence[str]
) -> dict[tuple[str, str], float]:
    """What findings say of an account, as `findings.effects` does. Raises DatabaseError."""

    async def read() -> list[tuple[str, str, float]]:
        found = await database.run(findings.effects, site, account, kinds)
        return [(*what, effect) for what, effect in found.items()]

    found = await cache.get_or_set(EFFECTS, f"{site}/{account}/{','.join(kinds)}", read)
    return {(kind, subject): effect for kind, subject, effect in found}


async def forget_effects(cache: Cache, site: str) -> None:
    """To be called when a look at a site's posts has changed what holds."""
    await cache.forget_matching(EFFECTS, f"{site}/*")
