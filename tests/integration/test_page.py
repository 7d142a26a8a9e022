"""The live page of the real daemon, in a real browser, used as a person does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Page, expect, sync_playwright

from orchestrator.browser.launcher import find_browser
from tests.integration.daemon import Daemon, Document, running, wait_until

pytestmark = pytest.mark.timeout(300)

PATIENCE_MS = 60_000
"""A limit for faults; the machine may be busy."""
ANSWER = "Well said, and not by chance"
WIDTHS = (375, 768, 1280)


@contextmanager
def opened(address: str, width: int = 1280, scheme: str = "light") -> Iterator[Page]:
    """The page in a browser of its own; what its scripts complain of fails the test."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(None).path, args=["--no-sandbox"]
        )  # the page is ours
        page = browser.new_page(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(address)
        expect(page.locator("#link")).to_have_text("live")
        yield page
        browser.close()
    assert not complaints


async def used(daemon: Daemon, use: Callable[[Page], None], **how: str | int) -> None:
    """Let a person use the page, in a thread."""
    address = (await daemon.ask("page"))["url"]

    def go() -> None:
        with opened(address, **how) as page:  # type: ignore[arg-type]
            use(page)

    await trio.to_thread.run_sync(go)


async def test_a_person_watches_pauses_decides_and_looks_closer(state_dir: Path) -> None:
    """A wait and its reason, a job paused, a reply approved, a post in doubt resolved, a lost connection."""
    async with running(state_dir, "--load", "3") as daemon:
        await daemon.wait_for_mode("ready")
        await daemon.ask("pause", job="reconciliation")
        await daemon.set_faults(
            drop_answer={"path": "/compose", "method": "POST", "processed": True, "times": 1}
        )

        async def is_in_doubt() -> list[Document]:
            return list((await daemon.ask("posts", state="ambiguous"))["posts"])

        await wait_until(is_in_doubt, "a post is ambiguous", daemon.said)

        async def others() -> list[tuple[str, str]]:
            found = (await daemon.ask("posts", state="published", limit=50))["posts"]
            return [(p["account"], p["reference"]) for p in found if p["in_reply_to"] is None]

        author, reference = (await wait_until(others, "a post is out", daemon.said))[0]
        account = "grace" if author == "ada" else "ada"
        await daemon.ask("draft", account=account, to=reference, text=ANSWER)
        [post] = await is_in_doubt()
        text = (await daemon.ask("post", post=post["id"]))["post"]["text"]
        [found] = [name for name, there in (await daemon.ledger()).items() if there.split() == text.split()]
        await used(daemon, partial(use_it, found))
        assert (await daemon.job("retention"))["state"] == "paused"
        assert not await is_in_doubt()
        ours = [
            reply for reply in (await daemon.ask("replies", limit=500))["posts"] if reply["text"] == ANSWER
        ]
        assert [reply["state"] == "draft" for reply in ours] == [False]


def use_it(reference: str, page: Page) -> None:
    expect(page.locator("#mode")).to_have_text("ready")
    expect(page.locator("#summary")).not_to_be_empty()
    page.locator("#slots svg").nth(2).wait_for()
    page.locator("#slots svg rect.bar").first.wait_for(state="attached")
    wait = page.locator("#queue tbody tr").first  # three readers and the house share three contexts
    expect(wait.locator("td.why")).not_to_be_empty()

    page.get_by_role("button", name="pause retention").click()
    expect(page.locator("#jobs tr[data-key=retention] .state")).to_have_text("paused")
    expect(page.locator("#said")).to_contain_text("Paused job retention")

    draft = page.locator("#drafts li", has_text=ANSWER)
    draft.get_by_role("button", name="approve reply").click()
    expect(draft).to_have_count(0)

    page.once("dialog", lambda question: question.accept(reference))
    page.locator("#posts").get_by_role("button", name="is published").click()
    expect(page.locator("#states li", has_text="ambiguous").locator("b")).to_have_text("0")

    page.locator("#jobs").get_by_role("link", name="posting", exact=True).click()
    expect(page.locator("#details")).to_be_visible()
    expect(page.locator("#details tbody tr").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()

    page.context.set_offline(True)
    page.evaluate("document.title = 'still the same page'")
    page.context.set_offline(False)
    expect(page.locator("#link")).to_have_text("live")
    assert page.title() == "still the same page"


async def test_everybody_can_use_it(state_dir: Path, tmp_path: Path) -> None:
    """axe finds nothing, in both themes; no width makes it scroll sideways; without the token it asks."""
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        for scheme in ("light", "dark"):
            await used(daemon, inspect, scheme=scheme)
        for width in WIDTHS:
            await used(daemon, has_no_overflow, width=width)
        address = (await daemon.ask("page"))["url"].partition("#")[0]
        await trio.to_thread.run_sync(asks_for_the_token, address)


def inspect(page: Page) -> None:
    expect(page.locator("#jobs tbody tr").first).to_be_visible()
    script = files("axe_core_python").joinpath("axe.min.js").read_text()
    page.evaluate(script)  # not as an element: the page's policy allows none
    found = page.evaluate("axe.run()")
    assert not [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found["violations"]]


def has_no_overflow(page: Page) -> None:
    expect(page.locator("#jobs tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def asks_for_the_token(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(None).path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#ask")).to_be_visible()
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#link")).to_have_text("no token", timeout=PATIENCE_MS)
        browser.close()
