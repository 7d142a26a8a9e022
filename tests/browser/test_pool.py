"""Contexts over slots: kept, parted by account, renewed; and the browser behind them."""

import os
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trio
from playwright.async_api import Page

from orchestrator.browser import context as contexts
from orchestrator.browser import engine as engines
from orchestrator.browser import pool as pools
from orchestrator.browser.launcher import find_browser
from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    BrowserError,
    BrowserMissingError,
    ContextBrokenError,
    DatabaseUnavailableError,
    SiteUnavailableError,
)
from tests.browser.harness import MemoryStore, Reply, Site, pool_in

SET_COOKIE = Reply(headers={"Set-Cookie": "session=secret-of-ada; Path=/; Max-Age=10000; HttpOnly"})


async def cookies(page: Page) -> list[str]:
    return sorted(cookie.get("value", "") for cookie in await page.context.cookies())


def open_contexts(pool: ContextPool) -> int:
    assert pool._engine.last is not None
    return len(pool._engine.last.browser.contexts)


async def identity(page: Page) -> int:
    return id(page)


async def test_visits_and_uses_of_one_account_share_a_page(pool: ContextPool, site: Site) -> None:
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
        first = await browser.visit(identity)
    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit(identity) == first
    assert pool.statistics().slots[0].visits == 3
    assert pool.statistics().slots[0].renewals == 0


async def test_accounts_that_take_turns_in_one_slot_keep_their_contexts(
    pool: ContextPool, site: Site
) -> None:
    pages: dict[str, set[int]] = {"ada": set(), "bert": set(), "cleo": set()}
    for account in [*pages, *pages]:
        async with pool.use(0, account, site.hosts) as browser:
            pages[account].add(await browser.visit(identity))
    assert [len(seen) for seen in pages.values()] == [1, 1, 1]
    assert [slot.renewals for slot in pool.statistics().slots] == [0, 0, 0]


async def test_a_context_goes_with_its_account_to_another_slot(pool: ContextPool, site: Site) -> None:
    async with pool.use(0, "ada", site.hosts) as browser:
        first = await browser.visit(identity)
    async with pool.use(1, "ada", site.hosts) as browser:
        assert await browser.visit(identity) == first
        async with pool.use(0, "ada", site.hosts) as meanwhile:
            assert await meanwhile.visit(identity) != first
    assert [slot.account for slot in pool.statistics().slots] == ["ada", "ada", None]


async def test_cookies_of_one_account_are_never_seen_by_another(pool: ContextPool, site: Site) -> None:
    site.pages["/"] = SET_COOKIE
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
        assert await browser.visit(cookies) == ["secret-of-ada"]
    for slot in (0, 1):
        async with pool.use(slot, "bert", site.hosts) as browser:
            assert await browser.visit(cookies) == []
    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit(cookies) == ["secret-of-ada"]


async def test_a_sign_in_state_survives_the_pool(tmp_path: Path, store: MemoryStore, site: Site) -> None:
    site.pages["/"] = SET_COOKIE

    async def remember(page: Page) -> None:
        await site.open(page)
        await page.evaluate("localStorage.setItem('token', 'secret-in-page')")

    async def recall(page: Page) -> str:
        await site.open(page, "/plain")
        token: str = await page.evaluate("localStorage.getItem('token')")
        return token

    async with pool_in(tmp_path, store) as pool, pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(remember)
    assert b"secret" not in store.states["ada"]
    async with pool_in(tmp_path, store) as pool, pool.use(2, "ada", site.hosts) as browser:
        assert await browser.visit(recall) == "secret-in-page"
        assert await browser.visit(cookies) == ["secret-of-ada"]


async def test_a_state_that_did_not_change_is_not_saved_again(
    pool: ContextPool, site: Site, store: MemoryStore
) -> None:
    site.pages["/sign-in"] = SET_COOKIE
    for path, saves in (("/", 0), ("/sign-in", 1), ("/", 1), ("/sign-in", 1)):
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit(site.open, path)
        assert store.saves == saves


async def test_a_store_that_fails_does_not_spoil_the_use(
    pool: ContextPool, site: Site, store: MemoryStore
) -> None:
    async def refuse(_account: str, _state: bytes) -> None:
        raise DatabaseUnavailableError("no database")

    site.pages["/"] = SET_COOKIE
    store.save = refuse  # type: ignore[assignment]
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
    assert not pool.is_broken(0)


