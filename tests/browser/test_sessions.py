"""Sign-in states at rest: unreadable without a key, bound to their account, keys that can change."""

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from pydantic import SecretStr

from orchestrator.browser.sessions import KEY_FILE, SessionVault, find_keys
from orchestrator.errors import SessionKeyError
from orchestrator.settings import BrowserSettings
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
    "sealed", [b"", b"junk", Fernet(OLD).encrypt(b"{}"), Fernet(NEW).encrypt(b"no json")]
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


def test_the_settings_key_goes_before_files(tmp_path: Path) -> None:
    keys = find_keys(BrowserSettings(session_key=SecretStr(f"{NEW}, {OLD}")), tmp_path)
    assert keys.decrypt(Fernet(OLD).encrypt(b"x")) == b"x"
    assert Fernet(NEW).decrypt(keys.encrypt(b"x")) == b"x"
    assert not (tmp_path / KEY_FILE).exists()


def test_a_key_file_may_hold_one_key_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{NEW}\n{OLD}\n")
    keys = find_keys(BrowserSettings(session_key_file=path), tmp_path)
    assert keys.decrypt(Fernet(OLD).encrypt(b"x")) == b"x"


def test_a_credential_of_systemd_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "session_key").write_text(NEW)
    assert find_keys(BrowserSettings(), tmp_path).decrypt(Fernet(NEW).encrypt(b"x")) == b"x"


def test_a_key_is_made_once_for_the_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    old_mask = os.umask(0)
    try:
        sealed = find_keys(BrowserSettings(), tmp_path).encrypt(b"x")
    finally:
        os.umask(old_mask)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert find_keys(BrowserSettings(), tmp_path).decrypt(sealed) == b"x"
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("text", ["", "short", "x" * 44])
def test_what_is_no_key_is_named_with_its_source(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(SessionKeyError, match="keys holds no Fernet key"):
        find_keys(BrowserSettings(session_key_file=path), tmp_path)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SessionKeyError, match="nowhere can't be read"):
        find_keys(BrowserSettings(session_key_file=tmp_path / "nowhere"), tmp_path)


def test_a_state_directory_that_takes_no_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SessionKeyError, match=r"session.key can't be made"):
        find_keys(BrowserSettings(), tmp_path / "missing")
