"""The daily comparison of the site with the database: what is found both ways; nothing is touched."""

from dataclasses import replace

import pytest
import trio

from orchestrator.actors.job import ASKED_BY
from orchestrator.db import comparison
from orchestrator.db.comparison import Findings
from orchestrator.errors import ContextBrokenError, PageUnexpectedError, SignInRefusedError
from orchestrator.jobs import reconciliation
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.jobs.refusals import Refusals
from orchestrator.model import Ending, Outcome
from orchestrator.testing.site import Pause
from tests import rows
from tests.jobs.house import House


async def look(house: House) -> Outcome:
    return await reconcile(house.run(reconciliation.NAME, priority=2), house.tools)


async def publish(house: House, text: str, account: str = "ada") -> tuple[int, str]:
    """A post that the daemon publishes; its id and its reference."""
    post_id = await house.queued(text, account)
    await post_one(house.run("posting"), house.tools)
    return post_id, house.site.of(account)[-1].reference


async def a_day_later(house: House) -> Outcome:
    house.moment.go(days=1, minutes=10)
    return await look(house)


async def found(house: House) -> Findings:
    findings: list[Findings] = await house.database.run(comparison.findings, list(house.tools.accounts))
    assert len(findings) == 1
    return findings[0]


def figures(**changes: int) -> dict[str, int]:
    return {"compared": 1, "unknown": 0, "gone": 0, "moved": 0, "wrong": 0} | changes


