"""The daemon's hold on the database: taken, renewed, checked before each effect, handed on."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from orchestrator import aio
from orchestrator.db import fence as fences
from orchestrator.db import lease
from orchestrator.db.fence import RENEWALS_PER_TTL, Fence, open_fence
from orchestrator.db.lease import Held
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.errors import DatabaseUnavailableError, FenceLostError
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.fakes_db import ScriptedDatabase, WatchedDatabase

TTL_S = 10.0


class BootTime:
    """The machine's seconds since boot, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def boot_time(monkeypatch: pytest.MonkeyPatch) -> BootTime:
    moment = BootTime()
    monkeypatch.setattr(fences, "boot_time", moment)
    return moment


# ── on a real server ────────────────────────────────────────────────────────────────────────────


async def test_the_fence_is_the_leases_number_and_is_handed_on_at_the_end(database: Database) -> None:
    async with open_fence(database, "one", TTL_S) as fence:
        assert fence.number == 1
        fence.check()
        await database.run(lease.check, fence.number)
    assert await database.run(lease.claim, "two", TTL_S) == 2


async def test_a_second_daemon_waits_until_the_first_ends(database: Database) -> None:
    ttl_s = 0.2
    counted, is_second = WatchedDatabase(database), trio.Event()

    async def run_second() -> None:
        async with open_fence(counted, "two", ttl_s) as fence:
            assert fence.number == 2
            is_second.set()

    async with trio.open_nursery() as nursery:
        async with open_fence(database, "one", ttl_s) as first, trio.open_nursery() as keeping:
            keeping.start_soon(first.keep, database)
            nursery.start_soon(run_second)
            while len(counted.asked) < 4:  # for longer than a lease lasts that nobody keeps
                await trio.sleep(0.01)
            assert not is_second.is_set()
            keeping.cancel_scope.cancel()
        await is_second.wait()


async def test_the_same_daemon_after_a_kill_does_not_wait(database: Database) -> None:
    assert await rows.take_fence(database, "one") == 1  # and it is killed before it can release
    async with open_fence(database, "one", TTL_S) as fence:
        assert fence.number == 2


async def test_a_daemon_that_stands_still_in_a_transaction_does_not_hold_up_the_next_one(
    database: Database, migrated_dsn: str
) -> None:
    """Else the next one's statements would wait for its locks until they run into their limit."""
    number = await rows.take_fence(database, "one")
    has_locked, goes_on = threading.Event(), threading.Event()

    async def stand_still(connection: Connection) -> None:
        await lease.check(connection, number)
        has_locked.set()
        while not goes_on.is_set():
            await aio.sleep(0.01)
        await lease.check(connection, number)

    async def find_it_ended(stopped: Database) -> None:
        with pytest.raises(DatabaseUnavailableError):
            await stopped.run(stand_still)

    settings = DatabaseSettings(lease_ttl_s=0.2)
    async with open_database(migrated_dsn, settings) as stopped, trio.open_nursery() as nursery:
        nursery.start_soon(find_it_ended, stopped)
        await trio.to_thread.run_sync(has_locked.wait)
        assert await rows.take_fence(database, "one") == number + 1
        goes_on.set()


async def test_the_keeper_ends_loudly_when_another_daemon_has_taken_over(database: Database) -> None:
    async with open_fence(database, "one", 0.04) as fence:
        await rows.execute(database, "UPDATE daemon_lease SET fence = 7, owner = 'two'")
        with pytest.raises(FenceLostError):
            await fence.keep(database)


# ── in time ─────────────────────────────────────────────────────────────────────────────────────


def test_it_is_sure_until_the_leases_time_has_passed(boot_time: BootTime) -> None:
    fence = Fence(1, TTL_S, asked_at=boot_time.now)
    boot_time.now += TTL_S - 0.001
    fence.check()
    boot_time.now += 0.001
    with pytest.raises(FenceLostError, match="not renewed for 10 s"):
        fence.check()


async def test_it_counts_from_the_moment_before_it_asked(boot_time: BootTime) -> None:
    """A stop between the server's answer and our reading of it must not make us sure for too long."""

    def answer(_work: str) -> int:
        boot_time.now += TTL_S
        return 1

    async with open_fence(ScriptedDatabase(answer), "one", TTL_S) as fence:
        with pytest.raises(FenceLostError):
            fence.check()