async def test_a_state_that_the_store_refused_is_saved_after_the_next_use(
    pool: ContextPool, site: Site, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_account: str, _state: bytes) -> None:
        raise DatabaseUnavailableError("no database")

    site.pages["/sign-in"] = SET_COOKIE
    with monkeypatch.context() as patch:
        patch.setattr(store, "save", refuse)
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit(site.open, "/sign-in")
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
    assert list(store.states) == ["ada"]


async def test_what_idle_contexts_have_not_stored_can_be_stored_before_the_store_closes(
    pool: ContextPool, site: Site, store: MemoryStore
) -> None:
    async def remember(page: Page) -> None:
        await site.open(page)
        await page.evaluate("localStorage.setItem('token', 'secret-in-page')")

    for slot, account in enumerate(("ada", "bert")):
        async with pool.use(slot, account, site.hosts) as browser:
            await browser.visit(remember)
    assert store.saves == 0  # no cookie has changed
    await pool.save_sign_ins()
    assert sorted(store.states) == ["ada", "bert"]


async def test_a_context_of_an_older_sign_in_does_not_overwrite_a_newer_one(
    tmp_path: Path, site: Site, store: MemoryStore
) -> None:
    site.pages["/old"] = Reply(headers={"Set-Cookie": "session=old; Path=/; Max-Age=10000"})
    site.pages["/new"] = Reply(headers={"Set-Cookie": "session=new; Path=/; Max-Age=10000"})
    async with pool_in(tmp_path, store) as pool:
        async with pool.use(0, "ada", site.hosts) as older:
            await older.visit(site.open, "/old")
            async with pool.use(1, "ada", site.hosts) as newer:
                await newer.visit(site.open, "/new")
                await newer.save_new_sign_in()
        await pool.save_sign_ins()
    async with pool_in(tmp_path, store) as pool, pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit(cookies) == ["new"]