# ── when ────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_is_compared_once_a_day_from_a_day_after_its_first_post_on(house: House) -> None:
    await publish(house, "Bread rises")
    house.moment.go(hours=23)
    assert (await look(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(hours=1)
    outcome = await look(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, figures())
    assert outcome.detail == "1 account compared with the site: 0 unknown, 0 gone, 0 moved, 0 wrong"
    house.moment.go(hours=23)
    assert (await look(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(hours=1)
    assert (await look(house)).ending is Ending.DONE


async def test_a_run_that_somebody_asks_for_brings_the_comparison_forward(house: House) -> None:
    await publish(house, "Bread rises")
    asked = replace(house.run(reconciliation.NAME), trigger=f"{ASKED_BY}alice")
    assert [(await reconcile(asked, house.tools)).figures for _ in range(2)] == [figures(), figures()]


async def test_a_clock_that_was_ahead_does_not_put_the_comparison_off(house: House) -> None:
    await publish(house, "Bread rises")
    house.moment.go(days=30)
    await look(house)
    house.moment.go(days=-20)
    assert (await look(house)).figures == figures()


async def test_many_accounts_are_compared_over_several_runs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.jobs.comparison.ACCOUNTS", 1)
    for account in ("ada", "grace"):
        await publish(house, "Bread rises", account)
    house.site.visits.clear()
    await a_day_later(house)
    await look(house)
    assert [account for account, _ in house.site.visits] == ["ada", "grace"]
    assert (await look(house)).ending is Ending.NOTHING_TO_DO


async def test_an_account_that_can_not_be_read_is_compared_later_and_does_not_hold_up_the_others(
    house: House,
) -> None:
    for account in ("ada", "grace"):
        await publish(house, "Bread rises", account)
    house.site.refuses["ada"] = SignInRefusedError("wrong password")
    with pytest.raises(SignInRefusedError):
        await a_day_later(house)
    assert (await found(house)).account == "grace"
    house.site.refuses.clear()
    house.tools = replace(house.tools, refusals=Refusals())  # as after a restart
    assert (await look(house)).figures == figures()


# ── what the database does not know ─────────────────────────────────────────────────────────────


async def test_posts_that_nobody_recorded_are_told_and_not_touched(house: House) -> None:
    """What was there before our first post is not ours to tell of."""
    house.site.accept("ada", "from before our time")
    await publish(house, "Bread rises")
    by_hand = house.site.accept("ada", "by hand")
    await publish(house, "Bread falls")
    newest = house.site.accept("ada", "by hand as well")
    before = await rows.all_rows(house.database)
    outcome = await a_day_later(house)
    assert outcome.figures == figures(unknown=2)
    assert await found(house) == Findings(
        "ada", house.moment.now, [f"on the site and not in this database: {newest}, {by_hand}"], []
    )
    assert await rows.all_rows(house.database) == before
    assert len(house.site.presses) == 2


async def test_of_many_unknown_posts_some_are_named(house: House) -> None:
    await publish(house, "Bread rises")
    for number in range(8):
        house.site.accept("ada", f"by hand {number}")
    await a_day_later(house)
    [line] = (await found(house)).notes
    assert line.endswith(" and 3 more")


async def test_a_text_that_is_out_twice_or_still_to_go_out_is_wrong(house: House) -> None:
    post_id, reference = await publish(house, "Bread rises")
    again = house.site.accept("ada", "Bread  rises")
    waits = await house.queued("Bread falls")
    early = house.site.accept("ada", "Bread falls")
    assert (await a_day_later(house)).figures == figures(wrong=2)
    assert (await found(house)).wrong == [
        f"{early} on the site has the text of post {waits}, which is queued",
        f"{again} on the site has the text of post {post_id}, which is published as {reference}",
    ]


async def test_what_is_on_its_way_is_not_unknown(house: House) -> None:
    """The site has taken it; its answer comes after the look."""
    await publish(house, "Bread rises")
    house.moment.go(days=1, minutes=10)
    await house.queued("Bread falls")
    pause = Pause()
    house.site.trouble["accepted"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post_one, house.run("posting"), house.tools)
        await pause.is_reached.wait()
        outcome = await look(house)
        pause.go_on.set()
    assert outcome.figures == figures()


# ── what the site does not have ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_published_post_without_a_page_is_gone_and_stays_published(
    house: House, is_whole: bool
) -> None:
    house.site.is_timeline_whole = is_whole
    for text in ("one", "two"):
        await publish(house, text)
        house.moment.go(minutes=1)
    gone_id, reference = await publish(house, "Bread rises")
    house.site.gone.add(reference)
    house.moment.go(minutes=1)
    await publish(house, "three")
    assert (await a_day_later(house)).figures == figures(gone=1)
    assert (await found(house)).notes == [f"gone from the site: post {gone_id} ({reference})"]
    assert await house.state(gone_id) == ("published", 0)
    assert house.site.looks == [reference]


async def test_what_may_lie_below_the_end_of_the_timeline_is_not_missed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.jobs.comparison.TIMELINE_ITEMS", 2)
    for text in ("one", "two", "three", "four"):
        await publish(house, text)
        house.moment.go(minutes=1)
    await a_day_later(house)
    assert house.site.looks == []


async def test_a_post_whose_page_is_there_is_not_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    post_id, _ = await publish(house, "Bread rises")
    await publish(house, "Bread falls")
    hidden = await house.database.run(comparison.not_listed, "ada", [], (None, house.moment.now), 9)
    monkeypatch.setattr(house.site, "of", lambda _account: house.site.ledger[1:])
    assert post_id in {post.id for post in hidden}
    assert (await a_day_later(house)).figures == figures()
    assert house.site.looks == [house.site.ledger[0].reference]


async def test_a_page_that_can_not_be_read_tells_nothing(house: House) -> None:
    _, reference = await publish(house, "Bread rises")
    house.site.gone.add(reference)
    house.site.trouble["read_metrics"].append(PageUnexpectedError("half a page"))
    assert (await a_day_later(house)).figures == figures()


async def test_an_account_whose_page_breaks_the_browser_has_had_its_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.jobs.comparison.ACCOUNTS", 1)
    for account in ("ada", "grace"):
        await publish(house, "Bread rises", account)
    house.site.gone.add(house.site.of("ada")[0].reference)
    house.site.trouble["read_metrics"].append(ContextBrokenError("the browser died"))
    with pytest.raises(ContextBrokenError):
        await a_day_later(house)
    assert "broken" in house.slots()
    house.site.visits.clear()
    await look(house)
    assert [account for account, _ in house.site.visits] == ["grace"]


async def test_a_page_that_breaks_the_browser_lets_the_next_ones_have_their_turn(house: House) -> None:
    older, newer = [(await publish(house, text)) for text in ("one", "two")]
    house.site.gone.update(reference for _, reference in (older, newer))
    house.site.trouble["read_metrics"].append(ContextBrokenError("the browser died"))
    with pytest.raises(ContextBrokenError):
        await a_day_later(house)
    house.site.trouble["read_metrics"].append(nothing)
    house.site.trouble["read_metrics"].append(ContextBrokenError("the browser died"))
    with pytest.raises(ContextBrokenError):
        await a_day_later(house)
    assert (await found(house)).gone == [older[0]]


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


async def test_of_many_posts_that_are_gone_each_has_its_turn_and_all_are_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.jobs.comparison.PAGES", 2)
    ids = []
    for number in range(5):
        post_id, reference = await publish(house, f"text {number}")
        ids.append(post_id)
        house.site.gone.add(reference)
        house.moment.go(minutes=1)
    told = []
    for _ in range(4):
        await a_day_later(house)
        told.append(sorted((await found(house)).gone))
    assert told == [ids[3:], ids[1:], ids, ids]
    assert len(set(house.site.looks[:6])) == 5
    house.site.gone.discard(house.site.ledger[4].reference)
    await a_day_later(house)
    assert sorted((await found(house)).gone) == ids[:4]


async def test_a_post_that_came_out_during_the_look_is_not_missed(house: House) -> None:
    await publish(house, "Bread rises")
    house.moment.go(days=1, minutes=10)

    async def publish_meanwhile() -> None:
        await publish(house, "Bread falls")
        house.site.ledger.pop()  # the timeline that we see was made before

    house.site.trouble["own_posts"].append(publish_meanwhile)
    assert (await look(house)).figures == figures()
    assert house.site.looks == []


# ── references that have changed ────────────────────────────────────────────────────────────────


async def test_a_post_that_has_moved_gets_its_new_reference(house: House) -> None:
    post_id, old = await publish(house, "Bread  rises")
    house.site.gone.add(old)
    new = house.site.accept("ada", "Bread rises")
    await publish(house, "Bread falls")
    assert (await a_day_later(house)).figures == figures(moved=1)
    row = await rows.row(house.database, post_id)
    assert (row["state"], row["reference"], row["measured_at"]) == ("published", new, None)
    assert (await found(house)).notes == [f"moved on the site: post {post_id} (from {old} to {new})"]
    assert (await a_day_later(house)).figures == figures()
    assert (await found(house)).notes == []


async def test_while_the_old_page_is_there_a_second_one_is_no_move(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    post_id, old = await publish(house, "Bread rises")
    again = house.site.accept("ada", "Bread rises")
    await publish(house, "Bread falls")
    monkeypatch.setattr(house.site, "of", lambda _account: house.site.ledger[1:])
    assert (await a_day_later(house)).figures == figures(wrong=1)
    assert (await rows.row(house.database, post_id))["reference"] == old
    assert (await found(house)).wrong == [
        f"{again} on the site has the text of post {post_id}, which is published as {old}"
    ]


async def test_a_daemon_that_was_overtaken_keeps_no_findings(house: House) -> None:
    await publish(house, "Bread rises")
    house.moment.go(days=1, minutes=10)

    async def overtake() -> None:
        await rows.take_fence(house.database)

    house.site.trouble["own_posts"].append(overtake)
    with pytest.raises(Exception, match="another daemon has taken over"):
        await look(house)
    assert await house.database.run(comparison.findings, ["ada"]) == []
