"""The live page mends what it shows: what stays keeps its element, and with it focus and selection."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import trio
from playwright.sync_api import Page, expect, sync_playwright

from orchestrator.browser.launcher import find_browser
from orchestrator.web.feed.document import make_document
from tests.web.conftest import Served
from tests.web.feed.test_document import status

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 60_000
Change = Callable[..., None]
"""Changes the document, from the browser's thread."""


def a_document() -> dict[str, Any]:
    now = time.time()
    document = make_document(status(summary="All is well."), now)
    clock = {"speed": 1.0, "real_epoch": now, "shown_epoch": now}
    rewards = {"murmur": [{"posts": 1, "mean": 0.1}, {"posts": 1, "mean": 0.2}]}
    budget = {"is_set": True, "left": 8, "budget": 10, "left_share": 0.8, "tier": "full", "said": "Enough."}
    learning = {"outcomes": 2, "arms": [{"dimension": "topic", "value": "a", "pulls": 1, "mean": 0.4}]}
    more = {"clock": clock, "rewards": rewards, "budget": budget, "learning": learning, "timeline": {}}
    return document | more


@contextmanager
def opened(address: str) -> Iterator[Page]:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        executable = find_browser(None).path
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        yield page
        browser.close()
    assert complaints == []


async def used(served: Served, use: Callable[[Page, Change], None]) -> None:
    def change(**parts: Any) -> None:
        trio.from_thread.run(partial(served.become, **parts))

    def go() -> None:
        with opened(served.address) as page:
            expect(page.locator("#link")).to_have_text("live")
            use(page, change)

    await trio.to_thread.run_sync(go)


async def test_what_stays_keeps_its_element_and_the_focus(served: Served) -> None:
    served.document = a_document()
    await used(served, partial(mends, served.document))


def mends(document: dict[str, Any], page: Page, change: Change) -> None:
    names = ("#rewards svg", "#outcomes + a", "#sizes progress", "#spending progress", "#budget-said")
    for name in names:
        page.locator(name).first.evaluate("element => { element.mark = true }")
    page.locator("#outcomes + a").focus()
    rewards = {"murmur": [*document["rewards"]["murmur"], {"posts": 1, "mean": 0.9}]}
    change(
        rewards=rewards,
        learning={**document["learning"], "outcomes": 3},
        memory={"daemon_bytes": 90_000_000},
        budget={**document["budget"], "left": 7, "left_share": 0.7, "said": "Less."},
    )
    expect(page.locator("#outcomes")).to_have_text("3 posts taught something.")
    expect(page.locator("#rewards p")).to_contain_text("the latest posts earn 0.90")
    expect(page.locator("#sizes .meter")).to_have_text("daemon: 90 MB")
    expect(page.locator("#spending .meter")).to_have_text("7 of 10 left, tier full")
    expect(page.locator("#budget-said")).to_have_text("Less.")
    kept = [page.locator(name).first.evaluate("element => element.mark") for name in names]
    assert kept == [True] * len(names)
    assert page.evaluate("document.activeElement.textContent") == "Models"

    page.locator("#jobs tr[data-key=plan] button").first.focus()
    jobs = copy.deepcopy(document["jobs"])
    jobs["plan"]["state"] = "paused"
    change(jobs=jobs)
    expect(page.get_by_role("button", name="resume plan")).to_be_focused()


async def test_ages_go_on_between_messages(served: Served) -> None:
    served.document = a_document()
    await used(served, ages_go_on)


def ages_go_on(page: Page, _change: Change) -> None:
    why = page.locator("#queue td.why")
    expect(why).to_contain_text("1 in the queue goes first (a); plan holds slot 0 for ")
    expect(why).to_contain_text(" at most to go; in ")
    expect(page.locator("#jobs tr[data-key=learn] td.why")).to_contain_text("Waits for a context: 1 in the")
    before = why.inner_text()
    expect(why).not_to_have_text(before)


async def test_rows_of_one_key_come_and_go_like_others(served: Served) -> None:
    served.document = a_document()
    await used(served, duplicates)


def duplicates(page: Page, change: Change) -> None:
    def problem(remedy: str) -> dict[str, Any]:
        return {"what": "a post is late", "since": None, "remedy": remedy}

    shown = page.locator("#problems li")
    for remedies in (["one", "two", "three"], ["one", "two"], ["four"], []):
        change(problems=[problem(remedy) for remedy in remedies])
        expect(shown).to_have_text([f"a post is late. {remedy}" for remedy in remedies])


async def test_a_post_in_doubt_is_there_to_be_decided_of_however_old_it_is(served: Served) -> None:
    served.document = a_document() | {"posts": {"ambiguous": 1}}
    await used(served, doubts)


def doubts(page: Page, change: Change) -> None:
    def post(state: str, place: int = 0) -> dict[str, Any]:
        row = {"id": 7, "account": "ada", "state": state, "due_at": "2026-06-01T12:00:00+00:00", "text": "hm"}
        return {"7": row | {"place": place}}

    change(doubts=post("ambiguous"))
    expect(page.get_by_role("button", name="post 7 is published")).to_be_visible()
    change(recent_posts=post("published"))
    expect(page.locator("#posts tbody tr")).to_have_count(1)
    expect(page.locator("#posts .state")).to_have_text("published")
    expect(page.get_by_role("button", name="post 7 is published")).to_have_count(0)
