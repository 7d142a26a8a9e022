"""A real server that is restarted, killed, frozen, demoted or cut off while transactions are under way."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
import trio

from orchestrator import aio
from orchestrator.db import blockers, lease, pool, post_figures
from orchestrator.db.fence import Fence, open_fence
from orchestrator.db.installation import Installation
from orchestrator.db.migrate import OLDEST_SERVER, check_fit, migrate
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.db.posts import Stamp
from orchestrator.errors import DatabaseReplacedError, DatabaseUnavailableError, FenceLostError
from orchestrator.model import PostState
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.disk import CAN_MOUNT, full, small_disk
from tests.servers import Server, Wire, ended, free_port, open_server, open_wire

pytestmark = pytest.mark.timeout(180)

PATIENCE_S = 90.0
"""A limit for faults, not a figure: the machine may be busy."""
VERY_LONG_S = 3600.0
WRITERS = 4
DISK_MIB = 100
"""A new server takes half of it."""

Fault = Callable[[Server, Wire, "Writers"], Awaitable[None]]


@pytest.fixture
async def server(state_dir: Path) -> AsyncIterator[Server]:
    """A server with one empty table."""
    async with aio.open_bridge(), open_server(state_dir) as running:
        await running.do("CREATE TABLE notes (id bigint PRIMARY KEY)")
        yield running


async def restart_fast(server: Server, _wire: Wire, _writers: "Writers") -> None:
    await server.end(signal.SIGINT)
    await server.start()


async def restart_at_once(server: Server, _wire: Wire, _writers: "Writers") -> None:
    await server.end(signal.SIGQUIT)
    await server.start()


async def kill(server: Server, _wire: Wire, _writers: "Writers") -> None:
    await server.end(signal.SIGKILL)
    await server.start()


async def end_sessions(
    server: Server, _wire: Wire | None = None, _writers: "Writers | None" = None, user: str = "orchestrator"
) -> None:
    ours = "application_name = 'orchestrator'"
    await server.do(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {ours}", user=user)


async def reset(_server: Server, wire: Wire, _writers: "Writers") -> None:
    assert wire.reset()


async def demote_for_a_while(server: Server, _wire: Wire, writers: "Writers") -> None:
    await server.do("ALTER SYSTEM SET default_transaction_read_only = on")
    await server.do("SELECT pg_reload_conf()")
    with trio.fail_after(PATIENCE_S):
        while not writers.failed:  # each session learns of it in its own time
            await trio.sleep(0.01)
    await server.do("ALTER SYSTEM RESET default_transaction_read_only")
    await server.do("SELECT pg_reload_conf()")


async def until_it_raises(ask: Callable[[], Awaitable[object]], text: str) -> None:
    with trio.fail_after(PATIENCE_S):
        while text not in await trouble_of(ask):
            await trio.sleep(0.01)


async def trouble_of(ask: Callable[[], Awaitable[object]]) -> str:
    """Why the database can't be used; empty when it can."""
    try:
        await ask()
    except DatabaseUnavailableError as error:
        return str(error)
    return ""


async def until_it_works(ask: Callable[[], Awaitable[object]]) -> None:
    with trio.fail_after(PATIENCE_S):
        while await trouble_of(ask):
            await trio.sleep(0.05)