async def test_it_is_renewed_for_as_long_as_the_database_answers(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    database = ScriptedDatabase(lambda _work: None)
    fence = Fence(1, TTL_S, asked_at=boot_time.now)
    with trio.move_on_after(3 * TTL_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fence.keep, database)
            while True:
                await trio.sleep(1)
                boot_time.now += 1
                fence.check()
    assert len(database.asked) == pytest.approx(3 * RENEWALS_PER_TTL, abs=1)


async def test_it_is_renewed_at_once_so_that_even_a_backup_of_the_first_seconds_is_told(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    counts = iter([5])
    asked_with: list[int] = []

    class Counting(ScriptedDatabase):
        async def run(self, _work: Callable[..., Any], /, *args: Any, **_options: Any) -> Any:  # type: ignore[override]
            asked_with.append(args[2])
            return next(counts, 6)

    with trio.move_on_after(TTL_S / RENEWALS_PER_TTL + 0.1):
        await Fence(1, TTL_S, asked_at=boot_time.now).keep(Counting(lambda _work: None))
    assert asked_with == [0, 5]


async def test_a_database_that_is_away_makes_it_unsure_in_time_and_sure_again_later(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    is_away = False

    def answer(_work: str) -> None:
        if is_away:
            raise DatabaseUnavailableError("away")

    async def pass_seconds(count: float) -> None:
        for _ in range(round(count)):
            await trio.sleep(1)
            boot_time.now += 1

    fence = Fence(1, TTL_S, asked_at=boot_time.now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fence.keep, ScriptedDatabase(answer))
        await pass_seconds(TTL_S)
        is_away = True
        await pass_seconds(TTL_S / 2)
        fence.check()
        await pass_seconds(TTL_S / 2 + 1)
        with pytest.raises(FenceLostError):
            fence.check()
        is_away = False
        await pass_seconds(TTL_S / RENEWALS_PER_TTL + 1)
        fence.check()
        nursery.cancel_scope.cancel()


async def test_a_question_that_gets_no_answer_is_given_up_and_asked_again_while_there_is_time(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    hangs = iter([True, False])

    class Hanging(ScriptedDatabase):
        async def run(self, work: Callable[..., Any], /, *_args: Any, **_options: Any) -> Any:  # type: ignore[override]
            if next(hangs, False):
                await trio.sleep_forever()

    fence = Fence(1, TTL_S, asked_at=boot_time.now)
    with structlog.testing.capture_logs() as logs, trio.move_on_after(TTL_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fence.keep, Hanging(lambda _work: None))
            while True:
                await trio.sleep(1)
                boot_time.now += 1
                fence.check()
    boot_time.now += TTL_S / 2
    fence.check()
    assert [entry["event"] for entry in logs] == ["lease_not_renewed"]


async def test_an_answer_that_comes_late_makes_it_sure_only_from_when_it_was_asked(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    def answer(_work: str) -> None:
        boot_time.now += TTL_S  # a stop of the whole machine while the question was under way

    fence = Fence(1, TTL_S, asked_at=boot_time.now)
    with trio.move_on_after(TTL_S / RENEWALS_PER_TTL + 0.1):
        await fence.keep(ScriptedDatabase(answer))
    with pytest.raises(FenceLostError):
        fence.check()


async def test_an_end_with_the_database_away_is_logged_and_no_error(boot_time: BootTime) -> None:
    def answer(work: str) -> int:
        if work == "release":
            raise DatabaseUnavailableError("away")
        return 1

    with structlog.testing.capture_logs() as logs:
        async with open_fence(ScriptedDatabase(answer), "one", TTL_S):
            pass
    assert [entry["event"] for entry in logs] == ["lease_not_released"]


async def test_the_lease_is_released_also_when_the_daemon_is_cancelled(boot_time: BootTime) -> None:
    database = ScriptedDatabase(lambda _work: 1)
    with trio.CancelScope() as scope:
        async with open_fence(database, "one", TTL_S):
            scope.cancel()
            await trio.sleep_forever()
    assert database.asked == ["prepare", "claim", "release"]


async def test_waiting_for_the_lease_can_be_cancelled(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    database = ScriptedDatabase(lambda work: Held("one", 5.0) if work == "claim" else None)
    with trio.move_on_after(60) as scope:
        async with open_fence(database, "two", TTL_S):
            pytest.fail("it is somebody else's")
    assert scope.cancelled_caught
    assert set(database.asked) == {"prepare", "claim"}


async def test_who_waits_is_told_who_has_the_lease(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    answers = iter([Held("web1-0f", 5.0), 2])
    notes: list[str] = []
    database = ScriptedDatabase(lambda work: next(answers) if work == "claim" else None)
    async with open_fence(database, "two", TTL_S, notes.append) as fence:
        assert fence.number == 2
    assert notes == ["daemon web1-0f owns this database; this one stands by"]


async def test_a_database_that_is_away_for_a_while_does_not_end_the_wait_for_the_lease(
    boot_time: BootTime, autojump_clock: trio.testing.MockClock
) -> None:
    away = DatabaseUnavailableError("the database can't be reached")
    answers = {"prepare": iter([None, away]), "claim": iter([away, 3])}
    notes: list[str] = []

    def answer(work: str) -> object:
        found = next(answers.get(work, iter(())), None)
        if isinstance(found, Exception):
            raise found
        return found

    async with open_fence(ScriptedDatabase(answer), "two", TTL_S, notes.append) as fence:
        assert fence.number == 3
    assert notes == ["the start waits for the database: the database can't be reached"] * 2
