"""What holds of the cache wherever its values are."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
import trio.testing

from orchestrator.cache.cache import MAX_NAMESPACES
from orchestrator.cache.namespace import Level, Namespace
from orchestrator.errors import CacheValueError, SiteUnavailableError
from tests.cache.house import CacheHouse, Source, open_cache
from tests.redis_server import RedisServer

ANYTHING: Namespace[Any] = Namespace("anything", Level.FIVE_MINUTES, Any)
OTHERS: Namespace[Any] = Namespace("others", Level.HOUR, Any)


@pytest.fixture(params=["memory", "redis"])
async def house(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[CacheHouse]:
    if request.param == "redis":
        await redis.start()
    async with open_cache(redis.url if request.param == "redis" else None) as opened:
        yield opened


async def test_what_was_computed_is_found_again(house: CacheHouse) -> None:
    source = Source({"likes": 3})
    for _ in range(3):
        assert await house.cache.get_or_set(ANYTHING, "a", source.read) == {"likes": 3}
    assert source.asked == 1
    assert house.count("hits_total", namespace="anything") == 2
    assert house.count("misses_total", namespace="anything") == 1
    assert house.cache.tallies["anything"].hit_rate == pytest.approx(2 / 3)


async def test_names_accounts_and_namespaces_are_kept_apart(house: CacheHouse) -> None:
    odd = ["a", "A", "a:b", "*", "a*", "[a]", "ä \n", "%2A", "\\", "\x00"]
    places = [
        (space, name, account) for space in (ANYTHING, OTHERS) for name in odd for account in ["", *odd]
    ]
    for place in places:
        space, name, account = place
        source = Source(f"{space.name} {name} {account}")
        assert await house.cache.get_or_set(space, name, source.read, account=account) == source.value
    for space, name, account in places:
        source = Source("computed anew")
        found = await house.cache.get_or_set(space, name, source.read, account=account)
        assert found == f"{space.name} {name} {account}"


async def test_of_many_who_miss_at_once_one_computes(house: CacheHouse) -> None:
    source, found = Source([1]), list[Any]()
    source.gate = trio.Event()

    async def ask() -> None:
        found.append(await house.cache.get_or_set(ANYTHING, "a", source.read))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask)
        await source.begun.wait()
        await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
    assert source.asked == 1
    assert found == [[1]] * 50
    found[0].append(2)
    assert found[1] == [1], "each has a value of his own"
    assert house.count("misses_total", namespace="anything") == 1
    assert house.count("hits_total", namespace="anything") == 49


async def test_when_the_one_who_computes_is_cancelled_another_does(house: CacheHouse) -> None:
    source, found, scopes, leaders = Source(7), list[Any](), list[trio.CancelScope](), list[int]()
    source.gate = trio.Event()

    async def ask(number: int) -> None:
        async def read() -> object:
            leaders.append(number)
            return await source.read()

        with scopes[number]:
            found.append(await house.cache.get_or_set(ANYTHING, "a", read))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            scopes.append(trio.CancelScope())
            nursery.start_soon(ask, number)
        for _ in range(3):
            await source.begun.wait()
            source.begun = trio.Event()
            await trio.testing.wait_all_tasks_blocked()
            scopes[leaders[-1]].cancel()
        await source.begun.wait()
        source.gate.set()
    assert len(set(leaders)) == 4
    assert found == [7, 7]


async def test_a_waiter_who_is_cancelled_ends_alone(house: CacheHouse) -> None:
    source, found = Source(7), list[Any]()
    source.gate = trio.Event()

    async def ask() -> None:
        found.append(await house.cache.get_or_set(ANYTHING, "a", source.read))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await source.begun.wait()
        with trio.CancelScope() as scope:
            scope.cancel()
            await ask()
        source.gate.set()
    assert found == [7]
    assert source.asked == 1


async def test_an_error_reaches_everyone_who_waits_and_is_not_kept(house: CacheHouse) -> None:
    source, errors = Source(SiteUnavailableError("no answer")), list[Exception]()
    source.gate = trio.Event()

    async def ask() -> None:
        try:
            await house.cache.get_or_set(ANYTHING, "a", source.read)
        except SiteUnavailableError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
        await source.begun.wait()
        await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
    assert len(errors) == 5
    assert source.asked == 1
    source.value = 8
    assert await house.cache.get_or_set(ANYTHING, "a", source.read) == 8


async def test_what_computes_a_value_may_ask_for_others_and_not_for_itself(house: CacheHouse) -> None:
    async def outer() -> object:
        return await house.cache.get_or_set(ANYTHING, "inner", Source(1).read)

    assert await house.cache.get_or_set(ANYTHING, "outer", outer) == 1

    async def itself() -> object:
        return await house.cache.get_or_set(ANYTHING, "itself", itself)

    with pytest.raises(RuntimeError, match="asks the cache for"):
        await house.cache.get_or_set(ANYTHING, "itself", itself)


async def test_a_value_is_forgotten_by_its_name(house: CacheHouse) -> None:
    await fill(house)
    await house.cache.forget(ANYTHING, "x1", account="ada")
    assert await kept(house) == ALL - {("anything", "x1", "ada")}


async def test_values_are_forgotten_by_account(house: CacheHouse) -> None:
    await fill(house)
    await house.cache.forget_account("ada")
    assert await kept(house) == {place for place in ALL if place[2] != "ada"}


async def test_values_are_forgotten_by_a_pattern_of_their_names(house: CacheHouse) -> None:
    await fill(house)
    await house.cache.forget_matching(ANYTHING, "x*")
    assert await kept(house) == {place for place in ALL if place[0] == "others" or place[1] == "y"}


NAMES, ACCOUNTS = ("x1", "x2", "y", "x1:ada:"), ("", "ada", "adalbert", "a*", "ad?")
ALL = {(space, name, account) for space in ("anything", "others") for name in NAMES for account in ACCOUNTS}
SPACES = {"anything": ANYTHING, "others": OTHERS}


async def fill(house: CacheHouse) -> None:
    for space, name, account in ALL:
        await house.cache.get_or_set(SPACES[space], name, Source("old").read, account=account)


async def kept(house: CacheHouse) -> set[tuple[str, str, str]]:
    found = set()
    for space, name, account in ALL:
        source = Source("new")
        if await house.cache.get_or_set(SPACES[space], name, source.read, account=account) == "old":
            found.add((space, name, account))
    return found


async def test_many_values_are_forgotten_at_once(house: CacheHouse) -> None:
    for number in range(1200):
        await house.cache.get_or_set(ANYTHING, str(number), Source(0).read, account="ada")
    await house.cache.forget_account("ada")
    await house.cache.probe()
    assert house.cache.figures.entries == 0


async def test_what_was_begun_before_the_data_changed_is_not_kept(house: CacheHouse) -> None:
    source, found = Source("before"), list[Any]()
    source.gate = trio.Event()

    async def ask() -> None:
        found.append(await house.cache.get_or_set(ANYTHING, "a", source.read))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await source.begun.wait()
        source.value = "after"
        await house.cache.forget_matching(ANYTHING, "*")
        source.begun = trio.Event()
        nursery.start_soon(ask)
        await source.begun.wait()  # whoever asks now does not wait for the old one
        source.gate.set()
    assert sorted(found) == ["after", "before"]
    assert await house.cache.get_or_set(ANYTHING, "a", source.read) == "after"
    assert source.asked == 2


@dataclass(frozen=True)
class Seen:
    """Stands for what jobs keep."""

    at: datetime
    likes: tuple[int, ...]


SEEN: Namespace[dict[str, Seen]] = Namespace("seen", Level.MINUTE, dict[str, Seen])


async def test_a_value_comes_back_as_the_type_that_it_was(house: CacheHouse) -> None:
    value = {"a": Seen(datetime(2026, 1, 2, tzinfo=UTC), (1, 2))}

    async def read() -> dict[str, Seen]:
        await trio.lowlevel.checkpoint()
        return value

    for _ in range(2):
        assert await house.cache.get_or_set(SEEN, "a", read) == value


@pytest.mark.parametrize("value", [object(), {"a": 3}, float("nan")])
async def test_a_value_that_is_none_of_its_namespace_is_an_error_at_once(
    house: CacheHouse, value: Any
) -> None:
    numbers: Namespace[Any] = Namespace("numbers", Level.MINUTE, float)
    with pytest.raises(CacheValueError, match="cache numbers can't keep a"):
        await house.cache.get_or_set(numbers, "a", Source(value).read)


async def test_a_value_that_is_too_large_is_handed_over_and_not_kept(house: CacheHouse) -> None:
    source = Source("x" * 300_000)
    for _ in range(2):
        assert await house.cache.get_or_set(ANYTHING, "a", source.read) == source.value
    assert source.asked == 2
    assert house.count("dropped_total", reason="too_large") == 2


async def test_names_that_can_be_no_key_are_refused(house: CacheHouse) -> None:
    for name in ("", "x" * 600, "ä" * 100):
        with pytest.raises(ValueError, match=r"name|key"):
            await house.cache.get_or_set(ANYTHING, name, Source().read)
    with pytest.raises(ValueError, match="needs a name"):
        await house.cache.forget_account("")
    for name in ("", "Arms", "1a", "a:b", "a" * 33):
        with pytest.raises(ValueError, match="can't name a cache"):
            Namespace(name, Level.MINUTE, int)


async def test_namespaces_are_made_once_and_there_are_not_many(house: CacheHouse) -> None:
    house.cache.declare(ANYTHING)
    with pytest.raises(ValueError, match="another cache 'anything'"):
        house.cache.declare(Namespace("anything", Level.HOUR, int))
    assert house.count("misses_total", namespace="anything") == 0, "counted before its first use"
    for number in range(MAX_NAMESPACES - 1):
        house.cache.declare(Namespace(f"n{number}", Level.HOUR, int))
    with pytest.raises(ValueError, match="one namespace too many"):
        house.cache.declare(Namespace("one_more", Level.HOUR, int))


async def test_a_value_counts_for_as_long_as_its_level_says_by_the_daemons_clock(redis: RedisServer) -> None:
    await redis.start()
    async with open_cache(redis.url, speed=600.0) as house:
        await house.cache.get_or_set(ANYTHING, "a", Source(1).read)
        assert 0 < int(redis.do("PTTL", "orchestrator:anything.1::a")) <= 500, "5 min of a fast clock"
    async with open_cache(redis.url) as house:
        await house.cache.get_or_set(OTHERS, "a", Source(1).read)
        assert 3_500_000 < int(redis.do("PTTL", "orchestrator:others.1::a")) <= 3_600_000
