"""What jobs rely on of a site, kept by the real session in a real browser and by the fake alike.

Each promise is a function that gets a `Place`; it is tried on both.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

import pytest
from pydantic import SecretStr

from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    PageUnexpectedError,
    PostMissingError,
    PostUnclearError,
    SiteRateLimitedError,
)
from orchestrator.jobs.tools import Site
from orchestrator.sites import SiteAccount, load_profile, open_site
from orchestrator.testing.site import FakeSite, dropped
from tests.sites.conftest import BundledSite


@dataclass(frozen=True, slots=True)
class Place:
    """A site to try a promise on; `text` is one that no other promise uses."""

    text: str
    open: Callable[[], AbstractAsyncContextManager[Site]]
    accepted: Callable[[str], list[str]]
    """The references that the site's own ledger has for a text."""
    drop_next: Callable[[bool], None]
    """Let the answer to the next press get lost; True: the post is accepted behind it."""
    limit_next: Callable[[], None]
    """Answer the next press with 429 and a wish for 40 s."""


async def a_post_is_accepted_once_and_leads_the_timeline(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(f"{place.text}\n\n  and more")
        reference = await site.submit_post()
        newest = (await site.own_posts(3)).items[0]
    assert place.accepted(f"{place.text}\n\n  and more") == [reference]
    assert (newest.reference, newest.text) == (reference, f"{place.text} and more")


async def the_timeline_is_newest_first_and_no_longer_than_asked_for(place: Place) -> None:
    async with place.open() as site:
        references = []
        for number in range(3):
            await site.write_post(f"{place.text} {number}")
            references.append(await site.submit_post())
        listed = [item.reference for item in (await site.own_posts(2)).items]
    assert listed == [references[2], references[1]]


async def nothing_is_pressed_that_was_not_written(place: Place) -> None:
    async with place.open() as site:
        with pytest.raises(PageUnexpectedError):
            await site.submit_post()


async def what_was_written_can_be_pressed_once(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(place.text)
        await site.submit_post()
        with pytest.raises(PageUnexpectedError):
            await site.submit_post()
    assert len(place.accepted(place.text)) == 1


async def what_is_only_written_is_not_published(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(place.text)
    assert place.accepted(place.text) == []


async def a_new_post_has_metrics_and_an_unknown_one_is_missing(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(place.text)
        metrics = await site.read_metrics(await site.submit_post())
        with pytest.raises(PostMissingError):
            await site.read_metrics("zzzzzzzzzz")
    assert min(metrics.likes, metrics.replies, metrics.views) >= 0


async def an_account_has_one_post_more_after_each(place: Place) -> None:
    async with place.open() as site:
        before = await site.read_account()
        await site.write_post(place.text)
        await site.submit_post()
        after = await site.read_account()
    assert after.posts == before.posts + 1
    assert min(after.followers, after.following) >= 0


async def an_answer_that_is_lost_behind_an_accepted_post_is_unclear(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(place.text)
        place.drop_next(True)
        with pytest.raises(PostUnclearError):
            await site.submit_post()
        newest = (await site.own_posts(1)).items[0]
    assert place.accepted(place.text) == [newest.reference]


async def an_answer_that_is_lost_before_the_post_was_accepted_is_unclear(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(place.text)
        place.drop_next(False)
        with pytest.raises(PostUnclearError):
            await site.submit_post()
        assert place.text not in [item.text for item in (await site.own_posts(5)).items]
    assert place.accepted(place.text) == []


async def a_rate_limit_is_told_with_the_sites_wish_and_nothing_is_accepted(place: Place) -> None:
    async with place.open() as site:
        await site.write_post(place.text)
        place.limit_next()
        with pytest.raises(SiteRateLimitedError) as caught:
            await site.submit_post()
    assert caught.value.retry_in_s == 40
    assert place.accepted(place.text) == []


Promise = Callable[[Place], Awaitable[None]]
PROMISES: list[Promise] = [
    a_post_is_accepted_once_and_leads_the_timeline,
    the_timeline_is_newest_first_and_no_longer_than_asked_for,
    nothing_is_pressed_that_was_not_written,
    what_was_written_can_be_pressed_once,
    what_is_only_written_is_not_published,
    a_new_post_has_metrics_and_an_unknown_one_is_missing,
    an_account_has_one_post_more_after_each,
    an_answer_that_is_lost_behind_an_accepted_post_is_unclear,
    an_answer_that_is_lost_before_the_post_was_accepted_is_unclear,
    a_rate_limit_is_told_with_the_sites_wish_and_nothing_is_accepted,
]


def name_of(promise: Promise) -> str:
    return getattr(promise, "__name__", "promise")


@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_the_fake_site_keeps_its_promises(promise: Promise) -> None:
    site = FakeSite()
    account = SiteAccount("ada", "ada", SecretStr("secret"), load_profile("microblog", "http://127.0.0.1:9"))

    def drop_next(is_accepted: bool) -> None:
        site.trouble["accepted" if is_accepted else "submit_post"].append(dropped())

    def limit_next() -> None:
        site.trouble["submit_post"].append(SiteRateLimitedError("429", retry_in_s=40.0))

    def accepted(text: str) -> list[str]:
        return [entry.reference for entry in site.ledger if entry.text == text]

    await promise(
        Place(name_of(promise), partial(site.open_site, 0, account), accepted, drop_next, limit_next)
    )


@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_the_real_session_keeps_its_promises(
    promise: Promise, pool: ContextPool, bundled_site: BundledSite, ada: SiteAccount
) -> None:
    def drop_next(is_accepted: bool) -> None:
        bundled_site.break_with(drop_answer={"times": 1, "processed": is_accepted})

    def limit_next() -> None:
        bundled_site.break_with(
            rate_limit_429={"times": 1, "path": "/compose", "method": "POST", "seconds": 40}
        )

    open_here = partial(open_site, pool, 0, ada)
    await promise(Place(name_of(promise), open_here, bundled_site.ledger, drop_next, limit_next))
