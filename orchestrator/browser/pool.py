"""The pool: one open context a slot, kept between uses, made anew when it is worn or broken.

All state here is written on the trio side.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from orchestrator import aio
from orchestrator.browser import context as contexts
from orchestrator.browser import processes, renderers
from orchestrator.browser.context import ContextPlan, OpenContext, Visit
from orchestrator.browser.engine import LaunchPlan
from orchestrator.browser.guard import Guard, HostRules, open_guard
from orchestrator.browser.launcher import is_sandboxed
from orchestrator.browser.memory_limit import keep_memory_limit
from orchestrator.browser.page import open_url
from orchestrator.browser.sessions import SessionStore, SessionVault
from orchestrator.browser.shared import SharedEngine
from orchestrator.browser.sign_ins import SignIns
from orchestrator.browser.statistics import PoolStatistics, SlotStatistics
from orchestrator.errors import BrowserError, BrowserMissingError, ContextBrokenError, OrchestratorError
from orchestrator.keys import find_keys
from orchestrator.settings import BrowserSettings

T = TypeVar("T")

log = structlog.get_logger("browser.pool")

DIRECTORY = "browser"
SAVE_S = 5
"""Looking at a context's cookies and saving them; the lease is held for as long after a use."""
CLOSE_S = 10
END_OF_USE_S = SAVE_S + SAVE_S + CLOSE_S
"""Longest that the end of a use takes: its sign-in stored, once more if need be, and the context closed."""
PROBE_ACCOUNT = "(probe)"


@dataclass(slots=True)
class _Place:
    """What a slot holds.

    1. `is_used` implies that exactly one `use` block runs over it.
    2. `is_broken` implies that visits fail until the next use or rebuild.
    """

    slot: int
    opened: OpenContext | None = None
    is_used: bool = False
    is_broken: bool = False
    renewals: int = 0


