"""The limit of posts a day holds by each account's own calendar: its zone, its midnight, its summer time."""

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
import trio

from orchestrator import aio
from orchestrator.db import posts
from orchestrator.db.pool import Database, open_database
from orchestrator.db.posts import Stamp
from orchestrator.errors import PostStateError
from orchestrator.jobs.posting import post_one
from orchestrator.model import Ending, Outcome, PostState
from orchestrator.settings import DatabaseSettings
from orchestrator.testing.house import PASSWORD, settings_for
from tests import rows
from tests.jobs.house import House, make_house, new_fence


async def house_in(database: Database, zones: dict[str, str], limit: int = 1) -> House:
    """An account in each of the zones."""
    accounts = [
        {
            "name": name,
            "site": "murmur",
            "username": name,
            "password": PASSWORD,
            "time_zone": zone,
            "posts_per_day": limit,
        }
        for name, zone in zones.items()
    ]
    return make_house(database, await new_fence(database), settings_for(accounts=accounts))


async def post_at(house: House, moment: str, text: str, account: str = "ada") -> Outcome:
    """A run of posting at a moment of UTC, with one post due."""
    house.moment.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    await house.queued(text, account)
    return await post_one(house.run("posting"), house.tools)


async def counters(database: Database) -> dict[tuple[str, date], int]:
    found = await rows.fetch(database, "SELECT account, day, posts FROM daily_counters")
    return {(row["account"], row["day"]): row["posts"] for row in found}


async def test_one_moment_is_another_day_in_another_zone(database: Database) -> None:
    zones = {
        "ada": "Pacific/Auckland",
        "grace": "UTC",
        "linus": "America/Los_Angeles",
        "ken": "Asia/Kathmandu",
    }
    house = await house_in(database, zones)
    for account in zones:
        await post_at(house, "2026-05-04T18:14:59", "a text", account)
    assert await counters(database) == {
        ("ada", date(2026, 5, 5)): 1,
        ("grace", date(2026, 5, 4)): 1,
        ("linus", date(2026, 5, 4)): 1,
        ("ken", date(2026, 5, 4)): 1,
    }
    assert (await post_at(house, "2026-05-04T18:15:00", "another text", "ken")).ending is Ending.DONE
    assert (await post_at(house, "2026-05-04T18:15:00", "another text", "grace")).ending is Ending.OVER_BUDGET
    assert (await counters(database))["ken", date(2026, 5, 5)] == 1


@pytest.mark.parametrize(
    ("zone", "moments", "day"),
    [
        # 25 hours: from 22:00 to 23:00 of the next day, with the hour from 00:00 on twice as 02:00 to 03:00
        ("Europe/Berlin", ("2026-10-24T22:00", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T22:59:59"),
         date(2026, 10, 25)),
        # 23 hours: from 23:00 to 22:00
        ("Europe/Berlin", ("2026-03-28T23:00", "2026-03-29T00:59", "2026-03-29T01:00", "2026-03-29T21:59:59"),
         date(2026, 3, 29)),
        # summer time begins at midnight there: the day begins at 01:00
        ("America/Santiago", ("2026-09-06T04:00", "2026-09-06T12:00", "2026-09-06T20:00", "2026-09-07T02:59"),
         date(2026, 9, 6)),
    ],
    ids=["25 hours", "23 hours", "no midnight"],
)  # fmt: skip
async def test_a_day_that_summer_time_makes_longer_or_shorter_is_one_day(
    database: Database, zone: str, moments: tuple[str, ...], day: date
) -> None:
    house = await house_in(database, {"ada": zone}, limit=3)
    endings = [(await post_at(house, moment, f"at {moment}")).ending for moment in moments]
    assert endings == [Ending.DONE, Ending.DONE, Ending.DONE, Ending.OVER_BUDGET]
    assert await counters(database) == {("ada", day): 3}
    [waits] = [row for row in await rows.all_rows(database) if row["state"] == "queued"]
    house.moment.now = waits["due_at"]
    await post_one(house.run("posting"), house.tools)
    assert len(house.site.presses) == 4
    assert sorted((await counters(database)).values()) == [1, 3]


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("Europe/Berlin", "2026-10-24T22:00"),  # a day of 25 hours begins
        ("Europe/Berlin", "2026-10-25T23:00"),  # and ends
        ("Europe/Berlin", "2026-03-29T22:00"),  # one of 23 hours ends
        ("America/Santiago", "2026-09-06T04:00"),  # one begins at 01:00
    ],
)
async def test_64_at_once_over_midnight_are_counted_exactly_by_each_accounts_calendar(
    migrated_dsn: str, zone: str, midnight: str
) -> None:
    """Each counts on the day of its account's own clock; every other one is given back, by two at once."""
    limit, at = 10, datetime.fromisoformat(midnight).replace(tzinfo=UTC)
    moments = (at - timedelta(microseconds=1), at)
    async with aio.open_bridge(), open_database(migrated_dsn, DatabaseSettings(pool_size=64)) as db:
        house = await house_in(db, {"ada": zone, "grace": "Asia/Kathmandu"}, limit)
        stamp = Stamp(house.tools.fence.number, at)
        for number in range(64):
            await rows.queued(db, stamp, f"text {number}", ("ada", "grace")[number % 2])
        await rows.execute(db, "UPDATE posts SET state = 'claimed'")
        went: dict[tuple[str, date], list[int]] = defaultdict(list)

        async def intend(number: int, post_id: int) -> None:
            account = house.tools.accounts[("ada", "grace")[number % 2]]
            moment = moments[number // 2 % 2]
            day = account.day(moment)
            if await db.run(posts.intend, post_id, Stamp(stamp.fence, moment), day, limit):
                went[account.name, day].append(post_id)

        async def give_back(post_id: int, seconds: int) -> None:
            mine = Stamp(stamp.fence, at + timedelta(seconds=seconds))
            with suppress(PostStateError):  # the other one was first
                await db.run(posts.requeue, post_id, PostState.SUBMITTING, mine, mine.now, "not now")

        async with trio.open_nursery() as nursery:
            for number, row in enumerate(await rows.all_rows(db)):
                nursery.start_soon(intend, number, row["id"])
        ours = house.tools.accounts["ada"].day
        assert ours(moments[1]) - ours(moments[0]) == timedelta(days=1)
        elsewhere = house.tools.accounts["grace"].day(at)
        days = {("ada", ours(moments[0])), ("ada", ours(moments[1])), ("grace", elsewhere)}
        assert await counters(db) == dict.fromkeys(days, limit)
        assert {key: len(ids) for key, ids in went.items()} == dict.fromkeys(days, limit)
        async with trio.open_nursery() as nursery:
            for ids in went.values():
                for post_id in ids[::2]:
                    nursery.start_soon(give_back, post_id, 1)
                    nursery.start_soon(give_back, post_id, 2)
        assert await counters(db) == dict.fromkeys(days, limit // 2)


async def test_an_account_at_its_limit_costs_no_visit_and_holds_up_no_other(database: Database) -> None:
    house = await house_in(database, {"ada": "UTC", "grace": "UTC"})
    await post_at(house, "2026-05-04T12:00", "one")
    hers = [await house.queued(f"text {number}") for number in range(3)]
    his = await house.queued("his", "grace")
    house.site.visits.clear()
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.DONE
    assert (await house.state(his))[0] == "published"
    assert [account for account, _ in house.site.visits] == ["grace"]
    midnight = datetime(2026, 5, 5, tzinfo=UTC)
    assert [(await rows.row(database, number))["due_at"] for number in hers] == [midnight] * 3
