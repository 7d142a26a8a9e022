"""The job harvester: other people's posts become opportunities; a real database, a site in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import trio
import trio.testing

from orchestrator.db import opportunities, reply_drafts
from orchestrator.db.opportunities import Opportunity
from orchestrator.db.pool import Database
from orchestrator.db.reply_drafts import Limits
from orchestrator.errors import RobotsForbidError, SiteUnavailableError
from orchestrator.health import problems
from orchestrator.jobs import harvester
from orchestrator.jobs.harvester import harvest
from orchestrator.learning.pool import Level, key_of
from orchestrator.model import Ending, ListKind, Outcome, PostState, ReplyDraft, SeenPost
from orchestrator.testing.house import ACCOUNTS, SITE, settings_for
from orchestrator.testing.site import LIST_PAGE, Pause
from tests import rows
from tests.jobs.house import House, make_house, new_fence


@pytest.fixture
async def house(database: Database) -> House:
    settings = settings_for(opportunities={"target": 20})
    return make_house(database, await new_fence(database), settings)


def posted(
    house: House, number: int, text: str = "Cooking pasta", hours_ago: float = 1, **more: object
) -> None:
    at = house.moment.now - timedelta(hours=hours_ago)
    house.site.others.append(SeenPost(f"r{number:03}xx", f"author{number}", text, at, **more))  # type: ignore[arg-type]


async def look(house: House, trigger: str = "schedule") -> Outcome:
    return await harvest(replace(house.run(harvester.NAME, priority=1), trigger=trigger), house.tools)


async def pool(house: House) -> list[Opportunity]:
    found: list[Opportunity] = await house.database.run(opportunities.best, SITE)
    return found


async def told(house: House) -> list[str]:
    rows = await problems.of_opportunities(house.database, house.tools.clock, [SITE])
    return [row["name"] for row in rows]


async def test_posts_on_our_topics_become_opportunities_the_most_relevant_first(house: House) -> None:
    posted(house, 1, "Cooking pasta", likes=1, replies=0)
    posted(house, 2, "Cooking pasta", likes=90, replies=30)
    posted(house, 3, "The council meets on Monday")
    posted(house, 4, "Cooking pasta", hours_ago=25)
    assert (await look(house)).ending is Ending.DONE
    found = await pool(house)
    assert [one.found.reference for one in found] == ["r002xx", "r001xx"]
    assert found[0].found.relevance > found[1].found.relevance > 0.2
    assert "cooking" in found[0].found.why


async def test_our_own_posts_and_those_that_we_have_answered_are_none(house: House) -> None:
    house.site.others.append(SeenPost("r001xx", "ADA", "Cooking", house.moment.now))
    posted(house, 2)
    posted(house, 3)
    await house.tools.draft_reply(house.run("my_job"), "grace", "r002xx", "an answer")
    await look(house)
    assert [one.found.reference for one in await pool(house)] == ["r003xx"]


async def test_no_more_lists_are_read_than_the_pool_needs_and_a_full_one_is_left_alone(house: House) -> None:
    for number in range(20):
        posted(house, number)
    await look(house)
    assert [listing.kind for _, listing in house.site.lists_read] == [ListKind.HOME]
    house.moment.go(hours=3)
    assert (await look(house)).ending is Ending.NOTHING_TO_DO
    assert len(house.site.lists_read) == 1


async def test_a_pool_with_too_few_is_filled_by_searching_for_our_topics(house: House) -> None:
    posted(house, 1)
    await look(house)
    kinds = [(listing.kind, listing.what) for _, listing in house.site.lists_read]
    assert kinds[0] == (ListKind.HOME, "")
    assert (ListKind.SEARCH, "cooking") in kinds
    assert len({account for account, _ in house.site.lists_read}) == 1


async def test_a_pool_is_looked_after_the_oftener_the_fewer_there_are(house: House) -> None:
    for number in range(10):  # of 20: neither few nor hardly any
        posted(house, number, hours_ago=0)
    await look(house)
    read = len(house.site.lists_read)
    house.moment.go(minutes=20)
    assert (await look(house)).ending is Ending.NOTHING_TO_DO
    assert len(house.site.lists_read) == read
    assert (await look(house, "asked by root")).ending is Ending.DONE
    house.moment.go(minutes=60)
    assert (await look(house)).ending is Ending.DONE


async def test_an_empty_pool_is_looked_after_every_ten_minutes(house: House) -> None:
    await look(house)
    house.moment.go(minutes=9.7)
    assert (await look(house)).ending is Ending.DONE


@asynccontextmanager
async def called_back(house: House, at: str) -> AsyncIterator[list[Outcome]]:
    """A harvest whose context others have more right to from the moment `at` on; the block runs meanwhile."""
    allocator, pause, outcomes = house.tools.allocator, Pause(), list[Outcome]()
    has_it, is_over = trio.Event(), trio.Event()
    house.site.trouble[at].append(pause)

    async def hold(priority: int, event: trio.Event) -> None:
        async with allocator.lease("other", priority=priority):
            event.set()
            await is_over.wait()

    async def run() -> None:
        outcomes.append(await look(house))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, 1, trio.Event())  # high's guarantee is taken, so the harvester borrows
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(run)
        await pause.is_reached.wait()
        nursery.start_soon(hold, 2, has_it)
        await trio.testing.wait_all_tasks_blocked()
        pause.go_on.set()
        await has_it.wait()
        yield outcomes
        is_over.set()


def read(house: House) -> list[str]:
    """The lists that were read, in their order."""
    return [f"{listing.kind} {listing.what}".strip() for _, listing in house.site.lists_read]


async def test_a_context_that_is_called_back_is_given_back_between_two_lists_and_the_rest_is_read_later(
    house: House,
) -> None:
    posted(house, 1)
    async with called_back(house, "read_list") as outcomes:
        await trio.testing.wait_all_tasks_blocked()
        assert read(house) == ["home"]
        assert outcomes == []
    [outcome] = outcomes
    assert outcome.figures["gave_back"] == 1
    assert len(house.site.visits) == 2
    assert len(read(house)) == len(set(read(house))) > 1  # each list once


async def test_a_list_that_is_called_back_after_a_page_is_read_again_at_the_end(house: House) -> None:
    for number in range(2 * LIST_PAGE):
        posted(house, number, "The council meets", hours_ago=1)
    posted(house, 99, "Cooking pasta", hours_ago=2)  # on the third page, behind the call-back
    async with called_back(house, "next_page"):
        assert await pool(house) == []
    assert [one.found.reference for one in await pool(house)] == ["r099xx"]
    assert (read(house)[0], read(house).count("home")) == ("home", 2)


async def test_a_run_that_fails_is_gone_on_with_by_the_next_one(house: House) -> None:
    posted(house, 1)
    house.site.trouble["read_list"] += [_nothing, _nothing, SiteUnavailableError("it is away")]
    with pytest.raises(SiteUnavailableError):
        await look(house)
    before = read(house)
    await look(house)
    assert len(before) == 2
    assert not set(before) & set(read(house)[2:])
    house.moment.go(minutes=10)
    await look(house)
    assert read(house).count("home") == 2  # all is done, so this one began anew


async def test_the_trouble_of_a_site_is_told_and_what_was_read_is_kept(house: House) -> None:
    posted(house, 1)
    house.site.trouble["read_list"] += [_nothing, SiteUnavailableError("it is away")]
    with pytest.raises(SiteUnavailableError):
        await look(house)
    assert len(await pool(house)) == 1


async def _nothing() -> None:
    pass


async def test_a_list_that_robots_may_not_read_is_passed_over(house: House) -> None:
    posted(house, 1)
    house.site.trouble["read_list"].append(RobotsForbidError("robots.txt forbids it"))
    assert (await look(house)).ending is Ending.DONE
    assert len(await pool(house)) == 1  # by a search


async def test_a_pool_whose_lists_may_not_be_read_is_as_full_as_it_was(house: House) -> None:
    for number in range(10):
        posted(house, number, hours_ago=0)
    await look(house)
    lists = len(house.site.lists_read)
    house.moment.go(minutes=70)
    house.site.trouble["read_list"] += [RobotsForbidError("robots.txt forbids it") for _ in range(lists)]
    assert (await look(house)).ending is Ending.DONE
    level = Level.of(await house.tools.recall(house.run(harvester.NAME), key_of(SITE)))
    assert (level.count, level.low_since) == (10, None)
    assert await told(house) == []


async def drafted(house: House, *numbers: int) -> None:
    """Drafts of a job that answer open ones and wait for a person."""
    limits = Limits(list(ACCOUNTS), house.moment.now)
    by_reference = {one.found.reference: one for one in await pool(house)}
    for number in numbers:
        one = by_reference[f"r{number:03}xx"]
        reply = ReplyDraft("ada", one.found.reference, f"answer {number}", "job opportunity_review")
        state, stamp = PostState.DRAFT, house.stamp()
        assert await house.database.run(reply_drafts.draft, one, reply, limits, state, stamp)


async def states(house: House) -> list[tuple[str, str]]:
    """Of each reply, and of what it answers."""
    found = await rows.fetch(
        house.database,
        "SELECT p.state, o.state AS target FROM posts p JOIN opportunities o ON o.reply = p.id ORDER BY p.id",
    )
    return [(row["state"], row["target"]) for row in found]


async def test_a_draft_whose_post_is_gone_from_the_site_is_withdrawn_before_a_person_reads_it(
    house: House,
) -> None:
    for number in (1, 2, 3):
        posted(house, number)
    await look(house)
    await drafted(house, 1, 2, 3)
    await rows.execute(house.database, "UPDATE posts SET source = 'ada' WHERE in_reply_to = 'r003xx'")
    house.site.gone |= {"r002xx", "r003xx"}
    house.moment.go(minutes=20)
    outcome = await look(house)
    assert outcome.figures["withdrawn"] == 1
    # What a person has written is the person's.
    assert await states(house) == [("draft", "drafted"), ("failed", "stale"), ("draft", "drafted")]


async def test_a_look_at_drafts_is_given_up_with_the_context(house: House) -> None:
    for number in (1, 2):
        posted(house, number)
    await look(house)
    await drafted(house, 1, 2)
    house.site.gone |= {"r001xx", "r002xx"}
    house.moment.go(minutes=20)
    async with called_back(house, "own_replies") as outcomes:
        pass
    assert outcomes[0].figures["withdrawn"] == 1


async def test_people_are_told_of_a_pool_that_stays_empty_and_of_one_that_empties_at_once(
    house: House,
) -> None:
    for _ in range(12):
        await look(house)
        assert await told(house) == []
        house.moment.go(minutes=10)
    await look(house)
    assert await told(house) == ["opportunities_few"]
    for number in range(15):
        posted(house, number, hours_ago=0)
    house.moment.go(minutes=10)
    await look(house)
    assert await told(house) == []
    stamp = house.stamp()
    for one in (await pool(house))[:12]:
        await house.database.run(opportunities.give_up, one.id, "a test", stamp)
    house.site.others.clear()
    house.moment.go(minutes=10)
    await look(house)
    assert await told(house) == ["opportunities_dropped"]


async def test_a_pool_never_has_more_than_300_and_the_least_relevant_go(house: House) -> None:
    found = [
        opportunities.Found(f"r{n}", f"a{n}", "x", house.moment.now, n, None, None, n / 1000, "cooking", "")
        for n in range(320)
    ]
    assert await house.database.run(opportunities.add, SITE, list(ACCOUNTS), found, house.stamp()) == 320
    left = await pool(house)
    assert (len(left), left[-1].found.reference) == (300, "r20")
    again = await house.database.run(opportunities.add, SITE, [], found[-5:], house.stamp())
    assert again == 0


async def test_what_the_last_run_knew_stands_in_a_note(house: House) -> None:
    await look(house)
    level = Level.of(await house.tools.recall(house.run(harvester.NAME), key_of(SITE)))
    assert (level.harvested_at, level.low_since, level.least) == (house.moment.now, house.moment.now, 4)
