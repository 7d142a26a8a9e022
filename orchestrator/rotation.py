"""`orchestrator keys rotate`: a new key, and everything that is encrypted, encrypted anew with it.

Whatever dies when, everything stays readable:

1. The new key is put in front of the others; the key file is replaced as a whole or not at all.
2. The rows are encrypted anew, batch by batch. Each fits the new key or an old one, and the file has both.
3. When a whole pass has found nothing that the new key does not open, the old ones leave the file.

What a rotation that was cut off leaves is more than one key. The next rotation begins anew, with yet another
key, and ends with that one alone.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import trio
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from orchestrator import aio, crash
from orchestrator.crash import Step
from orchestrator.db import lease, sealed
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import Database
from orchestrator.db.sealed import PASSWORDS, SIGN_INS, Sealed
from orchestrator.errors import SessionKeyError
from orchestrator.keys import KeyRing, read_keys, write_keys
from orchestrator.settings import Settings
from orchestrator.settings.address import is_on_this_machine
from orchestrator.state import hold_state_dir
from orchestrator.wiring import open_storage

LEASE_S = 600.0
"""For so long no daemon elsewhere takes the database over; then a rotation may end with FenceLostError."""
RELEASE_S = 5.0
NAMES = {SIGN_INS: "sign-ins", PASSWORDS: "passwords"}


def rotate(settings: Settings) -> str:
    """Rotate the keys; what was done, for people. No daemon may be running.

    Raises StateDirectoryError for a daemon that runs here, SessionKeyError for one elsewhere that works on
    the same database and for keys that can't be changed, DatabaseError.
    """
    dsn = settings.database.dsn
    crash.arm(os.environ, is_local=dsn is None or is_on_this_machine(dsn.get_secret_value()))
    if not (settings.state_dir / "instance").exists():
        what = f"no daemon has worked in {settings.state_dir} yet: there is nothing to encrypt anew"
        raise SessionKeyError(
            what, remedy="Name the settings of the daemon (--config, ORCHESTRATOR_STATE_DIR)"
        )
    with hold_state_dir(settings.state_dir) as owner:
        return trio.run(_rotate, settings, owner)


async def _rotate(settings: Settings, owner: str) -> str:
    ring = read_keys(settings.browser, settings.state_dir)
    async with aio.open_bridge(), open_storage(settings, Random()) as database:
        fence = await _take(database, owner)
        try:
            await migrate(database)
            if ring.path is None:
                return await _with_keys_of_others(database, ring, fence)
            new = Fernet.generate_key().decode()
            with crash.around(Step.KEY_IN):
                write_keys(ring.path, [new, *ring.words])
            done = await _reseal_all(database, KeyRing((new, *ring.words), ring.source, ring.path), fence)
            with crash.around(Step.KEY_OUT):
                write_keys(ring.path, [new])
            return f"A new key stands in {ring.path}, and it alone opens what is kept. {done}"
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(RELEASE_S):
                await database.run(lease.release, fence)


async def _with_keys_of_others(database: Database, ring: KeyRing, fence: int) -> str:
    """The same with keys that only a person can change: the new one is there already."""
    if len(ring.words) < 2:
        what = f"{ring.source} can't be changed from here, and holds one key"
        raise SessionKeyError(what, remedy="Put a new key in front of it, then run this again")
    done = await _reseal_all(database, ring, fence)
    return f"The first key of {ring.source} alone opens what is kept: take the others out. {done}"


async def _take(database: Database, owner: str) -> int:
    """The lease on the database, which a daemon elsewhere may have."""
    await database.run(lease.prepare)
    found = await database.run(lease.claim, owner, LEASE_S)
    if isinstance(found, int):
        return found
    what = f"daemon {found.owner} works on this database"
    raise SessionKeyError(what, remedy="Stop it and every other one there: it would go on with the old key")


@dataclass(slots=True)
class _Pass:
    """One way through all rows."""

    newest: Fernet
    all_keys: MultiFernet
    unreadable: int = 0
    changed: Counter[Sealed] = field(default_factory=Counter)

    def reseal(self, value: bytes) -> bytes | None:
        try:
            self.newest.decrypt(value)
        except InvalidToken:
            try:
                return self.all_keys.rotate(value)
            except InvalidToken:
                self.unreadable += 1
        return None


async def _reseal_all(database: Database, ring: KeyRing, fence: int) -> str:
    """Encrypt anew until a whole pass finds nothing to do; what was done, as sentences."""
    total = Counter[Sealed]()
    while True:
        found = _Pass(Fernet(ring.words[0]), ring.fernet)
        for kind in NAMES:
            await _reseal_table(database, kind, found, fence)
        total += found.changed
        if not found.changed.total():
            break
    said = " and ".join(f"{total[kind]} {name}" for kind, name in NAMES.items())
    lost = f" What no key opens is left as it is: {found.unreadable}." if found.unreadable else ""
    return f"Encrypted anew: {said}.{lost}"


async def _reseal_table(database: Database, kind: Sealed, found: _Pass, fence: int) -> None:
    last = ""
    while True:
        with crash.around(Step.RESEAL):
            batch = await database.run(sealed.reseal, kind, last, found.reseal, fence)
        found.changed[kind] += batch.changed
        if batch.last is None:
            return
        last = batch.last
