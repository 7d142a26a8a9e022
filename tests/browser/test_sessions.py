"""Sign-in states at rest: unreadable without a key, bound to their account."""

from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet

from orchestrator.browser.sessions import SessionVault
from tests.browser.harness import MemoryStore

STATE: dict[str, Any] = {"cookies": [{"name": "session", "value": "canary-value"}], "origins": []}
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def vault(store: MemoryStore, *keys: str) -> SessionVault:
    return SessionVault(store, MultiFernet([Fernet(key) for key in keys]))


async def test_a_saved_state_comes_back_and_its_values_are_not_in_the_bytes() -> None:
    store = MemoryStore()
    await vault(store, NEW).save("ada", STATE)
    assert await vault(store, NEW).load("ada") == STATE
    assert b"canary" not in store.states["ada"]
    assert b"ada" not in store.states["ada"]


async def test_a_new_key_in_front_reads_what_the_old_one_wrote_and_takes_over_at_the_next_save() -> None:
    store = MemoryStore()
    await vault(store, OLD).save("ada", STATE)
    both = vault(store, NEW, OLD)
    assert await both.load("ada") == STATE
    await both.save("ada", STATE)
    assert await vault(store, NEW).load("ada") == STATE


@pytest.mark.parametrize(
    "sealed",
    [b"", b"junk", Fernet(OLD).encrypt(b"{}"), Fernet(NEW).encrypt(b"no json")],
    ids=["empty", "junk", "of an old key", "no JSON"],
)
async def test_a_state_that_no_key_fits_counts_as_signed_out(sealed: bytes) -> None:
    store = MemoryStore()
    store.states["ada"] = sealed
    assert await vault(store, NEW).load("ada") is None


async def test_a_state_of_another_account_is_not_taken() -> None:
    store = MemoryStore()
    await vault(store, NEW).save("ada", STATE)
    store.states["bert"] = store.states["ada"]
    assert await vault(store, NEW).load("bert") is None


async def test_an_account_without_a_state_is_signed_out() -> None:
    assert await vault(MemoryStore(), NEW).load("ada") is None
