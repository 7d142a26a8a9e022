"""Who may sign in, who is signed in, and the tokens in forms.

Passwords are stored as scrypt hashes. A session is a random token in a cookie; the database has only its
sha256. A form carries a token bound to the session (or, before sign-in, to a cookie of its own), so that no
other site can send it. It says who sent the form, not how often: sending a form twice posts twice.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.clock import Clock
from orchestrator.demo.people import People
from orchestrator.demo.records import Author

SESSION_COOKIE = "session"
GUEST_COOKIE = "guest"
SESSION_S = 30 * 24 * 3600
_NONCE_CHARS = 16
_SCRYPT_COST = 2**13
_SCRYPT_BLOCK = 8
_NOBODY = "scrypt$8192$8$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""Checked for unknown names, so that they take as long as wrong passwords."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account that can sign in, as given at the start."""

    name: str
    password: str = field(repr=False)
    display_name: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a request. `key` is what their form tokens are bound to."""

    author: Author | None
    key: str = field(repr=False)


class Accounts:
    """Checks passwords, keeps sessions, signs forms."""

    def __init__(self, people: People, clock: Clock, form_secret: bytes) -> None:
        self._people = people
        self._clock = clock
        self._form_secret = form_secret
        self._one_hash_at_a_time = trio.CapacityLimiter(1)  # each takes 8 MB
        self._passwords_known = trio.Event()

    async def provision(self, accounts: Mapping[str, Account]) -> None:
        """Bring the stored passwords up to date. Until this has ended, sign-ins wait."""
        for account in accounts.values():
            stored = self._people.password(account.name)
            if stored is None or not await self._matches(account.password, stored):
                await self._people.set_password(account.name, await self._hash(account.password))
        self._passwords_known.set()

    def visitor(self, request: Request) -> Visitor:
        token = request.cookies.get(SESSION_COOKIE, "")
        author = self._people.of_session(_token_hash(token), self._clock.timestamp()) if token else None
        if author is not None:
            return Visitor(author, token)
        return Visitor(None, request.cookies.get(GUEST_COOKIE) or secrets.token_urlsafe(16))

    async def sign_in(self, name: str, password: str) -> str | None:
        """A new session's token; None when name or password is wrong."""
        await self._passwords_known.wait()
        stored = self._people.password(name)
        if not await self._matches(password, stored or _NOBODY):
            return None
        token = secrets.token_urlsafe(32)
        author = self._people.get(name)
        if stored is None or author is None:
            return None
        await self._people.add_session(_token_hash(token), author.name, self._clock.timestamp() + SESSION_S)
        return token

    async def sign_out(self, visitor: Visitor) -> None:
        await self._people.end_session(_token_hash(visitor.key))

    def form_token(self, visitor: Visitor) -> str:
        nonce = secrets.token_urlsafe(_NONCE_CHARS)[:_NONCE_CHARS]
        return nonce + self._signature(visitor, nonce)

    def is_form_token(self, visitor: Visitor, token: str) -> bool:
        nonce, signature = token[:_NONCE_CHARS], token[_NONCE_CHARS:]
        return hmac.compare_digest(signature.encode(), self._signature(visitor, nonce).encode())

    def _signature(self, visitor: Visitor, nonce: str) -> str:
        message = f"{nonce}/{visitor.key}".encode()
        return hmac.new(self._form_secret, message, hashlib.sha256).hexdigest()

    async def _hash(self, password: str) -> str:
        return await trio.to_thread.run_sync(hash_password, password, limiter=self._one_hash_at_a_time)

    async def _matches(self, password: str, stored: str) -> bool:
        return await trio.to_thread.run_sync(is_password, password, stored, limiter=self._one_hash_at_a_time)


def set_session_cookie(response: Response, token: str) -> None:
    response.set_cookie(SESSION_COOKIE, token, max_age=SESSION_S, httponly=True, samesite="lax")


def set_guest_cookie(response: Response, visitor: Visitor) -> None:
    response.set_cookie(GUEST_COOKIE, visitor.key, httponly=True, samesite="lax")


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    key = hashlib.scrypt(password.encode(), salt=salt, n=_SCRYPT_COST, r=_SCRYPT_BLOCK, p=1, dklen=32)
    return "$".join(
        (
            "scrypt",
            str(_SCRYPT_COST),
            str(_SCRYPT_BLOCK),
            *(base64.b64encode(b).decode() for b in (salt, key)),
        )
    )


def is_password(password: str, stored: str) -> bool:
    """Whether `stored` is a hash of this password; takes some 20 ms of a processor."""
    _, cost, block, salt, key = stored.split("$")
    made = hashlib.scrypt(
        password.encode(), salt=base64.b64decode(salt), n=int(cost), r=int(block), p=1, dklen=32
    )
    return hmac.compare_digest(made, base64.b64decode(key))


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
