"""Accounts added, removed, switched off and on again by people, while the daemon runs.

Each order is in the database before it holds here, so what a person was told outlives any crash. Accounts of
the settings can be switched off and on, and are otherwise changed in the settings.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio
from cryptography.fernet import MultiFernet
from pydantic import SecretStr

from orchestrator.db import registry
from orchestrator.db.registry import MAX_ADDED, AddedAccount
from orchestrator.errors import AccountOrderError, DatabaseError, SessionKeyError, SettingsError
from orchestrator.jobs import onboarding
from orchestrator.jobs.accounts import Unusable
from orchestrator.jobs.tools import Account, Tools
from orchestrator.keys import open_password, seal_password
from orchestrator.settings import AccountSettings
from orchestrator.settings.one_account import OPTIONS, check_account
from orchestrator.sites.profile import Profile
from orchestrator.sites.session import SiteAccount

LOOK_EVERY_S = 30.0
"""Between two looks at whether what holds up a removal has ended."""

log = structlog.get_logger("accounts")


def make_account(settings: AccountSettings, profile: Profile) -> Account:
    """Raises SettingsError (a password file that can't be read)."""
    password = settings.read_password()
    return Account(settings, SiteAccount(settings.name, settings.username, password, profile))


async def _nothing_to_close(_identity: str) -> None:
    pass


@dataclass(slots=True)
class Registry:
    """The orders that people give. `load` comes first."""

    tools: Tools
    profiles: Mapping[str, Profile]
    keys: MultiFernet
    hide: Callable[[SecretStr], None]
    """Keeps a password out of the log from now on."""
    on_change: Callable[[], None] = lambda: None
    """Called after each change of which accounts there are, and of which of them work is done for."""
    close_contexts: Callable[[str], Awaitable[None]] = _nothing_to_close
    """Closes the browser contexts of a sign-in, by its identity, without storing what they hold."""
    _added: dict[str, str] = field(default_factory=dict)
    """By account that is not of the settings, who has added it."""
    _is_leaving: trio.Event = field(default_factory=trio.Event)
    _changing: trio.Lock = field(default_factory=trio.Lock)
    """One order at a time."""

    async def load(self) -> None:
        """Take over what was ordered before.

        Raises SettingsError for an added account whose name the settings have too, DatabaseError.
        """
        accounts, database = self.tools.accounts, self.tools.database
        for found in await database.run(registry.added):
            if found.name in accounts.here:
                what = f"account {found.name} is in the settings, and {found.added_by} has added one too"
                way = f"orchestrator ctl accounts remove {found.name}"
                remedy = f"Take it out of the settings; or first start without it there, and: {way}"
                raise SettingsError(what, remedy=remedy)
            self._added[found.name] = found.added_by
            self._revive(found)
        for name, (who, _) in (await database.run(registry.disabled)).items():
            accounts.disable(name, who)
        self.on_change()

    def _revive(self, found: AddedAccount) -> None:
        accounts = self.tools.accounts
        try:
            password = open_password(self.keys, found.name, found.password)
            self.hide(password)
            given = {"name": found.name, "site": found.site, "username": found.username, "password": password}
            settings = check_account(given | found.options, self.tools.settings)
        except (SessionKeyError, SettingsError) as error:
            # One account that can't be used is no reason not to start with the others.
            log.error("account_unusable", account=found.name, error=str(error))
            accounts.unusable[found.name] = Unusable(found.site, str(error))
        else:
            accounts.add(make_account(settings, self.profiles[settings.site]))
        if found.removed_by is not None:
            accounts.leave(found.name, found.removed_by)
            self._is_leaving.set()

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    async def add(self, given: Mapping[str, Any], who: str) -> str:
        """Add an account of the values `name`, `site`, `username`, `password` and `OPTIONS`.

        What holds now, as a sentence. Raises AccountOrderError, SettingsError, DatabaseError.
        """
        password = SecretStr(given["password"])
        self.hide(password)  # before anything is said of it
        settings = check_account(dict(given) | {"password": password}, self.tools.settings)
        async with self._changing:
            self._check_free(settings.name)
            sealed = seal_password(self.keys, settings.name, password)
            options = {name: given[name] for name in OPTIONS if name in given}
            row = AddedAccount(settings.name, settings.site, settings.username, sealed, options, who)
            if not await self.tools.database.run(registry.add, row, self.tools.stamp()):
                raise AccountOrderError(f"{MAX_ADDED} accounts have been added, and there may be no more")
            self._added[settings.name] = who
            self.tools.refusals.forget(settings.name)
            self.tools.accounts.add(make_account(settings, self.profiles[settings.site]))
        self.on_change()
        log.info("account_added", account=settings.name, site=settings.site, by=who)
        self.tools.wake(onboarding.NAME, f"account {settings.name} was added")
        way = "orchestrator ctl accounts --watch"
        return f"Account {settings.name} is added, and is signed in next; see: {way}"

    async def remove(self, name: str, who: str) -> str:
        """Let go of an added account, at once or when nothing of it is under way. Raises as `add` does."""
        accounts, database = self.tools.accounts, self.tools.database
        async with self._changing:
            self._check_here(name)
            if name not in self._added:
                way = f"orchestrator ctl accounts disable {name}"
                remedy = f"Take it out there and restart; until then: {way}"
                raise AccountOrderError(f"account {name} is of the settings", remedy=remedy)
            await database.run(registry.begin_removal, name, who, self.tools.stamp())
            accounts.leave(name, who)
        self.on_change()
        log.info("account_leaves", account=name, by=who)
        waits = (await database.run(registry.on_the_way, name)).waiting
        said = [f"Not sent and kept: {_posts(waits)}, for when an account {name} is added again."]
        if await self._see_off(name):
            return " ".join([f"Account {name} is removed.", *(said if waits else [])])
        self._is_leaving.set()
        begun = (await database.run(registry.on_the_way, name)).under_way
        what = f"{_posts(begun)} under way" if begun else "a visit"
        head = f"Nothing new is begun for account {name}; it is removed when {what} of it has come to an end."
        return " ".join([head, *(said if waits else [])])

    async def disable(self, name: str, who: str) -> str:
        """Do no work for an account until `enable`. Raises as `add` does."""
        accounts = self.tools.accounts
        async with self._changing:
            self._check_here(name)
            if name in accounts.disabled:
                return f"Account {name} is switched off already, by {accounts.disabled[name]}."
            await self.tools.database.run(registry.disable, name, who, self.tools.stamp())
            accounts.disable(name, who)
        self.on_change()
        log.info("account_disabled", account=name, by=who)
        found = await self.tools.database.run(registry.on_the_way, name)
        waits = f" Waiting: {_posts(found.waiting)}." if found.waiting else ""
        end = f"A visit under way ends by itself.{waits} Back: orchestrator ctl accounts enable {name}"
        return f"Account {name} is switched off: it is not visited. {end}"

    async def enable(self, name: str, who: str) -> str:
        """Do work for an account again. Raises as `add` does."""
        accounts = self.tools.accounts
        async with self._changing:
            self._check_here(name)
            if name not in accounts.disabled:
                return f"Account {name} was not switched off."
            await self.tools.database.run(registry.enable, name, self.tools.fence.number)
            accounts.enable(name)
        self.on_change()
        log.info("account_enabled", account=name, by=who)
        self.tools.wake(onboarding.NAME, f"account {name} was switched on")
        return f"Account {name} is switched on. Each job takes it up at its next run."

    def _check_free(self, name: str) -> None:
        if name in self._added:
            remedy = f"Choose another name, or first: orchestrator ctl accounts remove {name}"
            by = f"added by {self._added[name]}"
            raise AccountOrderError(f"there is an account {name} already, {by}", remedy=remedy)
        if name in self.tools.accounts.here:
            remedy = "Choose another name, or take it out of the settings and restart"
            raise AccountOrderError(f"there is an account {name} already, of the settings", remedy=remedy)

    def _check_here(self, name: str) -> None:
        accounts = self.tools.accounts
        if name not in accounts.here and name not in accounts.unusable:
            raise AccountOrderError(f"there is no account {name}", remedy="See: orchestrator ctl accounts")

    # ── removals ────────────────────────────────────────────────────────────────────────────────

    async def see_off(self) -> None:
        """End for ever what removals had to wait for: also those of an earlier daemon."""
        while True:
            await self._is_leaving.wait()
            for name in list(self.tools.accounts.leaving):
                try:
                    await self._see_off(name)
                except DatabaseError as error:
                    log.warning("account_not_removed", account=name, error=str(error))
            if not self.tools.accounts.leaving:
                self._is_leaving = trio.Event()
                continue
            await trio.sleep(LOOK_EVERY_S)

    async def _see_off(self, name: str) -> bool:
        """Whether the account is gone: nothing of it was under way."""
        accounts = self.tools.accounts
        async with self._changing:
            if name not in accounts.leaving:
                return True
            if accounts.is_visited(name):
                return False
            if name in accounts.here:
                await self.close_contexts(accounts[name].site.identity)
            if not await self.tools.database.run(registry.end_removal, name, self.tools.fence.number):
                return False
            accounts.drop(name)
            del self._added[name]
            self.tools.health.forget(name)
        self.on_change()
        log.info("account_removed", account=name)
        return True


def _posts(count: int) -> str:
    return "1 post" if count == 1 else f"{count} posts"
