"""Which daemon may write: who gets the lease, when, and what an old fence can still do."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
import trio

from orchestrator import aio
from orchestrator.db import lease
from orchestrator.db.lease import Held
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.errors import FenceLostError
from orchestrator.settings import DatabaseSettings
from tests import rows

TTL_S = 3600.0


async def claim(database: Database, owner: str, ttl_s: float = TTL_S) -> int | Held:
    return await database.run(lease.claim, owner, ttl_s)


async def let_expire(database: Database) -> None:
    """As if the lease's time had passed, by the server's clock."""
    await rows.execute(database, "UPDATE daemon_lease SET expires_at = clock_timestamp() - interval '1 ms'")


async def seconds_left(database: Database) -> float:
    [found] = await rows.fetch(
        database, "SELECT extract(epoch FROM expires_at - clock_timestamp()) AS left_s FROM daemon_lease"
    )
    return float(found["left_s"])


async def test_the_first_owner_gets_it_at_once(database: Database) -> None:
    assert await claim(database, "one") == 1
    assert TTL_S - 60 < await seconds_left(database) <= TTL_S


async def test_a_second_owner_is_told_who_has_it_and_for_how_long(database: Database) -> None:
    await claim(database, "one")
    held = await claim(database, "two")
    assert isinstance(held, Held)
    assert held.owner == "one"
    assert TTL_S - 60 < held.left_s <= TTL_S


async def test_asking_in_vain_changes_nothing(database: Database) -> None:
    fence = await claim(database, "one")
    await claim(database, "two")
    assert isinstance(fence, int)
    await database.run(lease.check, fence)
    assert [found["owner"] for found in await rows.fetch(database, "SELECT owner FROM daemon_lease")] == [
        "one"
    ]


async def test_a_second_owner_gets_it_when_it_has_expired(database: Database) -> None:
    await claim(database, "one")
    await let_expire(database)
    assert await claim(database, "two") == 2


async def test_the_same_owner_gets_it_at_once_with_a_higher_fence(database: Database) -> None:
    assert [await claim(database, "one") for _ in range(3)] == [1, 2, 3]


async def test_a_release_hands_it_over_at_once(database: Database) -> None:
    fence = await claim(database, "one")
    assert isinstance(fence, int)
    await database.run(lease.release, fence)
    assert await claim(database, "two") == 2


async def test_a_release_with_an_old_fence_takes_nothing_from_the_new_owner(database: Database) -> None:
    await claim(database, "one")
    await let_expire(database)
    assert await claim(database, "two") == 2
    await database.run(lease.release, 1)
    assert isinstance(await claim(database, "three"), Held)


async def test_a_renewal_holds_it_for_longer(database: Database) -> None:
    await claim(database, "one", 1.0)
    await database.run(lease.renew, 1, TTL_S)
    assert await seconds_left(database) > TTL_S - 60


async def test_an_expired_lease_that_nobody_took_can_be_renewed(database: Database) -> None:
    await claim(database, "one")
    await let_expire(database)
    await database.run(lease.renew, 1, TTL_S)
    assert isinstance(await claim(database, "two"), Held)


async def test_a_lost_lease_can_not_be_renewed_and_its_fence_is_refused(database: Database) -> None:
    await claim(database, "one")
    await let_expire(database)
    await claim(database, "two")
    with pytest.raises(FenceLostError, match="another daemon"):
        await database.run(lease.renew, 1, TTL_S)
    with pytest.raises(FenceLostError, match="another daemon"):
        await database.run(lease.check, 1)
    await database.run(lease.check, 2)


async def test_without_any_lease_every_fence_is_refused(database: Database) -> None:
    with pytest.raises(FenceLostError):
        await database.run(lease.check, 1)


async def test_of_many_who_claim_at_once_one_gets_it(database: Database) -> None:
    found: list[int | Held] = []

    async def try_claim(owner: str) -> None:
        found.append(await claim(database, owner))

    async with trio.open_nursery() as nursery:
        for number in range(16):
            nursery.start_soon(try_claim, f"daemon {number}")
    assert [fence for fence in found if isinstance(fence, int)] == [1]


async def test_of_many_of_one_owner_each_gets_a_fence_of_its_own(database: Database) -> None:
    found: list[int] = []

    async def try_claim() -> None:
        fence = await claim(database, "one")
        assert isinstance(fence, int)
        found.append(fence)

    async with trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(try_claim)
    assert all(later - earlier == 1 for earlier, later in pairwise(sorted(found)))


class HeldCheck:
    """A transaction that has checked its fence and goes on only when it is told to."""

    def __init__(self, fence: int) -> None:
        self._fence = fence
        self._token = trio.lowlevel.current_trio_token()
        self.has_checked = trio.Event()
        self.go_on: Callable[[], object]

    async def hold(self, connection: Connection) -> None:
        await lease.check(connection, self._fence)
        loop, may_go_on = asyncio.get_running_loop(), asyncio.Event()
        self.go_on = lambda: loop.call_soon_threadsafe(may_go_on.set)
        self._token.run_sync_soon(self.has_checked.set)
        await may_go_on.wait()

    async def work(self, connection: Connection) -> None:
        await self.hold(connection)
        await connection.execute("INSERT INTO paused_jobs VALUES ('written', 'by one', now())")


async def wait_until_blocked(database: Database) -> None:
    """Until a session of this database waits for a lock."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not await rows.fetch(database, waiting):
        await trio.sleep(0.01)


async def test_a_write_under_way_ends_before_the_lease_changes_hands(database: Database) -> None:
    """Between the check of a fence and the commit nobody else can get the lease."""
    await claim(database, "one")
    await let_expire(database)
    held, order = HeldCheck(1), list[str]()

    async def write() -> None:
        await database.run(held.work)
        order.append("written")

    async def take_over() -> None:
        assert await claim(database, "two") == 2
        order.append("taken over")
        assert await rows.fetch(database, "SELECT 1 FROM paused_jobs WHERE job = 'written'")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await held.has_checked.wait()
        nursery.start_soon(take_over)
        await wait_until_blocked(database)
        assert order == []
        held.go_on()
    assert sorted(order) == ["taken over", "written"]


async def test_a_renewal_does_not_wait_for_a_write_under_way(database: Database) -> None:
    """Such as one that waits for a lock of somebody else, for longer than the lease lasts."""
    await claim(database, "one")
    held = HeldCheck(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, held.hold)
        await held.has_checked.wait()
        assert await database.run(lease.renew, 1, TTL_S) == 1
        held.go_on()


async def test_a_lease_of_an_older_program_is_brought_up_to_date(database_dsn: str) -> None:
    async with aio.open_bridge(), open_database(database_dsn, DatabaseSettings()) as fresh:
        await rows.execute(
            fresh,
            "CREATE TABLE daemon_lease (id integer PRIMARY KEY CHECK (id = 1), fence bigint NOT NULL, "
            "owner text NOT NULL, expires_at timestamptz NOT NULL)",
        )
        assert await fresh.run(lease.claim, "one", TTL_S) == 1
        for _ in range(2):
            await fresh.run(lease.prepare)
        held = HeldCheck(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fresh.run, held.hold)
            await held.has_checked.wait()
            assert await fresh.run(lease.renew, 1, TTL_S) == 1
            held.go_on()
