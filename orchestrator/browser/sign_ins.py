"""Which sign-in state of an account is stored: the newest sign-in's, when it has changed. Trio side."""

from typing import Any

import structlog
import trio

from orchestrator import aio
from orchestrator.browser import context as contexts
from orchestrator.browser.context import OpenContext
from orchestrator.browser.sessions import SessionVault
from orchestrator.errors import OrchestratorError

log = structlog.get_logger("browser.sign_ins")


class SignIns:
    """The sign-in states of all open contexts, over the vault.

    An account may have two contexts open at once. When one signs in anew, what the other holds is out of
    date and is stored no more.
    """

    def __init__(self, vault: SessionVault) -> None:
        self._vault = vault
        self._newest: dict[str, int] = {}
        self._saving = trio.Lock()

    async def load(self, account: str) -> tuple[int, dict[str, Any] | None]:
        """The number of the account's newest sign-in, and the stored state."""
        return self._number(account), await self._vault.load(account)

    async def keep_new(self, opened: OpenContext) -> None:
        """Store the state of a sign-in just made. Raises ContextBrokenError or the store's own errors."""
        opened.sign_in = self._newest[opened.account] = self._number(opened.account) + 1
        await self._save(opened)

    async def keep(self, opened: OpenContext, *, always_look: bool) -> None:
        """Store the state when cookies have changed, or whenever it has with `always_look`."""
        try:
            cookies = await aio.call(contexts.read_cookies, opened)
            if always_look or cookies != opened.seen_cookies:
                await self._save(opened)
                opened.seen_cookies = cookies
        except OrchestratorError as error:
            # The use itself went well; its account signs in once more if the state is lost.
            log.warning("session_not_saved", account=opened.account, error=error.line())

    async def _save(self, opened: OpenContext) -> None:
        state = await aio.call(contexts.read_state, opened)
        digest = contexts.digest(state)
        async with self._saving:
            if digest != opened.saved_digest and opened.sign_in == self._number(opened.account):
                await self._vault.save(opened.account, state)
                opened.saved_digest = digest

    def _number(self, account: str) -> int:
        return self._newest.get(account, 0)
