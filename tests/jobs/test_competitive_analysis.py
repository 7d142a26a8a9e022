"""The comparison with peers: what is said of them, and of ours beside them."""

from orchestrator.db import findings
from orchestrator.jobs import competitive_analysis as job
from orchestrator.jobs.competitive_analysis import analyse
from orchestrator.learning.bandit import DIMENSIONS
from orchestrator.model import Ending, Outcome, PostMetrics
from orchestrator.testing.house import SITE
from tests import rows
from tests.jobs.house import House
from tests.jobs.test_analytics import measured, sum_up


async def look(house: House) -> Outcome:
    return await analyse(house.run(job.NAME, priority=8), house.tools)


async def seen(house: House, author: str, text: str, likes: int, hours_ago: float = 1.0) -> None:
    await rows.execute(
        house.database,
        """
        INSERT INTO peer_posts VALUES ($1, $2, md5($3), $3, $4, 0, NULL,
                                       $5::timestamptz - $6 * interval '1 hour', $5)
        """,
        SITE, author, text, likes, house.moment.now, hours_ago,
    )  # fmt: skip


async def said(house: House) -> dict[tuple[str, str], findings.Finding]:
    found = await house.database.run(findings.standing, [SITE], None, 100)
    return {(one.finding.kind, one.finding.subject): one.finding for one in found}


async def test_without_peers_there_is_nothing_to_do(house: House) -> None:
    assert (await look(house)).ending is Ending.NOTHING_TO_DO


async def test_what_goes_with_many_reactions_to_peers_is_said(house: House) -> None:
    """Each author's own posts are compared: one of them is a thousand times as well known."""
    for author, fame in (("lin", 1), ("max", 1000)):
        for number in range(30):
            await seen(house, author, f"Do you bake? {number} {author}", likes=fame * (40 + number))
            await seen(house, author, f"Bread is good. {number} {author}", likes=fame * number)
    assert (await look(house)).ending is Ending.DONE
    found = (await said(house))["peers: opening", "question"]
    assert found.effect > 0.2
    assert found.posts == 60
    assert found.statement.startswith("Peers’ posts that open with a question rank")


async def test_our_posts_are_put_beside_theirs(house: House) -> None:
    for number in range(15):
        await measured(house, f"one {number}", PostMetrics(likes=number, replies=0, views=100))
        await seen(house, "lin", f"theirs {number}", likes=100 + number)
    await sum_up(house)
    await look(house)
    found = (await said(house))["peers", "reactions"]
    assert (found.effect, found.posts) == (-0.5, 15)
    assert found.statement == (
        "One of our posts has more reactions than one of a peer’s in 0 of 100 pairs (0 to 0 at 95 %): "
        "7 against 107 at the median, 15 posts against 15."
    )


async def test_peers_move_no_choice_of_ours(house: House) -> None:
    for number in range(30):
        await seen(house, "lin", f"late {number}", likes=100 + number, hours_ago=1)
        await seen(house, "lin", f"early {number}", likes=number, hours_ago=8)
    await look(house)
    assert ("peers: hour", "09–12") in await said(house)
    assert await house.database.run(findings.effects, SITE, DIMENSIONS) == {}


async def test_posts_of_peers_that_were_seen_long_ago_are_not_compared(house: House) -> None:
    await seen(house, "lin", "theirs", likes=1)
    house.moment.go(days=400)
    assert (await look(house)).ending is Ending.NOTHING_TO_DO
