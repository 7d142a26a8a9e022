"""The embedded server: real processes, real signals, real directories."""
# ruff: noqa: ASYNC110, ASYNC222, ASYNC240 - a test may block on small files and dead processes, and it waits
# for what nobody is told of: a server that is back

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trio

from orchestrator import aio
from orchestrator.db import embedded, installation, processes
from orchestrator.db.embedded import EmbeddedPostgres, open_embedded
from orchestrator.db.installation import Installation
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.db.privileges import Account, server_account
from orchestrator.errors import DatabaseError, DatabaseUnavailableError, StateDirectoryError
from orchestrator.settings import DatabaseSettings
from tests.fixtures_db import QUICK, start_server_process

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="the server changes its user only when we are root")


@pytest.fixture
def directory(state_dir: Path) -> Path:
    return state_dir / "postgres"


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    """A directory with data in it, for tests that leave it usable: making one takes half a second."""
    parent = Path(tempfile.mkdtemp(prefix="orchestrator-test-"))
    parent.chmod(0o755)
    with start_server_process(parent / "postgres"):
        pass
    yield parent / "postgres"
    shutil.rmtree(parent)


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[EmbeddedPostgres, Database]]:
    async with (
        aio.open_bridge(),
        open_embedded(directory, settings=QUICK) as server,
        open_database(server.dsn, DatabaseSettings()) as database,
    ):
        yield server, database


async def execute(connection: Connection, statement: str) -> None:
    await connection.execute(statement)


async def fetch(connection: Connection, query: str) -> Any:
    return await connection.fetchval(query)


async def all_gone(pids: list[int]) -> None:
    """Wait until these processes, of whoever, have ended."""
    with trio.fail_after(20):
        assert await processes._all_gone(pids, within_s=20)


# ── start and stop ──────────────────────────────────────────────────────────────────────────────


async def test_a_fresh_directory_gets_a_server_that_takes_writes(directory: Path) -> None:
    async with (
        aio.open_bridge(),
        open_embedded(directory) as server,
        open_database(server.dsn, DatabaseSettings()) as database,
    ):
        await database.ping()
        assert await database.run(fetch, "SHOW fsync") == "on"
        assert await database.run(fetch, "SHOW full_page_writes") == "on"
        assert await database.run(fetch, "SHOW data_checksums") == "on"
        assert await database.run(fetch, "SHOW listen_addresses") == ""
        assert await database.run(fetch, "SHOW server_encoding") == "UTF8"


async def test_data_is_there_again_at_the_second_start(directory: Path) -> None:
    async with running(directory) as (_, database):
        await database.run(execute, "CREATE TABLE kept AS SELECT 'grün' AS word")
    with structlog.testing.capture_logs() as logs:
        async with running(directory) as (_, database):
            assert await database.run(fetch, "SELECT word FROM kept") == "grün"
    ready = [line for line in logs if line["event"] == "postgres_ready"]
    assert [line["is_new"] for line in ready] == [False]


async def test_stopping_leaves_no_process_and_no_socket(used_directory: Path) -> None:
    async with running(used_directory) as (server, _):
        pid = server.pid
        assert pid is not None
        assert processes.servers_on(used_directory / "data") != []
    assert server.pid is None
    assert not Path(f"/proc/{pid}").exists()  # reaped, not only ended
    assert processes.servers_on(used_directory / "data") == []
    assert not (used_directory / "data" / "postmaster.pid").exists()
    assert list((used_directory / "run").iterdir()) == []


async def test_only_the_servers_user_may_enter_its_directories(used_directory: Path) -> None:
    async with running(used_directory):
        for name in ("data", "run"):
            assert stat.S_IMODE((used_directory / name).stat().st_mode) == 0o700
            assert (used_directory / name).owner() == (used_directory / "data").owner()


@only_root
async def test_as_root_the_server_runs_as_somebody_else(used_directory: Path) -> None:
    async with running(used_directory) as (server, _):
        status = Path(f"/proc/{server.pid}/status").read_text()
        owner = (used_directory / "data").stat()
        assert owner.st_uid != 0
        assert f"Uid:\t{owner.st_uid}\t{owner.st_uid}\t{owner.st_uid}" in status
        assert f"Gid:\t{owner.st_gid}\t{owner.st_gid}\t{owner.st_gid}" in status
        assert "Groups:\t \n" in status


async def test_the_server_gets_no_signals_of_our_terminal(used_directory: Path) -> None:
    async with running(used_directory) as (server, _):
        assert server.pid is not None
        assert os.getsid(server.pid) != os.getsid(0)


async def test_an_error_of_the_block_comes_out_as_it_is(used_directory: Path) -> None:
    with pytest.raises(LookupError, match="of the block"):
        async with aio.open_bridge(), open_embedded(used_directory, settings=QUICK):
            raise LookupError("of the block")
    assert processes.servers_on(used_directory / "data") == []