class BrowserSession:
    """The right to visit pages as one account while a `use` block runs."""

    def __init__(self, pool: "ContextPool", place: _Place, account: str, hosts: frozenset[str]) -> None:
        self._pool = pool
        self._place = place
        self._account = account
        self._hosts = hosts

    async def visit(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run `await fn(page, *args)` on the asyncio side within `browser.visit_timeout_s`.

        `fn` gets a Playwright page; the same one as the last visit got, as a rule. Raises
        ContextBrokenError (the slot is then broken), SiteUnavailableError, HostRefusedError, BrowserError
        and whatever else `fn` raises.
        """
        return await self._run(Visit(fn, args, self._pool._settings.visit_timeout_s))

    async def visit_with_effect(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """As `visit`, for what must not happen twice: each request beyond mere reading is sent at most once.

        A failure does not tell whether the effect took place.
        """
        return await self._run(Visit(fn, args, self._pool._settings.visit_timeout_s, has_effect=True))

    async def _run(self, visit: Visit[T]) -> T:
        if self._place.is_broken:
            raise ContextBrokenError(f"the context of slot {self._place.slot} is broken")
        opened = await self._pool._ready(self._place, self._account, self._hosts)
        try:
            return await aio.call(contexts.run_visit, opened, visit)
        finally:
            self._place.is_broken |= opened.is_lost

    async def save_new_sign_in(self) -> None:
        """Store the state of a sign-in just made; what older ones left in other contexts is stored no more.

        Raises ContextBrokenError or the store's own errors.
        """
        if self._place.opened is not None:
            await self._pool._sign_ins.keep_new(self._place.opened)


class ContextPool:
    """Contexts over slots 0 to `capacity` - 1, and those that are added; `open_pool` makes one."""

    def __init__(
        self, settings: BrowserSettings, capacity: int, plan: LaunchPlan, guard: Guard, vault: SessionVault
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._sign_ins = SignIns(vault)
        self._places = {slot: _Place(slot) for slot in range(capacity)}
        self._engine = SharedEngine(plan)

    # ── for jobs ────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def use(self, slot: int, account: str, hosts: frozenset[str]) -> AsyncIterator[BrowserSession]:
        """Visit pages on `hosts` as `account` with the context of `slot`.

        The account's open context is used again, also one that lies in another slot that nobody uses. Else
        one is opened; when all slots are taken, the sign-in state of this one's is saved and it is closed.
        Raises BrowserError when there is no browser. Two uses of a slot at once are a bug of the caller:
        RuntimeError.
        """
        place = self._places[slot]
        if place.is_used:
            raise RuntimeError(f"slot {slot} is in use")
        place.is_used = True
        try:
            place.is_broken = False
            opened = await self._ready(place, account, hosts)
            opened.begin_use()
            try:
                yield BrowserSession(self, place, account, hosts)
            finally:
                if place.opened is not None:
                    place.opened.used_at = trio.current_time()
                with trio.CancelScope(shield=True):
                    await self._end_use(place)
        finally:
            place.is_used = False

    async def save_sign_ins(self) -> None:
        """Store what idle contexts have not stored yet, for `SAVE_S` at most: before the store is closed."""
        with trio.move_on_after(SAVE_S) as scope:
            async with trio.open_nursery() as nursery:
                for place in list(self._places.values()):
                    if place.opened is not None and not place.is_used:
                        nursery.start_soon(self._save_last, place.opened)
        if scope.cancelled_caught:
            log.warning("sign_ins_not_saved", after_s=SAVE_S)

    # ── for whoever watches over the slots ──────────────────────────────────────────────────────

    async def warm_up(self) -> None:
        """Launch the browser, for the first use to find it there; if that fails, the first use tells why."""
        try:
            await self._engine.live()
        except BrowserError as error:
            log.info("browser_not_launched", error=error.line())

    def is_broken(self, slot: int) -> bool:
        """Whether the slot's context died and has not been made anew."""
        return self._places[slot].is_broken

    async def rebuild(self, slot: int) -> None:
        """Make a slot whole that is not in use: what is dead is launched, what died idle is opened again.

        Raises BrowserError when that fails; the slot stays broken then.
        """
        place = self._places[slot]
        if place.is_used:
            raise RuntimeError(f"slot {slot} is in use")
        place.is_used = True
        try:
            opened = place.opened
            if opened is not None:
                await self._ready(place, opened.account, opened.hosts)
            else:
                await self._engine.live()
            place.is_broken = False
        finally:
            place.is_used = False

    async def probe(self) -> None:
        """Open a page of our own in a context of its own; launches what is dead. Raises BrowserError."""
        hosts = frozenset({self._guard.address})
        try:
            title = await self.visit_apart(hosts, self._read_title, HostRules.parse(hosts))
        except BrowserMissingError:
            raise
        except OrchestratorError as error:
            raise BrowserError(f"the browser can't show a page: {error}", remedy=error.remedy) from error
        if title != self._guard.probe_mark:
            raise BrowserError(f"the browser shows another page than it was told to: {title!r}")

    async def visit_apart(self, hosts: frozenset[str], fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """A visit, as nobody, in a context of its own beside the slots; launches what is dead.

        Raises what `BrowserSession.visit` does.
        """
        opened = await self._open(PROBE_ACCOUNT, hosts, None)
        try:
            return await aio.call(contexts.run_visit, opened, Visit(fn, args, self._settings.visit_timeout_s))
        finally:
            with trio.CancelScope(shield=True):
                await aio.call(contexts.close_context, opened)

    async def _read_title(self, page: Any, rules: HostRules) -> str:
        await open_url(page, self._guard.probe_url, rules)
        title: str = await page.title()
        return title

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            slots=tuple(_describe(place) for place in self._places.values()),
            browser=self._engine.describe(),
            is_sandboxed=is_sandboxed(),
            launches=self._engine.launches,
            refused=dict(self._guard.refused),
        )

    def process_ids(self) -> tuple[int, int]:
        """The driver's and the browser's process ids; 0 for one that is not there."""
        return self._engine.process_ids()

    # ── for whoever watches over memory ─────────────────────────────────────────────────────────

    async def ask_renderers(self, slot: int) -> None:
        """Learn which processes render the page in the slot: see `statistics`. Raises BrowserError."""
        opened = self._places[slot].opened
        if opened is not None and opened.is_usable:
            opened.renderers = await aio.call(renderers.renderers_of, opened)

    async def close_idle(self, slot: int) -> bool:
        """Close the slot's context, its sign-in stored; a use that begins meanwhile opens another.

        A context in use is closed at the end of the use instead; then this is False.
        """
        place = self._places[slot]
        if place.opened is not None and not place.is_used:
            await self._give_up(place, place.opened)
            return True
        if place.opened is not None:
            place.opened.is_heavy = True
        return False

    async def sweep(self, idle_s: float, max_open: int) -> int:
        """Close contexts that nobody has used for `idle_s`, and the least used beyond `max_open`; how many.

        Those in use stay.
        """
        now = trio.current_time()
        resting = sorted(
            (place.opened.used_at, place.slot)
            for place in self._places.values()
            if place.opened is not None and not place.is_used
        )
        beyond = sum(place.opened is not None for place in self._places.values()) - max_open
        chosen = [slot for at, (used_at, slot) in enumerate(resting) if at < beyond or now - used_at > idle_s]
        return sum([await self.close_idle(slot) for slot in chosen])

    async def forget(self, account: str) -> None:
        """Close the account's idle contexts, and store nothing of them."""
        for place in list(self._places.values()):
            opened = place.opened
            if opened is not None and opened.account == account and not place.is_used:
                place.opened = None
                with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                    await aio.call(contexts.close_context, opened)

    async def cut_off(self, slot: int, why: str) -> None:
        """End the slot's context though it is in use: the visit under way raises ContextBrokenError."""
        opened = self._places[slot].opened
        if opened is not None:
            await aio.call(contexts.cut_off, opened, why)

    async def sweep_caches(self) -> None:
        """Have the browser drop what it can do without. Raises BrowserError."""
        engine = self._engine.last
        if engine is not None and engine.is_alive:
            await aio.call(renderers.relieve, engine.browser)

    @property
    def slots(self) -> frozenset[int]:
        return frozenset(self._places)

    def add_slot(self, slot: int) -> None:
        """One more slot, empty."""
        self._places[slot] = _Place(slot)

    async def remove_slot(self, slot: int) -> None:
        """Take a slot away that nobody uses, and close its context."""
        if self._places[slot].is_used:
            raise RuntimeError(f"slot {slot} is in use")
        place = self._places.pop(slot)
        if place.opened is not None:
            await self._give_up(place, place.opened)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _ready(self, place: _Place, account: str, hosts: frozenset[str]) -> OpenContext:
        """The place's context, usable and this account's."""
        if place.opened is not None and not place.opened.is_usable:
            await self._give_up(place, place.opened)
        if not _fits(place.opened, account, hosts):
            self._change_places(place, account, hosts)
        if place.opened is not None and not _fits(place.opened, account, hosts):
            await self._give_up(place, place.opened)
        if place.opened is None:
            sign_in, state = await self._sign_ins.load(account)
            place.opened = await self._open(account, hosts, state)
            place.opened.sign_in = sign_in
        return place.opened

    def _change_places(self, place: _Place, account: str, hosts: frozenset[str]) -> None:
        """Fetch the account's context from an idle slot, or else move the one here to an empty slot."""
        idle = [other for other in self._places.values() if not other.is_used]
        fitting = (other for other in idle if _fits(other.opened, account, hosts))
        empty = (other for other in idle if other.opened is None)
        other = next(fitting, None) or next(empty, None)
        if other is not None:
            place.opened, other.opened = other.opened, place.opened

    async def _give_up(self, place: _Place, opened: OpenContext) -> None:
        """Close the place's context, its state saved first where that still goes."""
        place.opened = None
        place.renewals += 1
        with trio.CancelScope(shield=True):
            try:
                with trio.move_on_after(SAVE_S):
                    await self._save_last(opened)
            finally:
                with trio.move_on_after(CLOSE_S, shield=True):
                    await aio.call(contexts.close_context, opened)

    async def _save_last(self, opened: OpenContext) -> None:
        if opened.is_readable:
            # A page that hangs can't tell its local storage: then only new cookies are worth the wait.
            await self._sign_ins.keep(opened, always_look=opened.is_usable)

    async def _open(self, account: str, hosts: frozenset[str], state: dict[str, Any] | None) -> OpenContext:
        plan = ContextPlan(account, hosts, state, self._guard.url)
        try:
            return await aio.call(
                contexts.open_context, await self._engine.live(), plan, contexts.PAGE_TIMEOUT_S
            )
        except ContextBrokenError as error:
            # The renderer or the browser died just now: the next try finds out which, and gets another. It is
            # more patient, since it may be just the machine that is slow.
            log.info("context_not_opened", account=account, error=str(error))
        return await aio.call(
            contexts.open_context, await self._engine.live(), plan, contexts.ACTION_TIMEOUT_S
        )

    async def _end_use(self, place: _Place) -> None:
        opened = place.opened
        if opened is None:
            return
        if opened.is_clean:
            with trio.move_on_after(SAVE_S) as scope:
                await self._sign_ins.keep(opened, always_look=False)
                await aio.call(contexts.check_heap, opened)
            if scope.cancelled_caught:
                log.warning("end_of_use_cut_short", slot=place.slot, after_s=SAVE_S)
        place.is_broken |= opened.is_lost
        if not opened.is_clean:
            # Nobody would see what its scripts still send or gather in an idle slot.
            await self._give_up(place, opened)


def _fits(opened: OpenContext | None, account: str, hosts: frozenset[str]) -> bool:
    return opened is not None and opened.is_usable and (opened.account, opened.hosts) == (account, hosts)


def _describe(place: _Place) -> SlotStatistics:
    opened = place.opened
    return SlotStatistics(
        slot=place.slot,
        account=opened.account if opened else None,
        is_used=place.is_used,
        is_broken=place.is_broken,
        visits=opened.visits if opened else 0,
        heap_bytes=opened.heap_bytes if opened else 0,
        renderers=opened.renderers if opened else frozenset(),
        renewals=place.renewals,
    )


@asynccontextmanager
async def open_pool(
    settings: BrowserSettings, *, state_dir: Path, store: SessionStore, capacity: int
) -> AsyncIterator[ContextPool]:
    """A pool that launches its browser at the first probe or use, and leaves no process when it closes.

    What an earlier run left in the state directory, processes and files, is cleared first. Needs an open
    bridge. Raises SessionKeyError for unusable keys; a missing browser is no error here.
    """
    vault = SessionVault(store, find_keys(settings, state_dir))
    directory = (state_dir / DIRECTORY).absolute()
    await trio.to_thread.run_sync(processes.make_empty, directory)
    if not is_sandboxed():
        log.warning("browser_sandbox_off", why="running as root", remedy="run the daemon as an ordinary user")
    async with open_guard() as guard:
        plan = LaunchPlan(settings.executable, directory, guard.url, settings.launch_timeout_s)
        pool = ContextPool(settings, capacity, plan, guard, vault)
        try:
            async with keep_memory_limit(pool._engine.live_browser):
                yield pool
        finally:
            try:
                with trio.move_on_after(CLOSE_S, shield=True) as scope:
                    await pool._engine.close(CLOSE_S / 2)
                if scope.cancelled_caught:
                    log.warning("browser_close_cut_short", after_s=CLOSE_S)
            finally:
                with trio.move_on_after(CLOSE_S, shield=True):
                    await trio.to_thread.run_sync(processes.remove, directory)
