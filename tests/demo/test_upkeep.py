import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from orchestrator.clock import Clock
from orchestrator.demo.audience import LIKES_PER_FOLLOWER
from orchestrator.demo.database import Database, open_database
from orchestrator.demo.site import Site
from orchestrator.demo.upkeep import HISTORY_S, KEEP_S
from tests.demo.harness import HOUR, NOON, Moment, Visitor, open_site

DAY = 24 * HOUR


@pytest.fixture
async def database(site: Site, tmp_path: Path) -> AsyncIterator[Database]:
    """A second look at the site's database."""
    with open_database(tmp_path / "murmur.sqlite3") as database:
        yield database


def oldest_and_newest(database: Database) -> tuple[float, float]:
    row = database.one("SELECT min(accepted_at), max(accepted_at) FROM posts")
    assert row is not None
    return row[0], row[1]


async def test_a_new_site_has_three_days_of_history(database: Database) -> None:  # noqa: ASYNC124 - async fixtures
    oldest, newest = oldest_and_newest(database)
    assert NOON - HISTORY_S < oldest < NOON - HISTORY_S + DAY / 2
    assert NOON - DAY / 2 < newest <= NOON


async def test_the_population_goes_on_posting(site: Site, database: Database, moment: Moment) -> None:
    moment.value += DAY
    await site.upkeep.catch_up()
    assert oldest_and_newest(database)[1] > NOON + DAY / 2


async def test_catching_up_again_adds_nothing_twice(site: Site, database: Database, moment: Moment) -> None:
    before = database.one("SELECT count(*) FROM posts")
    await site.upkeep.catch_up()
    moment.value -= DAY
    await site.upkeep.catch_up()
    assert database.one("SELECT count(*) FROM posts") == before


async def test_after_a_long_time_off_only_the_last_week_is_filled_in(
    site: Site, database: Database, moment: Moment
) -> None:
    moment.value += 100 * DAY
    await site.upkeep.catch_up()
    row = database.one(
        "SELECT count(*) FROM posts WHERE accepted_at BETWEEN ? AND ?", (NOON, NOON + 93 * DAY)
    )
    assert row == (0,)
    assert oldest_and_newest(database)[1] > NOON + 99 * DAY


async def test_settling_changes_no_number_that_people_see(
    site: Site, visitor: Visitor, database: Database, moment: Moment
) -> None:
    await visitor.sign_in()
    for number in range(5):
        await visitor.published(f"We rode on, ride {number}. #cycling")
    moment.value += 3 * DAY
    before = await visitor.get("/@ada")
    await site.upkeep.tidy()
    after = await visitor.get("/@ada")
    assert [after.count(n) for n in ("followers", "following", "posts")] == [
        before.count(n) for n in ("followers", "following", "posts")
    ]
    row = database.one("SELECT gained_followers, base_followers FROM authors WHERE name = 'ada'")
    assert row is not None
    assert row[0] > 0
    assert sum(row) == after.count("followers")


async def test_followers_grow_with_likes_and_never_fall(visitor: Visitor, site: Site, moment: Moment) -> None:
    await visitor.sign_in()
    references = [await visitor.published(f"We rode on, ride {n}. #cycling") for n in range(5)]
    seen = [(await visitor.get("/@ada")).count("followers")]
    for _ in range(20):
        moment.value += 6 * HOUR
        await site.upkeep.tidy()
        seen.append((await visitor.get("/@ada")).count("followers"))
    assert seen == sorted(seen)
    likes = [
        (await visitor.get(f"/post/{reference}")).one("article").count("likes") for reference in references
    ]
    assert seen[-1] - seen[0] == sum(number // LIKES_PER_FOLLOWER for number in likes)


async def test_old_posts_of_the_population_go_those_of_accounts_stay(
    site: Site, visitor: Visitor, database: Database, moment: Moment
) -> None:
    await visitor.sign_in()
    reference = await visitor.published("stays")
    posts_before = (await visitor.get("/@willow")).count("posts")
    moment.value += KEEP_S + 4 * DAY
    await site.upkeep.tidy()
    assert oldest_and_newest(database) == (NOON, NOON)
    assert (await visitor.get(f"/post/{reference}")).one(".text").text == "stays"
    assert (await visitor.get("/@willow")).count("posts") == posts_before


async def test_sessions_that_are_over_are_removed(
    site: Site, visitor: Visitor, database: Database, moment: Moment
) -> None:
    await visitor.sign_in()
    assert database.one("SELECT count(*) FROM sessions") == (1,)
    moment.value += 31 * DAY
    await site.upkeep.tidy()
    assert database.one("SELECT count(*) FROM sessions") == (0,)


async def test_the_site_lives_on_by_itself_as_its_clock_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    clock = Clock(speed=60, shown_epoch=NOON, time=lambda: trio.current_time() - start)
    tidied = trio.Event()
    async with open_site(tmp_path, clock) as site, trio.open_nursery() as nursery:
        tidy = site.upkeep.tidy

        async def tidy_and_tell() -> None:
            await tidy()
            if clock.timestamp() > NOON + 3 * DAY:
                tidied.set()

        monkeypatch.setattr(site.upkeep, "tidy", tidy_and_tell)
        nursery.start_soon(site.upkeep.run)
        await tidied.wait()
        nursery.cancel_scope.cancel()
    with open_database(tmp_path / "murmur.sqlite3") as database:
        assert NOON + 2.5 * DAY < oldest_and_newest(database)[1] <= clock.timestamp()
        assert database.one("SELECT count(*) FROM authors WHERE settled_post > 0") == (12,)


async def test_a_database_error_is_logged_and_the_next_round_tries_again(
    site: Site,
    moment: Moment,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds = trio.Event()
    calls: list[int] = []

    async def fail() -> None:  # noqa: ASYNC124 - as what it replaces
        calls.append(1)
        if len(calls) == 3:
            rounds.set()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(site.upkeep, "catch_up", fail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.upkeep.run)
        await rounds.wait()
        nursery.cancel_scope.cancel()
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert messages[0] == "upkeep failed: disk I/O error"


async def test_a_clock_behind_the_newest_post_is_said_aloud(
    tmp_path: Path, moment: Moment, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_site(tmp_path, moment.clock()):
        pass
    moment.value -= 2 * DAY
    async with open_site(tmp_path, moment.clock()):
        pass
    assert "behind the newest post" in caplog.text
