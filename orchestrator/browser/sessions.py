"""Accounts' sign-in states (cookies and local storage), encrypted before they leave this module.

Keys are Fernet keys, newest first: the newest encrypts, all decrypt, so a new key put in front takes
over at each account's next save. The account's name is sealed in with the state: a row that was
swapped with another account's is refused.
"""

import json
import os
from pathlib import Path
from typing import Any, Protocol

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from orchestrator.errors import SessionKeyError
from orchestrator.settings import BrowserSettings
from orchestrator.settings.base import find_credential

log = structlog.get_logger("browser.sessions")

KEY_FILE = "session.key"
CREDENTIAL = "session_key"


class SessionStore(Protocol):
    """Where encrypted sign-in states are kept; called on the trio side."""

    async def load(self, account: str) -> bytes | None: ...

    async def save(self, account: str, state: bytes) -> None: ...


def find_keys(settings: BrowserSettings, state_dir: Path) -> MultiFernet:
    """The keys from the settings, a key file, systemd's credentials, or `session.key` in the state directory.

    The last is made when it is missing. Raises SessionKeyError when a key can't be read or is none.
    """
    if settings.session_key is not None:
        return _parse(settings.session_key.get_secret_value(), "browser.session_key")
    path = settings.session_key_file or find_credential(CREDENTIAL) or _own_key(state_dir)
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SessionKeyError(
            f"the session key file {path} can't be read: {error}",
            remedy="check browser.session_key_file and the file's owner and mode",
        ) from error
    return _parse(text, str(path))


def _own_key(state_dir: Path) -> Path:
    path = state_dir / KEY_FILE
    if not path.exists():
        _create(path, Fernet.generate_key())
    return path


def _create(path: Path, key: bytes) -> None:
    """Write a new key under its final name only when it is complete, and never over another one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        log.info("session_key_exists", path=str(path))  # another process was first: its key counts
    except OSError as error:
        raise SessionKeyError(
            f"the session key {path} can't be made: {error}", remedy="make the state directory writable"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _parse(text: str, source: str) -> MultiFernet:
    words = text.replace(",", " ").split()
    try:
        return MultiFernet([Fernet(word) for word in words])
    except ValueError as error:
        raise SessionKeyError(
            f"{source} holds no Fernet key (32 bytes in URL-safe base64)",
            remedy="make one with: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'",
        ) from error


class SessionVault:
    """Sign-in states over a store, in clear on this side only."""

    def __init__(self, store: SessionStore, keys: MultiFernet) -> None:
        self._store = store
        self._keys = keys

    async def load(self, account: str) -> dict[str, Any] | None:
        """The account's state, or None when there is none or it can't be read with the keys at hand."""
        sealed = await self._store.load(account)
        if sealed is None:
            return None
        try:
            return self._open(account, sealed)
        except SessionKeyError as error:
            log.warning("session_unreadable", account=account, error=str(error))
            return None

    async def save(self, account: str, state: dict[str, Any]) -> None:
        clear = json.dumps({"account": account, "state": state}).encode()
        await self._store.save(account, self._keys.encrypt(clear))

    def _open(self, account: str, sealed: bytes) -> dict[str, Any]:
        try:
            document = json.loads(self._keys.decrypt(sealed))
        except (InvalidToken, ValueError) as error:
            raise SessionKeyError("the stored sign-in state does not fit any key") from error
        if not isinstance(document, dict) or document.get("account") != account:
            raise SessionKeyError("the stored sign-in state is not this account's")
        state: dict[str, Any] = document["state"]
        return state