async def test_a_cancelled_block_stops_the_server(used_directory: Path) -> None:
    with trio.CancelScope() as scope:
        async with running(used_directory):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert processes.servers_on(used_directory / "data") == []


async def test_a_start_that_is_cancelled_leaves_no_process(
    used_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, seen = trio.lowlevel.current_trio_token(), []

    async def never_ready(_sockets: Path) -> bool:
        if servers := processes.servers_on(used_directory / "data"):
            seen.append(servers)
            token.run_sync_soon(scope.cancel)
        return False

    monkeypatch.setattr(embedded, "_is_ready", never_ready)
    with trio.CancelScope() as scope:
        async with aio.open_bridge(), open_embedded(used_directory, settings=QUICK):
            raise AssertionError("it can't be ready")
    assert scope.cancelled_caught
    assert seen != []
    assert processes.servers_on(used_directory / "data") == []


async def test_it_must_be_opened_on_the_main_thread(directory: Path) -> None:
    async def open_it() -> None:
        async with open_embedded(directory):
            pass

    with pytest.raises(RuntimeError, match="main thread"):
        await trio.to_thread.run_sync(trio.run, open_it)


async def test_two_daemons_can_not_share_a_directory(used_directory: Path) -> None:
    async with running(used_directory):
        with pytest.raises(StateDirectoryError, match="another daemon"):
            async with open_embedded(used_directory, settings=QUICK):
                pass


# ── what dies, and what is left of it ───────────────────────────────────────────────────────────


async def test_killing_the_daemon_leaves_no_server_and_the_next_start_finds_the_data(
    used_directory: Path,
) -> None:
    with start_server_process(used_directory) as (daemon, dsn):
        async with aio.open_bridge(), open_database(dsn, DatabaseSettings()) as database:
            await database.run(execute, "CREATE TABLE kept_over_kill AS SELECT 7 AS number")
        servers = processes.servers_on(used_directory / "data")
        assert len(servers) > 1
        daemon.kill()
        await all_gone(servers)
        assert "fast shutdown" in (used_directory / "postgres.log").read_text().split("ready to accept")[-1]
    async with running(used_directory) as (_, database):
        assert await database.run(fetch, "SELECT number FROM kept_over_kill") == 7


async def test_a_start_right_after_a_kill_waits_for_the_earlier_server(used_directory: Path) -> None:
    with start_server_process(used_directory) as (daemon, _):
        daemon.kill()
        daemon.wait()
        async with running(used_directory) as (_, database):
            await database.ping()


async def test_a_server_that_outlived_its_daemon_is_stopped_first(used_directory: Path) -> None:
    with orphan_server(used_directory) as orphan, structlog.testing.capture_logs() as logs:
        async with running(used_directory) as (server, database):
            await database.ping()
            assert orphan.wait() == 0  # it shut down in order
            assert server.pid != orphan.pid
    assert "earlier_postgres_found" in [line["event"] for line in logs]


async def test_an_earlier_server_that_does_not_stop_is_named_with_its_remedy(
    used_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def are_not_gone(_pids: list[int], within_s: float) -> bool:
        return False

    with orphan_server(used_directory) as orphan:
        monkeypatch.setattr(processes, "_all_gone", are_not_gone)
        monkeypatch.setattr(processes, "_signal", lambda pids, signum: None)
        with pytest.raises(DatabaseError, match="does not stop") as caught:
            async with running(used_directory):
                pass
        assert str(orphan.pid) in caught.value.remedy


@contextmanager
def orphan_server(directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server on this directory that nobody looks after, ready for connections."""
    installed = installation.find_installation()
    account = server_account(directory / "data")
    command = [str(installed.postgres), "-D", str(directory / "data"), "-k", str(directory / "run"), "-h", ""]
    with as_user(command, account, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            assert any(b"ready to accept" in line for line in process.stderr)
            yield process
        finally:
            process.send_signal(signal.SIGQUIT)


def as_user(command: list[str], account: Account | None, **options: Any) -> "subprocess.Popen[bytes]":
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return subprocess.Popen(command, **options)


async def test_a_server_that_dies_is_started_again_and_the_pool_recovers(used_directory: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running(used_directory) as (server, database):
            await database.run(execute, "CREATE TABLE kept_over_restart AS SELECT 7 AS number")
            first = server.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            with trio.fail_after(30):
                while server.restarts == 0 or not await _is_back(database):
                    await trio.sleep(0.01)
            assert await database.run(fetch, "SELECT number FROM kept_over_restart") == 7
            assert server.pid not in (first, None)
    events = [line["event"] for line in logs]
    assert events.index("postgres_died") < events.index("postgres_restarted")


async def _is_back(database: Database) -> bool:
    try:
        await database.run(execute, "CREATE TABLE is_back (x int)")
    except DatabaseUnavailableError:
        return False
    return True


async def test_a_server_that_does_not_come_back_is_tried_again_with_growing_pauses(
    used_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = trio.sleep

    async def note_pause(pause_s: float) -> None:
        if pause_s >= embedded.RESTART_PAUSE_S:
            pauses.append(pause_s)
            if len(pauses) == 4:
                (used_directory / "data" / "PG_VERSION.aside").rename(used_directory / "data" / "PG_VERSION")
            pause_s = 0
        await sleep(pause_s)

    with structlog.testing.capture_logs() as logs:
        async with running(used_directory) as (server, database):
            monkeypatch.setattr(trio, "sleep", note_pause)
            monkeypatch.setattr(embedded, "LONGEST_PAUSE_S", 0.05)
            (used_directory / "data" / "PG_VERSION").rename(used_directory / "data" / "PG_VERSION.aside")
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            with trio.fail_after(30):
                while server.restarts == 0:
                    await sleep(0.01)
            await database.run(fetch, "SELECT 1")
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    failures = [line for line in logs if line["event"] == "postgres_restart_failed"]
    assert len(failures) == 3
    assert "PG_VERSION" in failures[0]["error"] or "not a valid data directory" in failures[0]["error"]


async def test_a_noted_process_id_that_another_program_has_now_does_not_block_the_start(
    used_directory: Path,
) -> None:
    account = server_account(used_directory / "data")
    with as_user(["sleep", "1000"], account) as other:
        try:
            note_process_id(used_directory, other.pid)
            async with running(used_directory) as (_, database):
                await database.ping()
            assert other.poll() is None  # nobody touched it
        finally:
            other.kill()


async def test_a_noted_process_id_of_a_zombie_does_not_block_the_start(used_directory: Path) -> None:
    account = server_account(used_directory / "data")
    with as_user(["true"], account) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        note_process_id(used_directory, zombie.pid)
        async with running(used_directory) as (_, database):
            await database.ping()


async def test_a_noted_process_id_of_nobody_does_not_block_the_start(used_directory: Path) -> None:
    with as_user(["true"], server_account(used_directory / "data")) as gone:
        gone.wait()
    note_process_id(used_directory, gone.pid)
    async with running(used_directory) as (_, database):
        await database.ping()


def note_process_id(directory: Path, pid: int) -> None:
    """Leave the traces of a server that was killed, with this process id."""
    owner = (directory / "data").stat()
    for file in (directory / "data" / "postmaster.pid", directory / "run" / ".s.PGSQL.5432.lock"):
        file.write_text(f"{pid}\n{directory / 'data'}\n1790000000\n5432\n{directory / 'run'}\n\n")
        os.chown(file, owner.st_uid, owner.st_gid)
        file.chmod(0o600)


# ── directories that make trouble ───────────────────────────────────────────────────────────────


async def test_a_path_too_long_for_a_socket_gets_a_short_one(state_dir: Path) -> None:
    directory = state_dir / ("long" * 30) / "postgres"
    async with running(directory) as (server, database):
        await database.ping()
        sockets = server._layout.sockets
        assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= 107
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert sockets.owner() == (directory / "data").owner()
    assert not sockets.exists()


@only_root
async def test_programs_that_the_servers_user_can_not_read_are_copied_once(
    directory: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, original = state_dir / "root-only", installation.find_installation().folder.parent
    hidden.mkdir(mode=0o700)
    for folder in (original, original.with_name(installation.LIBRARIES)):
        (hidden / folder.name).symlink_to(folder)
    found = Installation(hidden / original.name / installation.FOLDER)
    monkeypatch.setattr(installation, "find_installation", lambda: found)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            async with running(directory) as (server, database):
                await database.ping()
                program = Path(f"/proc/{server.pid}/exe").readlink()
                assert program.is_relative_to(directory)
    assert [line["event"] for line in logs].count("postgres_copied") == 1
    assert [path.name for path in directory.glob("postgresql-*")] == [program.relative_to(directory).parts[0]]


@only_root
async def test_a_copy_that_can_not_be_run_either_is_a_clear_error(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_not_usable(*_: object) -> bool:
        return False

    monkeypatch.setattr(installation, "_is_usable", is_not_usable)
    with pytest.raises(StateDirectoryError, match="can't run programs in") as caught:
        async with running(directory):
            pass
    assert "noexec" in caught.value.remedy


@only_root
async def test_a_parent_that_the_servers_user_can_not_enter_is_named(state_dir: Path) -> None:
    barred = state_dir / "barred"
    barred.mkdir(mode=0o700)
    with pytest.raises(StateDirectoryError, match=f"can't enter {barred}$") as caught:
        async with running(barred / "state" / "postgres"):
            pass
    assert f"chmod o+x {barred}" in caught.value.remedy


@only_root
async def test_data_that_belongs_to_root_is_refused(directory: Path) -> None:
    (directory / "data").mkdir(parents=True)
    with pytest.raises(StateDirectoryError, match="belongs to root") as caught:
        async with running(directory):
            pass
    assert "chown" in caught.value.remedy


@only_root
async def test_a_links_place_is_not_taken_for_a_directory_of_ours(directory: Path, state_dir: Path) -> None:
    (state_dir / "elsewhere").mkdir(mode=0o755)
    directory.mkdir()
    (directory / "run").symlink_to(state_dir / "elsewhere")
    with pytest.raises(StateDirectoryError):
        async with running(directory):
            pass
    assert (state_dir / "elsewhere").stat().st_uid == 0


async def test_data_of_another_major_version_is_refused(directory: Path) -> None:
    data_with(directory, "PG_VERSION", "15\n")
    with pytest.raises(DatabaseError, match="made by PostgreSQL 15; this program brings 18") as caught:
        async with running(directory):
            pass
    assert caught.value.remedy


async def test_a_directory_with_something_else_in_it_is_refused(directory: Path) -> None:
    data_with(directory, "holiday.jpg", "")
    with pytest.raises(DatabaseError, match="is not a PostgreSQL data directory"):
        async with running(directory):
            pass
    assert (directory / "data" / "holiday.jpg").exists()


def data_with(directory: Path, name: str, text: str) -> None:
    """A data directory, as far as its owner goes, with one file."""
    (directory / "data").mkdir(parents=True)
    (directory / "data" / name).write_text(text)
    if os.geteuid() == 0:
        os.chown(directory / "data", 65534, 65534)


async def test_a_file_in_the_directorys_place_is_a_clear_error(directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(StateDirectoryError, match="can't be used"):
        async with running(directory):
            pass


async def test_an_attempt_that_broke_off_is_cleared_away(directory: Path) -> None:
    half_made = directory / "data.new-broken"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    async with running(directory) as (_, database):
        await database.ping()
    assert not half_made.exists()


async def test_a_server_that_refuses_its_settings_says_why(used_directory: Path) -> None:
    settings = {**QUICK, "shared_buffers": "lots"}
    with pytest.raises(DatabaseError, match="shared_buffers") as caught:
        async with aio.open_bridge(), open_embedded(used_directory, settings=settings):
            pass
    assert "postgres.log" in caught.value.remedy
    assert processes.servers_on(used_directory / "data") == []


async def test_data_that_can_not_be_made_says_why(
    directory: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lame = Installation(state_dir / "lame")
    shutil.copytree(installation.find_installation().folder / "share", lame.folder / "share")
    lame.initdb.parent.mkdir()
    lame.postgres.symlink_to(installation.find_installation().postgres)
    script = "#!/bin/sh\n[ $1 = --version ] || { echo 'initdb: error: no share' >&2; exit 1; }\n"
    lame.initdb.write_text(script)
    lame.initdb.chmod(0o755)
    monkeypatch.setattr(installation, "find_installation", lambda: lame)
    with pytest.raises(DatabaseError, match="no share"):
        async with running(directory):
            pass
    assert not (directory / "data").exists()


async def test_missing_programs_are_a_clear_error(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "PACKAGE", "no_such_package")
    with pytest.raises(DatabaseError, match="not installed") as caught:
        async with running(directory):
            pass
    assert "set database.dsn" in caught.value.remedy


async def test_a_log_that_has_grown_too_long_is_moved_aside(used_directory: Path) -> None:
    log = used_directory / "postgres.log"
    with log.open("wb") as file:
        file.truncate(10_000_001)
    async with running(used_directory):
        pass
    assert log.stat().st_size < 100_000
    assert (used_directory / "postgres.log.1").stat().st_size == 10_000_001


# ── as an ordinary user ─────────────────────────────────────────────────────────────────────────


def _can_run_python_as_nobody() -> bool:
    trial = [sys.executable, "-c", "import orchestrator.db.embedded"]
    try:
        return subprocess.run(trial, user=65534, group=65534, extra_groups=[], check=False).returncode == 0
    except OSError:
        return False


@only_root
async def test_an_ordinary_user_runs_a_server_of_its_own(state_dir: Path) -> None:
    if not _can_run_python_as_nobody():
        pytest.skip("other users can't read this checkout")
    state_dir.chmod(0o777)
    nobody = Account("nobody", 65534, 65534)
    command = [sys.executable, "-m", "tests.fixtures_db", str(state_dir / "own")]
    root = Path(__file__).parent.parent.parent
    with as_user(command, nobody, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"postgresql://")
        assert (state_dir / "own" / "data").stat().st_uid == 65534
        assert stat.S_IMODE((state_dir / "own").stat().st_mode) == 0o700
        process.stdin.close()
    assert process.returncode == 0
