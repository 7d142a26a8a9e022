"""Replies on the bundled site, in a real browser, through its profile."""

from collections.abc import AsyncIterator

import httpx
import pytest

from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    AlreadyAnsweredError,
    PageUnexpectedError,
    PostMissingError,
    PostRefusedError,
    PostUnclearError,
    SiteRateLimitedError,
)
from orchestrator.model import Timeline, TimelineItem
from orchestrator.sites import Profile, SiteAccount, SiteSession, open_site
from tests.demo.harness import Visitor
from tests.sites.conftest import BundledSite

ANSWER = "An answer:\n  with <b>marks</b> & more"
PRESS = {"method": "POST", "path": "/post"}


@pytest.fixture
async def session(pool: ContextPool, ada: SiteAccount) -> AsyncIterator[SiteSession]:
    async with open_site(pool, 0, ada) as session:
        yield session


async def target_by_bert(site: BundledSite, text: str) -> str:
    async with httpx.AsyncClient(base_url=site.url) as http:
        visitor = Visitor(http)
        await visitor.sign_in("bert")
        return await visitor.published(text)


def answers(site: BundledSite, target: str) -> list[tuple[str, str]]:
    """Account and reference of all accepted answers to a post."""
    found = site.ask("ledger")["posts"]
    return [(one["account"], one["reference"]) for one in found if one["in_reply_to"] == target]


async def test_a_reply_goes_out_once_below_its_target_and_is_found_there(
    session: SiteSession, bundled_site: BundledSite
) -> None:
    target = await target_by_bert(bundled_site, "what do you say?")
    assert await session.own_replies(target, 10) == Timeline([], is_whole=True)
    await session.write_reply(target, ANSWER)
    assert answers(bundled_site, target) == []
    reference = await session.submit_reply()
    assert answers(bundled_site, target) == [("ada", reference)]
    shown = TimelineItem(reference, " ".join(ANSWER.split()))
    assert await session.own_replies(target, 10) == Timeline([shown], is_whole=True)
    assert reference not in [item.reference for item in (await session.own_posts(50)).items]
    with pytest.raises(AlreadyAnsweredError) as caught:
        await session.write_reply(target, "another answer")
    assert (caught.value.reference, caught.value.text) == (shown.reference, shown.text)
    with pytest.raises(PageUnexpectedError):
        await session.submit_reply()
    assert len(answers(bundled_site, target)) == 1


async def test_answers_of_others_are_not_taken_for_own_ones(
    pool: ContextPool, session: SiteSession, profile: Profile, bundled_site: BundledSite, ada: SiteAccount
) -> None:
    target = await target_by_bert(bundled_site, "bert answers himself")
    bert = SiteAccount("bert", "bert", type(ada.password)("pass-of-bert"), profile)
    async with open_site(pool, 1, bert) as other:
        await other.write_reply(target, "as said")
        await other.submit_reply()
    assert (await session.own_replies(target, 10)).items == []
    await session.write_reply(target, "as said")
    await session.submit_reply()
    assert [account for account, _ in answers(bundled_site, target)] == ["bert", "ada"]


async def test_a_target_that_is_gone_is_missing(session: SiteSession) -> None:
    for target in ("zzzzzzzz", "../sign-in"):
        with pytest.raises(PostMissingError):
            await session.write_reply(target, ANSWER)
        with pytest.raises(PostMissingError):
            await session.own_replies(target, 10)


async def test_a_refused_reply_is_refused_with_the_sites_words(
    session: SiteSession, bundled_site: BundledSite
) -> None:
    target = await target_by_bert(bundled_site, "say nothing that is not allowed")
    await session.write_reply(target, "this is forbidden")
    with pytest.raises(PostRefusedError, match="forbidden"):
        await session.submit_reply()
    with pytest.raises(PostRefusedError, match="281 characters"):
        await session.write_reply(target, "x" * 281)
    assert answers(bundled_site, target) == []


async def test_a_reply_that_meets_a_fault_is_told_as_it_is_and_never_sent_twice(
    session: SiteSession, bundled_site: BundledSite
) -> None:
    for fault, ending, accepted in (
        ({"drop_answer": PRESS}, PostUnclearError, 1),
        ({"drop_answer": {**PRESS, "processed": False}}, PostUnclearError, 0),
        ({"error_500": {**PRESS, "processed": True}}, PostUnclearError, 1),
        ({"rate_limit_429": {**PRESS, "seconds": 7}}, SiteRateLimitedError, 0),
    ):
        target = await target_by_bert(bundled_site, f"meets {fault}")
        await session.write_reply(target, ANSWER)
        bundled_site.break_with(**fault)
        with pytest.raises(ending):
            await session.submit_reply()
        bundled_site.break_with()
        assert len((await session.own_replies(target, 10)).items) == accepted, fault
        assert len(answers(bundled_site, target)) == accepted, fault


async def test_a_sign_out_before_a_reply_is_mended_by_signing_in_once(
    session: SiteSession, bundled_site: BundledSite
) -> None:
    target = await target_by_bert(bundled_site, "still there?")
    await session.own_replies(target, 1)
    bundled_site.sign_everyone_out()
    await session.write_reply(target, "yes")
    await session.submit_reply()
    assert len(answers(bundled_site, target)) == 1