@pytest.mark.parametrize("fault", ["hangs", "fails"])
async def test_a_context_is_closed_also_when_its_state_cannot_be_saved(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    store = MemoryStore()

    async def save(_account: str, _state: bytes) -> None:
        if fault == "hangs":
            await trio.sleep_forever()
        raise ZeroDivisionError

    monkeypatch.setattr(pools, "SAVE_S", 0.2)
    async with pool_in(tmp_path, store, capacity=1) as pool:
        async with pool.use(0, "ada", site.hosts):
            pass
        monkeypatch.setattr(store, "save", save)
        if fault == "fails":
            with pytest.raises(ZeroDivisionError):
                async with pool.use(0, "bert", site.hosts):
                    pass
            assert open_contexts(pool) == 0
        else:
            async with pool.use(0, "bert", site.hosts):
                assert open_contexts(pool) == 1


async def test_two_uses_of_one_slot_at_once_are_an_error(pool: ContextPool, site: Site) -> None:
    async with pool.use(0, "ada", site.hosts):
        with pytest.raises(RuntimeError, match="slot 0 is in use"):
            async with pool.use(0, "ada", site.hosts):
                pass
        with pytest.raises(RuntimeError, match="slot 0 is in use"):
            await pool.rebuild(0)
    async with pool.use(0, "ada", site.hosts):
        pass


async def test_the_probe_leaves_nothing_open(pool: ContextPool) -> None:
    await pool.probe()
    await pool.probe()
    assert pool.statistics().launches == 1
    assert open_contexts(pool) == 0


async def test_a_visit_that_takes_too_long_fails_in_time(tmp_path: Path, site: Site) -> None:
    async def wait(page: Page) -> None:
        await site.open(page)
        await page.evaluate("new Promise(() => {})")

    async with pool_in(tmp_path, visit_timeout_s=5) as pool, pool.use(0, "ada", site.hosts) as browser:
        with pytest.raises(SiteUnavailableError, match="longer than 5 s"):
            await browser.visit(wait)
        assert (await browser.visit(site.open)).status == 200
        assert pool.statistics().slots[0].renewals == 1
        assert not pool.is_broken(0)


async def test_an_answer_that_breaks_off_is_no_page(pool: ContextPool, site: Site) -> None:
    site.pages["/cut"] = Reply(body="<!doctype html><p>" + "x" * 5000, cut_at=2000)
    site.pages["/lost"] = Reply(lost=True)
    async with pool.use(0, "ada", site.hosts) as browser:
        for path in ("/cut", "/lost"):
            with pytest.raises(SiteUnavailableError, match="ERR_"):
                await browser.visit(site.open, path)
        assert (await browser.visit(site.open)).status == 200


async def test_a_site_that_is_not_there_is_unavailable(pool: ContextPool) -> None:
    gone = Site(port=9)
    async with pool.use(0, "ada", gone.hosts) as browser:
        with pytest.raises(SiteUnavailableError, match=r"127.0.0.1:9: .*(REFUSED|UNSAFE_PORT)"):
            await browser.visit(gone.open)


async def test_windows_that_a_page_opens_are_closed(pool: ContextPool, site: Site) -> None:
    async def open_windows(page: Page) -> int:
        await site.open(page)
        async with page.context.expect_page() as opened:
            await page.evaluate("void window.open('/popup')")
        popup = await opened.value
        if not popup.is_closed():
            await popup.wait_for_event("close")
        return len(page.context.pages)

    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit(open_windows) == 1


async def test_a_window_that_a_spent_page_opens_does_not_outlive_it(pool: ContextPool, site: Site) -> None:
    fail_first, is_open = threading.Event(), threading.Event()

    def hold(_request: BaseHTTPRequestHandler) -> Reply:
        fail_first.wait(20)
        return Reply()

    def note(_request: BaseHTTPRequestHandler) -> Reply:
        is_open.set()
        return Reply()

    site.pages |= {"/hold": hold, "/popup": note}

    async def begin(page: Page) -> None:
        await site.open(page)
        await page.evaluate("() => void fetch('/hold').then(() => window.open('/popup'))")
        raise SiteUnavailableError("no answer")

    async def count_pages(page: Page) -> int:
        await site.open(page)
        return len(page.context.pages)

    async with pool.use(0, "ada", site.hosts) as browser:
        with pytest.raises(SiteUnavailableError):
            await browser.visit(begin)
        fail_first.set()
        assert await trio.to_thread.run_sync(is_open.wait, 20)
        assert await browser.visit(count_pages) == 1


async def test_a_context_whose_scripts_hold_too_much_memory_is_renewed(
    pool: ContextPool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "HEAP_CHECK_VISITS", 1)
    monkeypatch.setattr(contexts, "HEAP_LIMIT_BYTES", 0)
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
    assert pool.statistics().slots[0].renewals == 1
    assert open_contexts(pool) == 0


async def test_what_playwright_keeps_of_each_visit_does_not_add_up_in_a_context_that_stays(
    pool: ContextPool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "PAGE_VISITS", 3)
    objects = []
    for _ in range(12):
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit(site.open)
        assert pool._engine.last is not None
        objects.append(len(pool._engine.last.playwright._impl_obj._connection._objects))
    assert objects[0] < max(objects[:4]) == max(objects)
    assert pool.statistics().slots[0].renewals == 0


async def test_a_use_keeps_its_page_however_many_visits_it_makes(
    pool: ContextPool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "PAGE_VISITS", 1)

    async def look(page: Page) -> bool:
        return bool(await page.evaluate("window.seen || !(window.seen = true)"))

    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
        assert [await browser.visit(look) for _ in range(3)] == [False, True, True]
    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit(look) is False


async def test_a_cancelled_opening_leaves_no_orphan(pool: ContextPool, site: Site) -> None:
    async def use(slot: int) -> None:
        async with pool.use(slot, "ada", site.hosts):
            await trio.sleep_forever()

    await pool.probe()
    assert pool._engine.last is not None
    for steps in (1, 3, 10, 100, 1000, 3000):
        async with trio.open_nursery() as nursery:
            for slot in range(3):
                nursery.start_soon(use, slot)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        kept = {place.opened.context for place in pool._places.values() if place.opened is not None}
        for place in pool._places.values():
            if place.opened is not None:
                place.opened.is_worn = True  # so that the next round opens one again
        assert set(pool._engine.last.browser.contexts) == kept


async def test_a_cancelled_launch_can_be_made_again(tmp_path: Path) -> None:
    async with pool_in(tmp_path) as pool:
        for steps in (1, 100, 20_000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.probe)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        await pool.probe()


async def test_a_cancelled_visit_does_not_disturb_the_next(pool: ContextPool, site: Site) -> None:
    started = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def wait(page: Page) -> None:
        await site.open(page)
        token.run_sync_soon(started.set)
        await page.evaluate("new Promise(() => {})")

    async with pool.use(0, "ada", site.hosts) as browser:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(browser.visit, wait)
            await started.wait()
            nursery.cancel_scope.cancel()
        assert (await browser.visit(site.open)).status == 200


POST_ON_AND_ON = """() => {
  const again = () => fetch('/late', {method: 'POST'}).catch(() => 0).then(() => setTimeout(again, 10));
  fetch('/held').then(again);
}"""


@pytest.mark.parametrize("way", ["cancelled", "failed"])
async def test_the_scripts_of_a_visit_that_did_not_end_well_end_with_its_use(
    pool: ContextPool, site: Site, way: str
) -> None:
    held, is_gone, go_on = trio.Event(), threading.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def hold(request: BaseHTTPRequestHandler) -> Reply:
        """Answer when told to, or note that nobody waits for the answer any more."""
        request.connection.settimeout(0.05)
        token.run_sync_soon(held.set)
        while not go_on.is_set():
            try:
                if not request.connection.recv(1):
                    is_gone.set()
                    break
            except TimeoutError:
                continue
        return Reply(lost=is_gone.is_set())

    site.pages["/held"] = hold

    async def begin(page: Page) -> None:
        await site.open(page)
        await page.evaluate(POST_ON_AND_ON)
        if way == "failed":
            raise SiteUnavailableError("no answer")
        await page.evaluate("new Promise(() => {})")

    async def use() -> None:
        async with pool.use(0, "ada", site.hosts) as browser:
            if way == "failed":
                with pytest.raises(SiteUnavailableError):
                    await browser.visit(begin)
                await held.wait()
            else:
                await browser.visit(begin)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use)
            await held.wait()
            if way == "cancelled":
                nursery.cancel_scope.cancel()
        assert await trio.to_thread.run_sync(is_gone.wait, 20)
        assert open_contexts(pool) == 0
    finally:
        go_on.set()
    assert ("POST", "/late") not in site.seen


