"""What was learned, through the cache: it changes once an hour and is read for each run and each screen."""

from collections.abc import Sequence
from datetime import date
from functools import partial

from orchestrator.cache.cache import Cache
from orchestrator.cache.namespace import Level, Namespace
from orchestrator.db import findings, learned, models, rollups
from orchestrator.db.findings import Standing
from orchestrator.db.learned import ArmRow
from orchestrator.db.models import Version
from orchestrator.db.pool import Database
from orchestrator.db.rollups import Sum
from orchestrator.model import fingerprint

ARMS: Namespace[list[ArmRow]] = Namespace("arms", Level.QUARTER_HOUR, list[ArmRow])
OUTCOMES: Namespace[int] = Namespace("outcomes", Level.HALF_HOUR, int)
MODELS: Namespace[list[Version]] = Namespace("models", Level.HOUR, list[Version])
FINDINGS: Namespace[list[Standing]] = Namespace("findings", Level.HALF_HOUR, list[Standing])
SUMS: Namespace[list[Sum]] = Namespace("sums", Level.FIVE_MINUTES, list[Sum])
"""Of posts' metrics."""
NAMESPACES = (ARMS, OUTCOMES, MODELS, FINDINGS, SUMS)
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


async def models_in_use(cache: Cache, database: Database, scope: str) -> list[Version]:
    """The candidate and the model that serves a site, as far as there are any. Raises DatabaseError."""

    async def read() -> list[Version]:
        return list((await database.run(models.in_use, scope)).values())

    return await cache.get_or_set(MODELS, scope, read)


async def forget_models(cache: Cache, scope: str) -> None:
    """To be called when a site's models were trained, promoted, retired or rolled back."""
    await cache.forget(MODELS, scope)


async def standing(
    cache: Cache, database: Database, sites: Sequence[str], account: str | None, limit: int
) -> list[Standing]:
    """What holds, for people, as `findings.standing` does. Raises DatabaseError."""
    name = f"{limit}/{fingerprint(' '.join(sites))}/{account or ''}"
    return await cache.get_or_set(
        FINDINGS, name, partial(database.run, findings.standing, sites, account, limit)
    )


async def forget_findings(cache: Cache) -> None:
    """To be called when a look at a site's posts has changed what holds."""
    await cache.forget_matching(FINDINGS, "*")


async def sums(cache: Cache, database: Database, accounts: Sequence[str], since: date) -> list[Sum]:
    """What posts have reached together, as `rollups.totals` does. Raises DatabaseError."""
    name = f"{since}/{fingerprint(' '.join(accounts))}"
    return await cache.get_or_set(SUMS, name, partial(database.run, rollups.totals, accounts, since))


async def forget_sums(cache: Cache) -> None:
    """To be called when posts were summed up."""
    await cache.forget_matching(SUMS, "*")
