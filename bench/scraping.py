"""Pages a second of the real job metrics_scraper, next to a bare Playwright loop over the same pages.

Ours is the whole way of a run: what is due from the database, a lease, the account's context, each post's
page with all its checks, and the figures stored. The bare loop has the same browser and flags, as many
contexts, signed in to the same accounts, one page each that is used again and again, and for each post one
`goto` and one `evaluate` that takes the three numbers. Rounds alternate.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import structlog
import trio
from playwright.async_api import Page, Playwright, async_playwright

from bench.figure import Aim, Figure, Report, ratio, spread
from bench.site import running_site
from orchestrator import aio, wiring
from orchestrator.actors.job import Run
from orchestrator.allocator import Allocator
from orchestrator.browser.launcher import find_browser, is_sandboxed
from orchestrator.browser.pool import open_pool
from orchestrator.cache.parts import in_process
from orchestrator.clock import Clock
from orchestrator.content.writer import Writer
from orchestrator.db import posts
from orchestrator.db.fence import open_fence
from orchestrator.db.pool import Connection, Database
from orchestrator.jobs import metrics_scraper
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.tools import Account, Tools
from orchestrator.metrics import Metrics
from orchestrator.model import Arms, Draft, PostState
from orchestrator.settings import Settings
from orchestrator.sites import driver
from orchestrator.sites.session import open_site
from orchestrator.testing.house import breakers_of

AIM = Aim(0.9, is_floor=True)
PASSWORDS = {"ada": "the-first-password", "grace": "the-second-password"}
POSTS_EACH = 20
READ_COUNTS = """() => {
  const read = name => document.querySelector(`main article.post [data-count=${name}]`).textContent;
  return [read('likes'), read('replies'), read('views')];
}"""


@dataclass(frozen=True, slots=True)
class _Bare:
    """A page signed in as an account, and the addresses that it goes to."""

    page: Page
    urls: Sequence[str]


async def measure(directory: Path, database: Database, rounds: int) -> Report:
    """Needs an open bridge and a migrated database."""
    with running_site(directory / "site", PASSWORDS) as address:
        settings = _settings(directory, address)
        accounts = wiring.make_accounts(settings, wiring.make_profiles(settings))
        async with _tools(directory, settings, database, accounts) as tools:
            references = {account.name: await _publish(tools, account) for account in accounts.values()}
            ours, bare = await _alternate(tools, references, rounds)
    pages = POSTS_EACH * len(accounts)
    figure = Figure(
        "pages a second of metrics_scraper, next to a bare Playwright loop",
        ratio(bare, ours),
        f"{spread([pages / seconds for seconds in ours], 1, 1)} pages/s",
        f"{spread([pages / seconds for seconds in bare], 1, 1)} pages/s",
        AIM,
    )
    note = f"pages: {rounds} rounds over {pages} pages of {len(accounts)} accounts, one after the other"
    return Report([figure], [note])


async def _alternate(
    tools: Tools, references: Mapping[str, list[str]], rounds: int
) -> tuple[list[float], list[float]]:
    """The seconds that each round took: ours, and the bare loop's. The first of each is a warm-up."""
    ours, bare = [], []
    async with _bare_pages(tools.accounts, references) as pages:
        for _ in range(rounds + 1):
            ours.append(await _time_job(tools))
            bare.append(await aio.call(_time_bare, pages))
    return ours[1:], bare[1:]


# ── ours ────────────────────────────────────────────────────────────────────────────────────────


async def _time_job(tools: Tools) -> float:
    await tools.database.run(_forget_looks)
    run = Run(metrics_scraper.NAME, 1, "bench", 1, structlog.get_logger("bench"))
    started_at = time.monotonic()
    outcome = await metrics_scraper.measure(run, tools)
    took_s = time.monotonic() - started_at
    expected = POSTS_EACH * len(tools.accounts)
    if outcome.figures.get("pages") != expected:
        raise RuntimeError(f"metrics_scraper read {outcome.figures} instead of {expected} pages")
    return took_s


async def _forget_looks(connection: Connection) -> None:
    await connection.execute("UPDATE posts SET measured_at = NULL")
    await connection.execute("DELETE FROM post_metrics")


