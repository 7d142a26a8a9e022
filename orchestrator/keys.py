"""The keys that encrypt what is kept of accounts: sign-ins, and passwords that were added while we run.

Keys are Fernet keys, newest first: the newest encrypts, all decrypt. `orchestrator keys rotate` makes a new
one and encrypts everything anew with it (`rotation.py`).
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from orchestrator.errors import SessionKeyError
from orchestrator.settings import BrowserSettings
from orchestrator.settings.base import find_credential

log = structlog.get_logger("keys")

KEY_FILE = "session.key"
CREDENTIAL = "session_key"
REMEDY = "check browser.session_key_file and the file's owner and mode"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys, newest first, and where they come from."""

    words: tuple[str, ...]
    source: str
    """For people: a setting, or a file."""
    path: Path | None
    """The file that we may write anew; None for keys that only a person can change."""

    @property
    def fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(word) for word in self.words])


def find_keys(settings: BrowserSettings, state_dir: Path) -> MultiFernet:
    """The keys of `read_keys`, ready for use. Raises what that does."""
    return read_keys(settings, state_dir).fernet


def read_keys(settings: BrowserSettings, state_dir: Path) -> KeyRing:
    """The keys from the settings, a key file, systemd's credentials, or `session.key` in the state directory.

    The last is made when it is missing. Raises SessionKeyError when a key can't be read or is none.
    """
    if settings.session_key is not None:
        return _parse(settings.session_key.get_secret_value(), "browser.session_key", None)
    if settings.session_key_file is not None:
        return _read(settings.session_key_file, is_ours=True)
    if (credential := find_credential(CREDENTIAL)) is not None:
        return _read(credential, is_ours=False)
    return _read(_own_key(state_dir), is_ours=True)


def write_keys(path: Path, words: Sequence[str]) -> None:
    """Replace what the key file holds, as a whole or not at all, also when the power fails.

    It keeps its owner and mode. Raises SessionKeyError.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        before = path.stat()
        draft.unlink(missing_ok=True)  # of a rotation that was killed
        _write(draft, words)
        draft.chmod(before.st_mode & 0o777)
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(draft, before.st_uid, before.st_gid)
        draft.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise SessionKeyError(f"the key file {path} can't be written: {error}", remedy=REMEDY) from error


def _read(path: Path, *, is_ours: bool) -> KeyRing:
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SessionKeyError(f"the session key file {path} can't be read: {error}", remedy=REMEDY) from error
    return _parse(text, str(path), path if is_ours else None)


def _own_key(state_dir: Path) -> Path:
    path = state_dir / KEY_FILE
    if not path.exists():
        _create(path, Fernet.generate_key().decode())
    return path


def _create(path: Path, word: str) -> None:
    """Write a new key under its final name only when it is complete, and never over another one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        _write(draft, [word])
        path.hardlink_to(draft)
    except FileExistsError:
        log.info("session_key_exists", path=str(path))  # another process was first: its key counts
    except OSError as error:
        raise SessionKeyError(
            f"the session key {path} can't be made: {error}", remedy="make the state directory writable"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, words: Sequence[str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{word}\n" for word in words))
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(text: str, source: str, path: Path | None) -> KeyRing:
    ring = KeyRing(tuple(text.replace(",", " ").split()), source, path)
    try:
        _ = ring.fernet
    except ValueError as error:
        raise SessionKeyError(
            f"{source} holds no Fernet key (32 bytes in URL-safe base64)",
            remedy="make one with: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'",
        ) from error
    return ring


# ── passwords ───────────────────────────────────────────────────────────────────────────────────


def seal_password(keys: MultiFernet, account: str, password: SecretStr) -> bytes:
    """The password, encrypted; the account's name is sealed in, so that it is no other account's."""
    return keys.encrypt(json.dumps({"account": account, "password": password.get_secret_value()}).encode())


def open_password(keys: MultiFernet, account: str, sealed: bytes) -> SecretStr:
    """Raises SessionKeyError when no key fits, or when it is another account's."""
    try:
        document = json.loads(keys.decrypt(sealed))
    except (InvalidToken, ValueError) as error:
        raise SessionKeyError("its password can't be read with the keys at hand") from error
    if not isinstance(document, dict) or document.get("account") != account or "password" not in document:
        raise SessionKeyError("what is kept as its password is something else")
    return SecretStr(document["password"])
