"""Where the keys come from, how their file is written, and what is sealed with them."""

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, MultiFernet
from pydantic import SecretStr

from orchestrator.errors import SessionKeyError
from orchestrator.keys import KEY_FILE, find_keys, open_password, read_keys, seal_password, write_keys
from orchestrator.settings import BrowserSettings

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


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


def test_a_key_file_is_written_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{OLD}\n")
    path.chmod(0o640)
    (tmp_path / "keys.new").write_text("half of a k")  # of a writer that was killed
    write_keys(path, [NEW, OLD])
    assert path.read_text() == f"{NEW}\n{OLD}\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in tmp_path.iterdir()] == ["keys"]


def test_only_keys_in_a_file_of_ours_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert read_keys(BrowserSettings(), tmp_path).path == tmp_path / KEY_FILE
    assert read_keys(BrowserSettings(session_key=SecretStr(NEW)), tmp_path).path is None
    (tmp_path / "session_key").write_text(NEW)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_keys(BrowserSettings(), tmp_path).path is None
    with pytest.raises(SessionKeyError, match="can't be written"):
        write_keys(tmp_path / "nowhere" / "keys", [NEW])


def test_a_sealed_password_is_unreadable_without_a_key_and_of_one_account_alone() -> None:
    keys = MultiFernet([Fernet(NEW)])
    sealed = seal_password(keys, "ada", SecretStr("canary-password"))
    assert b"canary" not in sealed
    assert open_password(keys, "ada", sealed).get_secret_value() == "canary-password"
    for name, others in (("bert", keys), ("ada", MultiFernet([Fernet(OLD)]))):
        with pytest.raises(SessionKeyError):
            open_password(others, name, sealed)
    with pytest.raises(SessionKeyError, match="something else"):
        open_password(keys, "ada", keys.encrypt(b'{"account": "ada", "state": {}}'))
