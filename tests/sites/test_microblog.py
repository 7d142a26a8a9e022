"""The bundled site driven through its profile: every promise of a session, and every fault of the site."""

import dataclasses
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    PageUnexpectedError,
    PostMissingError,
    PostRefusedError,
    PostUnclearError,
    SignInRefusedError,
    SiteError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.model import Timeline, fingerprint
from orchestrator.sites import Profile, SiteAccount, SiteSession, open_site
from tests.demo.harness import Visitor
from tests.sites.conftest import BundledSite


async def publish(session: SiteSession, text: str) -> str:
    await session.write_post(text)
    return await session.submit_post()


async def test_a_post_is_published_once_measured_and_found_again(
    pool: ContextPool, ada: SiteAccount, bundled_site: BundledSite
) -> None:
    text = "A first line\n\n  and   <b>a second</b> & more #tag"
    async with open_site(pool, 0, ada) as session:
        reference = await publish(session, text)
        assert bundled_site.ledger(text) == [reference]
        metrics = await session.read_metrics(reference)
        assert min(metrics.likes, metrics.replies, metrics.views) >= 0
        newest = (await session.own_posts(1)).items[0]
        assert newest.reference == reference
        assert fingerprint(newest.text) == fingerprint(text)
        assert (await session.read_account()).posts >= 1


async def test_a_timeline_of_many_pages_is_read_as_far_as_asked(
    pool: ContextPool, bundled_site: BundledSite, profile: Profile
) -> None:
    bert = SiteAccount("bert", "bert", SecretStr("pass-of-bert"), profile)
    async with open_site(pool, 0, bert) as session:
        assert await session.own_posts(10) == Timeline([], is_whole=True)
        references = await write_by_hand(bundled_site, [f"number {number} of many" for number in range(22)])
        posts = (await session.own_posts(100)).items
        assert [post.reference for post in posts] == references[::-1]
        assert [post.text for post in posts][::21] == ["number 21 of many", "number 0 of many"]
        assert await session.own_posts(21) == Timeline(posts[:21], is_whole=False)


async def write_by_hand(site: BundledSite, texts: list[str]) -> list[str]:
    """Published as bert without a browser; returns the references."""
    async with httpx.AsyncClient(base_url=site.url) as http:
        visitor = Visitor(http)
        await visitor.sign_in("bert")
        return [await visitor.published(text) for text in texts]


async def test_a_sign_out_is_mended_by_signing_in_once(
    pool: ContextPool, ada: SiteAccount, bundled_site: BundledSite
) -> None:
    async with open_site(pool, 0, ada) as session:
        reference = await publish(session, "before the sign-out")
        for read in (lambda: session.read_metrics(reference), lambda: session.own_posts(1)):
            bundled_site.sign_everyone_out()
            await read()
        bundled_site.sign_everyone_out()
        await publish(session, "after the sign-out")


async def test_a_wrong_password_is_refused_with_the_sites_words(pool: ContextPool, ada: SiteAccount) -> None:
    stranger = dataclasses.replace(ada, name="stranger", password=SecretStr("canary-password"))
    async with open_site(pool, 0, stranger) as session:
        with pytest.raises(SignInRefusedError, match="belong together") as caught:
            await session.read_account()
    assert "canary" not in caught.value.line()


async def test_a_post_that_is_not_there_is_missing(pool: ContextPool, ada: SiteAccount) -> None:
    async with open_site(pool, 0, ada) as session:
        for reference in ("zzzzzzzz", "../sign-in", "x' i]"):
            with pytest.raises(PostMissingError):
                await session.read_metrics(reference)


async def test_a_refused_post_is_refused_with_the_sites_words(
    pool: ContextPool, ada: SiteAccount, bundled_site: BundledSite
) -> None:
    text = "this is forbidden"
    async with open_site(pool, 0, ada) as session:
        with pytest.raises(PostRefusedError, match="forbidden"):
            await publish(session, text)
        with pytest.raises(PostRefusedError, match="281 characters"):
            await session.write_post("x" * 281)
    assert bundled_site.ledger(text) == []


async def test_submitting_without_a_written_text_presses_nothing(
    pool: ContextPool, ada: SiteAccount, bundled_site: BundledSite
) -> None:
    async with open_site(pool, 0, ada) as session:
        await session.read_account()
        with pytest.raises(PageUnexpectedError, match="no filled compose form"):
            await session.submit_post()


POST_ONLY = {"method": "POST"}


SUBMIT_FAULTS: list[tuple[dict[str, Any], type[SiteError], int]] = [
    ({"drop_answer": {}}, PostUnclearError, 1),
    ({"error_500": POST_ONLY}, PostUnclearError, 0),
    ({"error_500": {**POST_ONLY, "processed": True}}, PostUnclearError, 1),
    ({"garbage": {**POST_ONLY, "processed": True}}, PostUnclearError, 1),
    ({"rate_limit_429": {**POST_ONLY, "seconds": 7}}, SiteRateLimitedError, 0),
    ({"rate_limit_429": {"method": "GET", "path": "/post"}}, PostUnclearError, 1),
    ({"error_500": {"method": "GET", "path": "/post"}}, PostUnclearError, 1),
]


async def test_a_submit_that_meets_a_fault_is_told_as_it_is_and_never_sent_twice(
    pool: ContextPool, ada: SiteAccount, bundled_site: BundledSite
) -> None:
    async with open_site(pool, 0, ada) as session:
        for fault, ending, accepted in SUBMIT_FAULTS:
            text = f"meets {fault}"
            await session.write_post(text)
            bundled_site.break_with(**fault)
            with pytest.raises(ending) as caught:
                await session.submit_post()
            bundled_site.break_with()
            if isinstance(caught.value, SiteRateLimitedError):
                assert caught.value.retry_in_s == 7
            assert len(bundled_site.ledger(text)) == accepted, fault
        assert len((await session.own_posts(1)).items) == 1


READ_FAULTS: list[tuple[dict[str, Any], type[SiteError]]] = [
    ({"error_500": {}}, SiteUnavailableError),
    ({"garbage": {}}, PageUnexpectedError),
    ({"rate_limit_429": {}}, SiteRateLimitedError),
    ({"drop_answer": {"path": "/", "method": None}}, SiteUnavailableError),
]


async def test_a_site_in_trouble_is_never_taken_for_an_empty_one(
    pool: ContextPool, ada: SiteAccount, bundled_site: BundledSite
) -> None:
    async with open_site(pool, 0, ada) as session:
        reference = await publish(session, "stands whatever the trouble")
        for fault, ending in READ_FAULTS:
            bundled_site.break_with(**fault)
            for read in (
                lambda: session.read_metrics(reference),
                lambda: session.own_posts(1),
                lambda: session.write_post("not now"),
            ):
                with pytest.raises(ending):
                    await read()
            bundled_site.break_with()
        assert (await session.own_posts(1)).items[0].reference == reference
