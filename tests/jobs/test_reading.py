"""The jobs that read other people's posts, on a site in memory: whom they find and what they keep."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import trio

from orchestrator.db import peers
from orchestrator.db.peers import FoundPeer
from orchestrator.errors import PageUnexpectedError, RobotsForbidError, SiteUnavailableError
from orchestrator.jobs.account_discovery import discover, people, score
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.reading import topic_of
from orchestrator.jobs.scrape_background import scrape as scrape_background
from orchestrator.jobs.scrape_priority import scrape as scrape_priority
from orchestrator.jobs.scrape_priority import strong
from orchestrator.jobs.tools import Tools
from orchestrator.model import Ending, Listing, ListKind, Outcome, SeenPost, Trouble
from orchestrator.testing.house import SITE
from tests import rows
from tests.jobs.house import House

PRIORITIES = {"account_discovery": 5, "scrape_priority": 4, "scrape_background": 8}
WORK: dict[str, Callable[..., Awaitable[Outcome]]] = {
    "account_discovery": discover,
    "scrape_priority": scrape_priority,
    "scrape_background": scrape_background,
}


async def run(house: House, job: str) -> Outcome:
    return await WORK[job](house.run(job, PRIORITIES[job]), house.tools)


async def first_topic(house: House) -> str:
    return (await house.tools.writer.read()).inventory.topics[0]


def write(house: House, author: str, text: str, likes: int | None = 5, replies: int | None = 1) -> SeenPost:
    others = house.site.others
    moment = house.moment.now - timedelta(minutes=len(others))
    post = SeenPost(f"o{len(others)}", author, text, moment, likes, replies, None)
    others.append(post)
    return post


async def column(house: House, query: str) -> list[str]:
    return [next(iter(row.values())) for row in await rows.fetch(house.database, query)]


async def found(house: House) -> list[str]:
    return await column(house, "SELECT username FROM peers ORDER BY username")


async def kept(house: House) -> set[str]:
    return set(await column(house, "SELECT reference FROM peer_posts"))


def test_a_post_is_on_a_topic_by_its_words_or_their_hashtag() -> None:
    topics = ("bread baking", "tea")
    assert topic_of("Baking my own BREAD", topics) == "bread baking"
    assert topic_of("A loaf #BreadBaking", topics) == "bread baking"
    assert topic_of("Steady bread", topics) is None


def test_more_posts_and_more_reactions_are_worth_more() -> None:
    assert score([0]) == pytest.approx(0.5)
    assert score([0]) < score([0, 0]) < score([50]) < score([50, 50])


async def test_people_who_write_on_our_topics_are_found_but_not_we_ourselves(house: House) -> None:
    topic = await first_topic(house)
    write(house, "willow", f"All about {topic}", likes=50)
    write(house, "willow", f"More of {topic}")
    write(house, "fern", "Nothing of interest")
    write(house, house.tools.accounts["ada"].site.username.upper(), f"Ours, of {topic}")
    outcome = await run(house, "account_discovery")
    assert (outcome.ending, outcome.figures["new"]) == (Ending.DONE, 1)
    assert await found(house) == ["willow"]
    assert len(house.site.visits) == 1, "one account reads for all of its site"


async def test_of_many_people_those_stay_whose_posts_were_of_use_last(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "MAX_PEERS", 2)
    for name in ("ash", "birch", "cedar"):
        await house.database.run(peers.keep_found, SITE, [FoundPeer(name, "tea", 1.0)], house.stamp())
        house.moment.go(hours=1)
    await house.database.run(peers.was_read, SITE, "birch", house.stamp(), house.moment.now)
    await house.database.run(peers.keep_found, SITE, [FoundPeer("dill", "tea", 1.0)], house.stamp())
    assert await found(house) == ["birch", "dill"]


async def test_the_best_peers_are_read_in_turn_and_their_posts_kept(house: House) -> None:
    names = [f"peer{number}" for number in range(7)]
    for name in names:
        write(house, name, f"{name} on something")
    write(house, "peer0", "Without counts", likes=None)
    some = [FoundPeer(name, "tea", float(number)) for number, name in enumerate(names)]
    await house.database.run(peers.keep_found, SITE, some, house.stamp())

    def read() -> list[str]:
        return [listing.what for _, listing in house.site.lists_read if listing.kind is ListKind.PERSON]

    await run(house, "scrape_priority")
    assert read() == ["peer6", "peer5", "peer4", "peer3", "peer2"]
    await run(house, "scrape_priority")
    assert read()[5:7] == ["peer1", "peer0"]
    assert await kept(house) == {f"o{number}" for number in range(7)}


async def test_who_is_gone_is_forgotten(house: House) -> None:
    await house.database.run(peers.keep_found, SITE, [FoundPeer("ash", "tea", 1.0)], house.stamp())
    house.site.gone.add("ash")
    assert (await run(house, "scrape_priority")).ending is Ending.DONE
    assert await found(house) == []


def test_of_a_search_the_stronger_half_is_kept() -> None:
    at = rows.NOON
    posts = [SeenPost(f"r{likes}", "ash", "x", at, likes, 0, None) for likes in range(5)]
    assert [post.reference for post in strong(posts)] == ["r2", "r3", "r4"]
    assert strong([]) == []


async def test_a_list_is_asked_of_the_site_once_an_hour(house: House) -> None:
    await run(house, "account_discovery")
    for _ in range(3):
        await run(house, "account_discovery")
    asked = [listing for _, listing in house.site.lists_read]
    assert Listing(ListKind.HOME) in asked
    assert len(asked) == len(set(asked))


async def test_the_long_tail_is_gone_through_batch_by_batch(house: House) -> None:
    await run(house, "scrape_background")
    first = [listing.what for _, listing in house.site.lists_read]
    await run(house, "scrape_background")
    second = [listing.what for _, listing in house.site.lists_read][len(first) :]
    assert len(first) == len(second) == 6
    assert not set(first) & set(second)


@pytest.mark.parametrize("job", WORK)
async def test_a_slot_that_is_called_back_is_given_back_and_the_rest_read_in_another(
    house: House, job: str
) -> None:
    for name in ("ash", "birch"):
        await house.database.run(peers.keep_found, SITE, [FoundPeer(name, "tea", 1.0)], house.stamp())

    async def call_back() -> None:
        await trio.lowlevel.checkpoint()
        [(_, slot)] = house.site.visits
        house.tools.allocator.withdraw(slot)

    house.site.trouble["read_list"].append(call_back)
    outcome = await run(house, job)
    assert outcome.figures["gave_back"] == 1
    assert len(house.site.visits) == 2
    assert outcome.figures["read"] == len(house.site.lists_read)


@pytest.mark.parametrize("job", WORK)
async def test_accounts_that_are_not_well_are_passed_over(house: House, job: str) -> None:
    for name in house.tools.accounts:
        for _ in range(20):
            house.tools.health.note(name, Trouble.FAILED, "a test", house.moment.now)
    assert (await run(house, job)).ending is Ending.NOTHING_TO_DO
    assert house.site.visits == []


@pytest.mark.parametrize("job", WORK)
async def test_a_site_without_lists_is_not_read(house: House, job: str) -> None:
    without = {
        name: replace(
            account,
            site=replace(account.site, profile=account.site.profile.model_copy(update={"lists": None})),
        )
        for name, account in house.tools.accounts.items()
    }
    tools: Tools = replace(house.tools, accounts=Accounts(without))
    outcome = await WORK[job](house.run(job, PRIORITIES[job]), tools)
    assert outcome.ending is Ending.NOTHING_TO_DO
    assert house.site.visits == []


async def test_what_robots_txt_forbids_is_told_and_the_rest_read(house: House) -> None:
    house.site.trouble["read_list"].append(RobotsForbidError("robots.txt of murmur forbids to read it"))
    outcome = await run(house, "scrape_background")
    assert (outcome.ending, outcome.figures["forbidden"], outcome.figures["read"]) == (Ending.DONE, 1, 5)
    assert "1 forbidden by robots.txt" in outcome.detail


async def test_three_lists_in_a_row_that_cannot_be_read_end_the_run_and_a_silent_site_does_at_once(
    house: House,
) -> None:
    house.site.trouble["read_list"] += [PageUnexpectedError("no list")] * 3
    with pytest.raises(PageUnexpectedError):
        await run(house, "scrape_background")
    assert house.site.lists_read == []
    house.site.trouble["read_list"].append(SiteUnavailableError("no answer"))
    with pytest.raises(SiteUnavailableError):
        await run(house, "scrape_background")
    assert house.site.lists_read == []


def test_the_topic_of_a_person_is_the_one_written_of_most() -> None:
    at = rows.NOON
    texts = ("tea and tea", "of bread", "more bread")
    posts = [SeenPost(f"r{number}", "ash", text, at, 0, 0, None) for number, text in enumerate(texts)]
    assert [(one.username, one.topic) for one in people(posts, ["bread", "tea"])] == [("ash", "bread")]
