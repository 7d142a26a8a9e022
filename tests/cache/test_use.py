"""How the cache is used: its hit rate in a day as the daemon has it, and what memory and people see of it."""

from random import Random
from typing import Any

import trio
import trio.testing

from bench.cache import HIT_RATE_AIM, live_a_day
from orchestrator.cache.namespace import Level, Namespace
from orchestrator.cache.store import StoreFigures
from orchestrator.health import problems
from tests.cache.house import Source, open_cache

ARMS: Namespace[Any] = Namespace("arms", Level.QUARTER_HOUR, int)
FIGURES: Namespace[Any] = Namespace("figures", Level.FIVE_MINUTES, int)
ACCOUNTS = 20
DAY_S = 86_400


async def test_a_days_hit_rate_is_above_four_fifths(autojump_clock: trio.testing.MockClock) -> None:
    """Plans every 2 h, learns every hour, reads posts every 20 min; people look now and then."""
    rng = Random(1)
    async with open_cache() as house:
        cache, source = house.cache, Source(1)

        async def read(account: str) -> None:
            await cache.get_or_set(ARMS, "site", source.read)
            await cache.get_or_set(FIGURES, "all", source.read, account=account)

        for minute in range(DAY_S // 60):
            await trio.sleep(60)
            if minute % 20 == 0:
                await cache.forget_account(f"a{minute // 20 % ACCOUNTS}")
            if minute % 60 == 0:
                await cache.forget(ARMS, "site")
            if minute % 120 == 0:  # two drafts for each account
                for number in range(2 * ACCOUNTS):
                    await read(f"a{number // 2}")
            if rng.random() < 0.2:  # somebody looks at an account for a while
                account = f"a{rng.randrange(ACCOUNTS)}"
                for _ in range(10):
                    await read(account)
    for tally in cache.tallies.values():
        assert tally.hit_rate is not None
        assert tally.hit_rate > 0.8
    hits = sum(tally.hits for tally in cache.tallies.values())
    assert hits == sum(house.count("hits_total", namespace=space) or 0 for space in cache.tallies)


async def test_what_the_daemon_keeps_itself_answers_four_fifths_of_a_days_reads(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As `make bench ARGS=cache` has it."""
    assert HIT_RATE_AIM.holds((await live_a_day()).value)


async def test_what_is_held_here_goes_when_memory_is_short() -> None:
    async with open_cache() as house:
        source = Source(1)
        await house.cache.get_or_set(ARMS, "a", source.read)
        assert house.cache.shed() == 1
        await house.cache.get_or_set(ARMS, "a", source.read)
        assert source.asked == 2


async def test_more_than_four_connections_are_a_problem_that_is_told() -> None:
    async with open_cache() as house:
        house.cache.figures = StoreFigures(connections=4)
        assert problems.of_cache(house.cache) == []
        house.cache.figures = StoreFigures(connections=5)
        [row] = problems.of_cache(house.cache)
        assert (row["name"], row["subject"], row["severity"]) == ("cache_connections", "cache", "warning")