async def test_a_bug_in_a_visit_comes_out_as_it_is(pool: ContextPool, site: Site) -> None:
    async def fail(_page: Page) -> None:
        raise ZeroDivisionError

    async with pool.use(0, "ada", site.hosts) as browser:
        with pytest.raises(ZeroDivisionError):
            await browser.visit(fail)


async def test_a_browser_that_appears_later_is_used(tmp_path: Path) -> None:
    executable = tmp_path / "chromium-shell"
    async with pool_in(tmp_path, executable=executable) as pool:
        with pytest.raises(BrowserMissingError, match="chromium-shell") as caught:
            await pool.probe()
        assert "apt-get install chromium-headless-shell" in caught.value.line()
        executable.symlink_to(find_browser(None).path)
        await pool.probe()


async def test_after_a_broken_visit_all_others_of_the_use_fail(pool: ContextPool, site: Site) -> None:
    async def close_all(page: Page) -> None:
        await page.context.close()
        await page.title()

    async with pool.use(0, "ada", site.hosts) as browser:
        for visit in (close_all, site.open):
            with pytest.raises(ContextBrokenError):
                await browser.visit(visit)
        assert pool.is_broken(0)
    await pool.rebuild(0)
    assert not pool.is_broken(0)


async def test_an_error_of_a_visit_is_not_its_own_cause(pool: ContextPool, site: Site) -> None:
    async def fail(_page: Page) -> None:
        raise SiteUnavailableError("no answer")

    async with pool.use(0, "ada", site.hosts) as browser:
        with pytest.raises(SiteUnavailableError) as caught:
            await browser.visit(fail)
    assert caught.value.__cause__ is None


async def test_a_start_that_lacks_a_descriptor_is_the_browsers_error(
    pool: ContextPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.probe()
    _, browser = pool.process_ids()
    os.kill(browser, 9)

    def refuse(_pid: int, _flags: int = 0) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        with pytest.raises(BrowserError, match="Too many open files"):
            await pool.probe()
    await pool.probe()


def test_our_own_temporary_directory_is_never_the_browsers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    with engines._environment_for_driver(tmp_path):
        assert tempfile.gettempdir() != str(tmp_path)
