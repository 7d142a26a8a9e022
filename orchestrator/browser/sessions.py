"""Accounts' sign-in states (cookies and local storage), encrypted before they leave this module.

The account's name is sealed in with the state: a row that was swapped with another account's is refused.
"""

import json
from typing import Any, Protocol

import structlog
from cryptography.fernet import InvalidToken, MultiFernet

from orchestrator.errors import SessionKeyError

log = structlog.get_logger("browser.sessions")


class SessionStore(Protocol):
    """Where encrypted sign-in states are kept; called on the trio side."""

    async def load(self, account: str) -> bytes | None: ...

    async def save(self, account: str, state: bytes) -> None: ...


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