class Writers:
    """Works that write all the time; each note has a number of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._number = 0
        self.acknowledged: set[int] = set()
        self.failed: set[int] = set()

    async def write(self) -> None:
        while True:
            self._number += 1
            number = self._number
            try:
                await self._database.run(_note, number)
            except DatabaseUnavailableError:  # anything else ends the test
                self.failed.add(number)
                await trio.sleep(0.01)
            else:
                self.acknowledged.add(number)

    async def wait_for_more(self) -> None:
        before = len(self.acknowledged)
        with trio.fail_after(PATIENCE_S):
            while len(self.acknowledged) < before + WRITERS:
                await trio.sleep(0.01)


async def _note(connection: Connection, number: int) -> None:
    await connection.execute("INSERT INTO notes VALUES ($1)", number)
    await connection.execute("SELECT pg_sleep(0.01)")


async def _notes(connection: Connection) -> set[int]:
    return {row["id"] for row in await connection.fetch("SELECT id FROM notes")}


@pytest.mark.parametrize(
    "fault",
    [restart_fast, restart_at_once, kill, end_sessions, reset, demote_for_a_while],
    ids=lambda fault: fault.__name__,
)
async def test_what_was_acknowledged_is_there_and_writing_goes_on_by_itself(
    server: Server, fault: Fault
) -> None:
    async with open_wire(server) as wire, open_database(wire.dsn, DatabaseSettings()) as database:
        writers = Writers(database)
        async with trio.open_nursery() as nursery:
            for _ in range(WRITERS):
                nursery.start_soon(writers.write)
            await writers.wait_for_more()
            await fault(server, wire, writers)
            await writers.wait_for_more()
            nursery.cancel_scope.cancel()
        assert writers.acknowledged <= await database.run(_notes)
        assert writers.failed, "the fault has struck nobody"
        assert database.statistics().in_use == 0


async def test_a_frozen_server_holds_works_up_and_loses_none_of_them(server: Server) -> None:
    async with open_database(server.dsn, DatabaseSettings(statement_timeout_s=VERY_LONG_S)) as database:
        writers = Writers(database)
        async with trio.open_nursery() as nursery:
            for _ in range(WRITERS):
                nursery.start_soon(writers.write)
            await writers.wait_for_more()
            server.freeze()
            with trio.move_on_after(0.5) as waiting:  # one that is cancelled meanwhile ends
                await database.run(count_notes)
            assert waiting.cancelled_caught
            server.thaw()
            await writers.wait_for_more()
            nursery.cancel_scope.cancel()
        assert writers.acknowledged <= await database.run(_notes)


async def count_notes(connection: Connection) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM notes")
    return count


# ── connections that go silent ──────────────────────────────────────────────────────────────────


async def warm_up(database: Database, count: int) -> None:
    """Have `count` idle connections in the pool."""

    async def sleep(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(0.3)")

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(database.run, sleep)
    assert database.statistics().idle == count


async def test_after_one_silent_connection_the_others_are_not_tried_one_by_one(server: Server) -> None:
    """As after the silent death of a machine, when every connection of the pool leads nowhere."""
    settings = DatabaseSettings(statement_timeout_s=VERY_LONG_S)
    async with open_wire(server) as wire, open_database(wire.dsn, settings) as database:
        await warm_up(database, 3)
        assert wire.silence() == 3
        with trio.move_on_after(0.2) as scope:
            await database.run(count_notes)
        assert scope.cancelled_caught
        with trio.fail_after(PATIENCE_S):
            await database.run(count_notes)
        assert database.statistics().connections_lost == 1


async def test_a_ping_does_not_wait_as_long_as_a_statement_may_take(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PING_LIMIT_S", 0.2)
    settings = DatabaseSettings(statement_timeout_s=VERY_LONG_S)
    async with open_wire(server) as wire, open_database(wire.dsn, settings) as database:
        await warm_up(database, 2)
        wire.silence()
        with trio.fail_after(PATIENCE_S):
            with pytest.raises(DatabaseUnavailableError, match="did not answer in time"):
                await database.ping()
            monkeypatch.undo()
            await database.ping()


@pytest.mark.parametrize("is_under_way", [False, True], ids=["idle", "under_way"])
async def test_a_connection_whose_packets_get_lost_is_given_up_long_before_its_statement_would_be(
    server: Server, is_under_way: bool
) -> None:
    """No reset, no refusal: the way to the server is cut, before or while it works for us."""
    settings = DatabaseSettings(statement_timeout_s=VERY_LONG_S)
    async with open_wire(server) as wire, open_database(wire.dsn, settings) as database:
        await warm_up(database, 1)

        async def ask() -> None:
            lost = pytest.raises(DatabaseUnavailableError, match="the connection to the database was lost")
            with trio.fail_after(PATIENCE_S), lost:
                await database.run(sleep_for_ever)

        async with trio.open_nursery() as nursery:
            if is_under_way:
                nursery.start_soon(ask)
                await is_asleep(server)
                assert wire.lose_packets() == 1
            else:
                assert wire.lose_packets() == 1
                nursery.start_soon(ask)
        assert await database.run(count_notes) == 0


async def sleep_for_ever(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(3600)")


async def is_asleep(server: Server) -> None:
    """Until a session of ours sleeps."""
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with trio.fail_after(PATIENCE_S):
        while await server.do(asleep) == 0:
            await trio.sleep(0.01)


# ── locks ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_statement_does_not_wait_for_a_lock_as_long_as_it_may_take_and_names_who_has_it(
    server: Server,
) -> None:
    """An operator's transaction that was left open."""
    async with (
        operators_lock(server) as operator,
        open_database(server.dsn, DatabaseSettings(statement_timeout_s=6, slow_s=0.1)) as database,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(database.watch_locks)
        with trio.fail_after(PATIENCE_S), pytest.raises(DatabaseUnavailableError) as caught:
            await database.run(_note, 1)
        nursery.cancel_scope.cancel()
    pid = operator.get_server_pid()
    assert f"a lock could not be had in time: pid {pid} (psql of orchestrator, idle in tra" in str(
        caught.value
    )
    assert f"pg_terminate_backend({pid})" in caught.value.remedy


@asynccontextmanager
async def operators_lock(server: Server) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A transaction on `notes` that stays open."""

    async def begin() -> "asyncpg.Connection[asyncpg.Record]":
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            server.dsn, server_settings={"application_name": "psql"}
        )
        await connection.execute("BEGIN; LOCK TABLE notes")
        return connection

    operator = await aio.call(begin)
    try:
        yield operator
    finally:
        with trio.CancelScope(shield=True):
            await aio.call(operator.close)


# ── a standby ───────────────────────────────────────────────────────────────────────────────────


async def test_a_failover_to_a_standby_is_followed_as_soon_as_that_takes_writes(
    server: Server, state_dir: Path
) -> None:
    standby = await server.make_standby(state_dir / "two", free_port())
    async with ended(standby), open_wire(server) as wire:
        await standby.start()
        async with open_database(wire.dsn, DatabaseSettings()) as database:
            await database.run(_note, 1)
            with trio.fail_after(PATIENCE_S):  # without synchronous replication it follows a little later
                while await standby.do("SELECT count(*) FROM notes") == 0:
                    await trio.sleep(0.01)
            await server.end(signal.SIGQUIT)
            wire.to_port = standby.port
            wire.reset()
            await until_it_raises(database.ping, "takes no writes")
            with pytest.raises(DatabaseUnavailableError, match="takes no writes") as caught:
                await database.run(_note, 2)
            assert caught.value.remedy
            await standby.do("SELECT pg_promote()")
            await until_it_works(database.ping)
            await database.run(_note, 3)
            assert await database.run(_notes) == {1, 3}


async def test_with_both_servers_in_the_address_the_one_that_takes_writes_is_found(
    server: Server, state_dir: Path
) -> None:
    standby = await server.make_standby(state_dir / "two", free_port())
    hosts = f"127.0.0.1:{server.port},127.0.0.1:{standby.port}"
    dsn = f"postgresql://orchestrator@{hosts}/postgres?sslmode=disable&target_session_attrs=read-write"
    async with ended(standby):
        await standby.start()
        async with open_database(dsn, DatabaseSettings()) as database:
            await database.run(_note, 1)
            await server.end(signal.SIGQUIT)
            await until_it_raises(database.ping, "reached")
            await standby.do("SELECT pg_promote()")
            await until_it_works(database.ping)
            await database.run(_note, 2)


# ── a server that is full ───────────────────────────────────────────────────────────────────────


async def test_a_server_without_room_for_us_says_so_with_the_remedy_and_is_used_when_it_has_some(
    server: Server,
) -> None:
    crowd = await aio.call(_fill, server.dsn)
    async with open_database(server.dsn, DatabaseSettings()) as database:
        with pytest.raises(DatabaseUnavailableError, match="no connection left for us") as caught:
            await database.ping()
        assert "max_connections" in caught.value.remedy
        await aio.call(_leave, crowd)
        await until_it_works(database.ping)


async def _fill(dsn: str) -> "list[asyncpg.Connection[asyncpg.Record]]":
    crowd = []
    while True:
        try:
            crowd.append(await asyncpg.connect(dsn))
        except asyncpg.TooManyConnectionsError:
            return crowd


async def _leave(crowd: "list[asyncpg.Connection[asyncpg.Record]]") -> None:
    for connection in crowd:
        await connection.close()


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────


needs_a_small_disk = pytest.mark.skipif(not CAN_MOUNT, reason="only root can mount a small disk")


@pytest.fixture
async def cramped(state_dir: Path) -> AsyncIterator[tuple[Server, Path]]:
    """A server with one empty table, and the small disk that it is alone on."""
    with small_disk(state_dir / "disk", DISK_MIB) as disk:
        async with aio.open_bridge(), open_server(disk) as running:
            await running.do("CREATE TABLE notes (id bigint PRIMARY KEY)")
            yield running, disk


@needs_a_small_disk
async def test_a_full_disk_is_said_loses_nothing_and_is_written_to_as_soon_as_there_is_room(
    cramped: tuple[Server, Path],
) -> None:
    server, disk = cramped
    async with open_database(server.dsn, DatabaseSettings()) as database:
        writers = Writers(database)
        async with trio.open_nursery() as nursery:
            for _ in range(WRITERS):
                nursery.start_soon(writers.write)
            await writers.wait_for_more()
            with full(disk):
                await until_it_raises(database.ping, "the database's disk is full")
                with pytest.raises(DatabaseUnavailableError, match="disk is full") as caught:
                    await database.ping()
                assert "Free some space" in caught.value.remedy
            await until_it_works(database.ping)
            await writers.wait_for_more()
            nursery.cancel_scope.cancel()
        assert writers.acknowledged <= await database.run(_notes)
        assert writers.failed


@needs_a_small_disk
async def test_a_server_that_ends_for_want_of_room_for_its_log_loses_nothing(
    cramped: tuple[Server, Path],
) -> None:
    """It can't be had again before there is room; then somebody starts it, as an init system does."""
    server, disk = cramped
    async with open_database(server.dsn, DatabaseSettings()) as database:
        writers = Writers(database)
        async with trio.open_nursery() as nursery:
            for _ in range(WRITERS):
                nursery.start_soon(writers.write)
            await writers.wait_for_more()
            with full(disk):
                with trio.fail_after(PATIENCE_S):
                    while server.is_running:
                        with suppress(asyncpg.PostgresError, OSError):  # it panics in the middle of it
                            # A log in which nothing new stands is not switched.
                            await server.do("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
                await until_it_raises(database.ping, "reached")
            await server.start()
            await writers.wait_for_more()
            nursery.cancel_scope.cancel()
        assert writers.acknowledged <= await database.run(_notes)


# ── the lease ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def leased(server: Server) -> AsyncIterator[Database]:
    async with open_database(server.dsn, DatabaseSettings()) as database:
        await database.run(lease.prepare)
        yield database


async def is_renewed(server: Server, fence: Fence) -> None:
    """Until the lease has been renewed once more."""
    before = await server.do("SELECT renewals FROM daemon_lease")
    with trio.fail_after(PATIENCE_S):
        while await server.do("SELECT renewals FROM daemon_lease") == before or not is_sure(fence):
            await trio.sleep(0.05)


async def is_unsure(fence: Fence) -> None:
    with trio.fail_after(PATIENCE_S):
        while is_sure(fence):
            await trio.sleep(0.01)


def is_sure(fence: Fence) -> bool:
    with suppress(FenceLostError):
        fence.check()
        return True
    return False


async def test_the_keeper_of_the_lease_outlives_whatever_keeps_it_from_the_database(
    server: Server, leased: Database
) -> None:
    await server.do("CREATE ROLE another SUPERUSER LOGIN")
    async with open_fence(leased, "one", 2.0) as fence, trio.open_nursery() as nursery:
        nursery.start_soon(fence.keep, leased)
        for way in (signal.SIGINT, signal.SIGKILL):
            await server.end(way)
            await leased.doubted()
            await server.start()
            await is_renewed(server, fence)
        server.freeze()
        await is_unsure(fence)
        server.thaw()
        await is_renewed(server, fence)
        await server.do("ALTER ROLE orchestrator NOLOGIN", user="another")
        await end_sessions(server, user="another")
        await is_unsure(fence)
        await server.do("ALTER ROLE orchestrator LOGIN", user="another")
        await is_renewed(server, fence)
        nursery.cancel_scope.cancel()


async def test_the_lease_is_renewed_while_jobs_use_up_every_connection_and_hold_its_row(
    server: Server,
) -> None:
    """As when an operator's lock holds them all up."""
    settings = DatabaseSettings(pool_size=2, statement_timeout_s=VERY_LONG_S)

    async def write(connection: Connection) -> None:
        await lease.check(connection, fence.number)
        await _note(connection, 1)

    async with open_database(server.dsn, settings) as database, operators_lock(server):
        await database.run(lease.prepare)
        async with open_fence(database, "one", 2.0) as fence, trio.open_nursery() as nursery:
            for _ in range(settings.pool_size + 1):
                nursery.start_soon(database.run, write)
            with trio.fail_after(PATIENCE_S):
                while database.statistics().waiting == 0:
                    await trio.sleep(0.01)
            nursery.start_soon(fence.keep, database)
            for _ in range(3):
                await is_renewed(server, fence)
            nursery.cancel_scope.cancel()


async def test_a_database_that_falls_back_to_an_older_state_is_not_worked_on(
    server: Server, leased: Database
) -> None:
    """Posts that were published since then stand as queued there."""
    backup = server.data.with_name("backup")

    async def restore() -> None:
        await server.end()
        await trio.run_process(["rm", "-r", str(server.data)])
        await trio.run_process(["cp", "-a", str(backup), str(server.data)])
        await server.start()

    async def keep() -> None:
        with pytest.raises(DatabaseReplacedError) as caught:
            await fence.keep(leased)
        ended_with.append(caught.value)

    ended_with: list[DatabaseReplacedError] = []
    async with open_fence(leased, "one", 2.0) as fence:
        await server.end()
        await trio.run_process(["cp", "-a", str(server.data), str(backup)])
        await server.start()
        with trio.move_on_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep)
                await is_renewed(server, fence)
                await is_renewed(server, fence)
                await restore()
        [error] = ended_with
        assert "Backup" in error.remedy


async def test_a_database_without_our_lease_is_another_one(server: Server, leased: Database) -> None:
    async with open_fence(leased, "one", 2.0) as fence:
        await server.do("DELETE FROM daemon_lease")
        with pytest.raises(DatabaseReplacedError):
            await leased.run(lease.check, fence.number)
        await server.do("DROP TABLE daemon_lease")
        with trio.fail_after(PATIENCE_S), pytest.raises(DatabaseReplacedError):
            await fence.keep(leased)
        await leased.run(lease.prepare)


# ── another server ──────────────────────────────────────────────────────────────────────────────

OLDEST = Installation(Path(f"/usr/lib/postgresql/{OLDEST_SERVER}"))
"""As Debian installs it."""


@pytest.mark.skipif(not OLDEST.postgres.exists(), reason=f"PostgreSQL {OLDEST_SERVER} is not installed")
async def test_the_oldest_server_that_is_let_in_knows_all_that_is_asked_of_it(state_dir: Path) -> None:
    async with (
        aio.open_bridge(),
        open_server(state_dir, installed=OLDEST) as server,
        open_database(server.dsn, DatabaseSettings()) as database,
    ):
        await check_fit(database)
        async with open_fence(database, "one", 10.0) as fence:
            await migrate(database)
            stamp = Stamp(fence.number, rows.NOON)
            await rows.in_state(database, PostState.PUBLISHED, stamp, "one")
            assert await database.run(post_figures.oldest_due, ["ada"], rows.NOON) is None
            assert await database.run(blockers.find, [1]) == {}
