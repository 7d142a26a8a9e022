"""`orchestrator keys rotate`: all is readable at every moment, and with the new key alone at the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from cryptography.fernet import Fernet, MultiFernet
from pydantic import SecretStr

from orchestrator import aio, rotation
from orchestrator.browser.sessions import SessionVault
from orchestrator.crash import AT, BY, OF_ROTATION
from orchestrator.db import lease, registry
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.db.posts import Stamp
from orchestrator.db.registry import AddedAccount
from orchestrator.db.sealed import BATCH
from orchestrator.db.sessions import save
from orchestrator.errors import SessionKeyError, StateDirectoryError
from orchestrator.keys import KEY_FILE, find_keys, open_password, read_keys, seal_password
from orchestrator.settings import BrowserSettings, DatabaseSettings, Settings
from orchestrator.state import hold_state_dir
from tests import rows
from tests.browser.harness import MemoryStore
from tests.rows import NOON

T = TypeVar("T")

SIGN_INS, PASSWORDS = BATCH + 5, 5
KILLS = [*OF_ROTATION, "reseal:after:2", "reseal:before:4", "reseal:after:4"]
"""A first pass are five: two batches of sign-ins, one of passwords, and after each an empty one."""
PATIENCE_S = 100

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


class Kept:
    """A state directory and a database with sign-ins and passwords in them."""

    def __init__(self, directory: Path, dsn: str) -> None:
        self.directory = directory
        self.dsn = dsn
        self.key_file = directory / KEY_FILE
        with hold_state_dir(directory):
            pass  # as a daemon that was here
        self.run(self._fill)

    def run(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def connected() -> T:
            async with aio.open_bridge(), open_database(self.dsn, DatabaseSettings()) as database:
                return await work(database)

        return trio.run(connected)

    async def _fill(self, database: Database) -> None:
        keys = self.keys
        store = MemoryStore()
        for number in range(SIGN_INS):
            await SessionVault(store, keys).save(f"account{number}", {"cookies": number})
        stamp = Stamp(await rows.take_fence(database), NOON)

        async def fill(connection: Connection) -> None:
            for name, state in store.states.items():
                await save(connection, name, state, NOON)
            for number in range(PASSWORDS):
                name = f"account{number}"
                sealed = seal_password(keys, name, SecretStr(f"password{number}"))
                row = AddedAccount(name, "murmur", name, sealed, {}, "root")
                assert await registry.add(connection, row, stamp)
            await lease.release(connection, stamp.fence)

        await database.run(fill)

    @property
    def keys(self) -> MultiFernet:
        return find_keys(BrowserSettings(), self.directory)

    def settings(self, **browser: Any) -> Settings:
        given = {"state_dir": self.directory, "database": {"dsn": self.dsn}, "browser": browser}
        return Settings.load(overrides=given, environ={})

    def check(self, keys: MultiFernet | None = None) -> None:
        """Everything is readable."""
        at_hand = keys or self.keys

        async def look(database: Database) -> None:
            store = MemoryStore()
            for row in await rows.fetch(database, "SELECT account, state FROM sessions"):
                store.states[row["account"]] = row["state"]
            for number in range(SIGN_INS):
                state = await SessionVault(store, at_hand).load(f"account{number}")
                assert state == {"cookies": number}
            found = await database.run(registry.added)
            assert len(found) == PASSWORDS
            for one in found:
                password = open_password(at_hand, one.name, one.password).get_secret_value()
                assert password == one.name.replace("account", "password")

        self.run(look)

    def rotate(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        """The real command."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        place = {"ORCHESTRATOR_STATE_DIR": str(self.directory), "ORCHESTRATOR_DATABASE__DSN": self.dsn}
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", "keys", "rotate"],
            env={**environ, **place, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@pytest.fixture
def kept(tmp_path: Path, migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Kept(tmp_path, migrated_dsn)


def test_all_is_encrypted_with_a_new_key_and_the_old_one_opens_nothing_any_more(kept: Kept) -> None:
    old = kept.key_file.read_text()
    ended = kept.rotate()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        f"A new key stands in {kept.key_file}, and it alone opens what is kept. "
        f"Encrypted anew: {SIGN_INS} sign-ins and {PASSWORDS} passwords.\n"
    )
    assert len(kept.key_file.read_text().split()) == 1
    assert kept.key_file.read_text() != old
    kept.check()
    opened = rotation._Pass(Fernet(old.strip()), MultiFernet([Fernet(old.strip())]))

    async def try_old(database: Database) -> None:
        for table, column in (("sessions", "state"), ("added_accounts", "password")):
            for row in await rows.fetch(database, f"SELECT {column} AS value FROM {table}"):
                assert opened.reseal(row["value"]) is None

    kept.run(try_old)
    assert opened.unreadable == SIGN_INS + PASSWORDS


@pytest.mark.parametrize("point", KILLS)
def test_killed_at_any_point_all_stays_readable_and_the_next_rotation_ends_it(kept: Kept, point: str) -> None:
    ended = kept.rotate(**{AT: point, BY: "kill"})
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    kept.check()
    assert kept.rotate().returncode == 0
    assert len(kept.key_file.read_text().split()) == 1
    kept.check()
    assert sorted(path.name for path in kept.directory.iterdir()) == ["instance", "lock", KEY_FILE]


def test_it_refuses_while_a_daemon_works_here_or_elsewhere_on_the_same_database(kept: Kept) -> None:
    before = kept.key_file.read_text()
    with hold_state_dir(kept.directory), pytest.raises(StateDirectoryError, match="another daemon"):
        rotation.rotate(kept.settings())

    async def take(database: Database) -> None:
        await rows.take_fence(database, "a daemon elsewhere")

    kept.run(take)
    with pytest.raises(SessionKeyError, match="daemon a daemon elsewhere works on this database"):
        rotation.rotate(kept.settings())
    assert kept.key_file.read_text() == before
    kept.check()


def test_a_state_directory_that_no_daemon_has_used_is_refused(kept: Kept, tmp_path: Path) -> None:
    settings = kept.settings().model_copy(update={"state_dir": tmp_path / "elsewhere"})
    with pytest.raises(SessionKeyError, match="no daemon has worked in"):
        rotation.rotate(settings)
    assert not (tmp_path / "elsewhere").exists()


def test_of_keys_in_the_settings_the_first_takes_over_and_a_single_one_is_refused(kept: Kept) -> None:
    old, new = kept.key_file.read_text().strip(), Fernet.generate_key().decode()
    with pytest.raises(SessionKeyError, match=r"browser\.session_key can't be changed") as caught:
        rotation.rotate(kept.settings(session_key=old))
    assert caught.value.remedy == "Put a new key in front of it, then run this again"
    said = rotation.rotate(kept.settings(session_key=f"{new},{old}"))
    assert said.startswith(
        "The first key of browser.session_key alone opens what is kept: take the others out."
    )
    kept.check(MultiFernet([Fernet(new)]))


def test_what_no_key_opens_is_left_as_it_is_and_told(kept: Kept) -> None:
    async def spoil(database: Database) -> None:
        await database.run(save, "stranger", b"nobody's", NOON)

    kept.run(spoil)
    assert rotation.rotate(kept.settings()).endswith(" What no key opens is left as it is: 1.")

    async def look(database: Database) -> bytes:
        [row] = await rows.fetch(database, "SELECT state FROM sessions WHERE account = 'stranger'")
        return bytes(row["state"])

    assert kept.run(look) == b"nobody's"
    assert len(read_keys(BrowserSettings(), kept.directory).words) == 1
    kept.check()