def _settings(directory: Path, address: str) -> Settings:
    accounts = [
        {"name": name, "site": "murmur", "username": name, "password": password}
        for name, password in PASSWORDS.items()
    ]
    sites = {"murmur": {"profile": "microblog", "base_url": address}}
    given = {"state_dir": directory / "pool", "accounts": accounts, "sites": sites}
    return Settings.load(overrides=given, environ={})


@asynccontextmanager
async def _tools(
    directory: Path, settings: Settings, database: Database, accounts: Accounts
) -> AsyncIterator[Tools]:
    settings.state_dir.mkdir()
    pool_of_contexts = open_pool(
        settings.browser,
        state_dir=settings.state_dir,
        store=_Store(),
        capacity=settings.allocator.capacity,
    )
    async with open_fence(database, "bench", 3600) as fence, pool_of_contexts as pool:
        metrics = Metrics()
        yield Tools(
            settings=settings,
            clock=Clock(),
            rng=Random(),
            database=database,
            fence=fence,
            allocator=Allocator(settings.allocator),
            open_site=partial(open_site, pool),
            writer=Writer(settings.content),
            accounts=accounts,
            breakers=breakers_of(settings, Random(), metrics, lambda _change, _may_come: None),
            metrics=metrics,
            cache=in_process(settings.cache, Clock(), metrics),
            wake=lambda _job, _reason: None,
        )


class _Store:
    """Keeps sign-in states for as long as the bench runs."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}

    async def load(self, account: str) -> bytes | None:
        return self._states.get(account)

    async def save(self, account: str, state: bytes) -> None:
        self._states[account] = state


async def _publish(tools: Tools, account: Account) -> list[str]:
    """Publish the account's posts through the browser, and note them as posting does; their references."""
    references = []
    async with tools.open_site(0, account.site) as site:
        for number in range(POSTS_EACH):
            text = f"Post {number} of {account.name}: what is worth doing is worth measuring."
            await site.write_post(text)
            references.append(await site.submit_post())
            await _note(tools, account, text, references[-1])
    return references


async def _note(tools: Tools, account: Account, text: str, reference: str) -> None:
    stamp = tools.stamp()
    draft = Draft(account.name, text, Arms("bench", "note", stamp.now.hour), "bench", stamp.now)
    post_id = await tools.database.run(posts.add, draft, stamp)
    claimed = await tools.database.run(posts.claim_due, [account.name], stamp)
    if claimed is None or claimed.id != post_id:
        raise RuntimeError(f"post {post_id} of {account.name} is not the one that is due")
    await tools.database.run(posts.intend, claimed.id, stamp, stamp.now.date(), POSTS_EACH)
    await tools.database.run(posts.publish, claimed.id, PostState.SUBMITTING, reference, stamp)


# ── bare ────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _bare_pages(
    accounts: Mapping[str, Account], references: Mapping[str, list[str]]
) -> AsyncIterator[list[_Bare]]:
    playwright, pages = await aio.call(_open_bare, accounts, references)
    try:
        yield pages
    finally:
        with trio.CancelScope(shield=True):
            await aio.call(playwright.stop)


async def _open_bare(
    accounts: Mapping[str, Account], references: Mapping[str, list[str]]
) -> tuple[Playwright, list[_Bare]]:
    playwright = await async_playwright().start()
    found = find_browser(None)
    browser = await playwright.chromium.launch(
        executable_path=found.path, args=found.arguments, chromium_sandbox=is_sandboxed()
    )
    pages = []
    for account in accounts.values():
        page = await (await browser.new_context()).new_page()
        profile = account.site.profile
        await driver.sign_in(page, profile, account.site.username, account.site.password.get_secret_value())
        urls = [profile.url(profile.post.path, reference=one) for one in references[account.name]]
        pages.append(_Bare(page, urls))
    return playwright, pages


async def _time_bare(pages: list[_Bare]) -> float:
    started_at = time.monotonic()
    for bare in pages:
        for url in bare.urls:
            await bare.page.goto(url, wait_until="domcontentloaded")
            await bare.page.evaluate(READ_COUNTS)
    return time.monotonic() - started_at
