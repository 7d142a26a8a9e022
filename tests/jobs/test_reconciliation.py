"""Reconciliation: what the account's own timeline says of ambiguous posts, and what follows."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import trio

from orchestrator.db import decisions, post_figures
from orchestrator.db.decisions import Decision
from orchestrator.db.pool import Database
from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    FenceLostError,
    HostRefusedError,
    LeaseEndedError,
    OrchestratorError,
    PageUnexpectedError,
    PostUnclearError,
    ProfileError,
    SignInRefusedError,
    SiteUnavailableError,
)
from orchestrator.jobs import reconciliation
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import TIMELINE_ITEMS, reconcile
from orchestrator.model import Ending, Outcome, PostState
from orchestrator.testing.house import settings_for
from orchestrator.testing.site import Entry, Pause, dropped
from tests import rows
from tests.jobs.house import House, make_house, new_fence


async def look(house: House) -> Outcome:
    return await reconcile(house.run(reconciliation.NAME, priority=2), house.tools)


async def in_doubt(house: House, text: str = "a text", account: str = "ada", *, is_accepted: bool) -> int:
    """A post whose press got no answer; its id."""
    post_id = await house.queued(text, account)
    house.site.trouble["accepted" if is_accepted else "submit_post"].append(dropped())
    with pytest.raises(PostUnclearError):
        await post_one(house.run("posting"), house.tools)
    return post_id


def settle(house: House, seconds: float = 0.0) -> None:
    """Let the settle time pass, and `seconds`."""
    house.moment.go(seconds=house.tools.settings.posting.settle_s + seconds)


async def look_twice(house: House) -> Outcome:
    """Two looks that count, the last one's outcome."""
    settle(house)
    await look(house)
    settle(house)
    return await look(house)


# ── found ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_post_that_is_on_the_site_is_published_with_its_reference(house: House) -> None:
    post_id = await in_doubt(house, "Bread  rises\nslowly", is_accepted=True)
    outcome = await look(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"settled": 1, "left": 0})
    assert await house.state(post_id) == ("published", 1)
    found = await rows.row(house.database, post_id)
    assert found["reference"] == house.site.ledger[0].reference
    assert len(house.site.presses) == 1


async def test_without_ambiguous_posts_no_timeline_is_read(house: House) -> None:
    await house.queued()
    assert (await look(house)).ending is Ending.NOTHING_TO_DO
    assert house.site.visits == []


async def test_each_account_is_looked_at_once_on_its_own_timeline(house: House) -> None:
    """The same text of two accounts is two posts."""
    on_site = await in_doubt(house, "Bread rises", "ada", is_accepted=True)
    not_there = await in_doubt(house, "Bread rises", "grace", is_accepted=False)
    second = await in_doubt(house, "Bread falls", "ada", is_accepted=True)
    house.site.visits.clear()
    assert (await look(house)).figures == {"settled": 2, "left": 1}
    assert [account for account, _ in house.site.visits] == ["ada", "grace"]
    states = [(await house.state(post_id))[0] for post_id in (on_site, not_there, second)]
    assert states == ["published", "ambiguous", "published"]
    references = {found["reference"] for found in await rows.all_rows(house.database)}
    assert references == {None, *(entry.reference for entry in house.site.of("ada"))}


async def test_an_item_that_another_post_has_already_is_not_taken_again(house: House) -> None:
    """The site refused a text, took it when it was written again, and now the third press is in doubt."""
    first = await house.queued("Bread rises")
    await post_one(house.run("posting"), house.tools)
    await rows.execute(
        house.database, "UPDATE posts SET fingerprint = 'of another text' WHERE id = $1", first
    )
    second = await in_doubt(house, "Bread rises", is_accepted=False)
    assert (await look(house)).figures == {"settled": 0, "left": 1}
    assert await house.state(second) == ("ambiguous", 2)
    assert (await rows.row(house.database, first))["reference"] == house.site.ledger[0].reference


async def test_of_two_items_that_look_equal_the_newest_is_taken_and_once(house: House) -> None:
    """Somebody has published the same text by hand."""
    house.site.accept("ada", "Bread rises")
    post_id = await in_doubt(house, "Bread rises", is_accepted=True)
    await look(house)
    assert (await rows.row(house.database, post_id))["reference"] == house.site.ledger[1].reference
    assert (await look(house)).ending is Ending.NOTHING_TO_DO


# ── not found ───────────────────────────────────────────────────────────────────────────────────


async def test_a_post_that_two_looks_did_not_find_is_queued_and_its_count_given_back(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    settle(house)
    assert (await look(house)).figures == {"settled": 0, "left": 1}
    assert await house.state(post_id) == ("ambiguous", 1)
    settle(house)
    assert (await look(house)).figures == {"settled": 1, "left": 0}
    assert await house.state(post_id) == ("queued", 0)
    await post_one(house.run("posting"), house.tools)
    assert await house.state(post_id) == ("published", 1)
    assert len(house.site.ledger) == 1


async def test_a_look_before_the_site_must_have_taken_the_post_does_not_count(house: House) -> None:
    """The request was under way when the answer broke off: the site takes the post after the first look."""
    post_id = await in_doubt(house, "Bread rises", is_accepted=False)
    settle(house, -0.001)
    await look(house)
    assert (await rows.row(house.database, post_id))["missed_at"] is None
    house.moment.go(seconds=0.001)
    await look(house)
    house.site.accept("ada", "Bread rises")
    settle(house)
    await look(house)
    assert await house.state(post_id) == ("published", 1)
    assert len(house.site.ledger) == 1


@pytest.mark.parametrize("speed", [1.0, 240.0])
async def test_the_settle_time_is_real_time_whatever_the_clock_does(house: House, speed: float) -> None:
    house.run_clock(speed)
    post_id = await in_doubt(house, is_accepted=False)
    states = []
    for real_s in (44.0, 16.0, 59.0, 1.0):
        house.moment.go(seconds=real_s * speed)
        await look(house)
        states.append((await rows.row(house.database, post_id))["state"])
    assert states == ["ambiguous", "ambiguous", "ambiguous", "queued"]


async def test_before_the_settle_time_a_second_look_does_not_count(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    settle(house)
    await look(house)
    settle(house, -0.001)
    for _ in range(3):
        await look(house)
    assert await house.state(post_id) == ("ambiguous", 1)


async def test_the_settle_time_runs_between_the_looks_and_not_their_ends(house: House) -> None:
    """A second look that began early and took long saw the timeline as it was early."""
    post_id = await in_doubt(house, is_accepted=False)
    settle(house)
    await look(house)
    pause = Pause()
    house.site.trouble["own_posts"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, house)
        await pause.is_reached.wait()
        settle(house, 60)
        pause.go_on.set()
    assert await house.state(post_id) == ("ambiguous", 1)


async def test_a_post_that_shows_up_between_the_looks_is_published(house: House) -> None:
    post_id = await in_doubt(house, "Bread rises", is_accepted=False)
    settle(house)
    await look(house)
    settle(house)
    house.site.accept("ada", "Bread rises")
    await look(house)
    assert await house.state(post_id) == ("published", 1)


async def test_a_look_that_fails_is_none(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    for error in (SiteUnavailableError("500"), PageUnexpectedError("half a timeline")):
        house.site.trouble["own_posts"].append(error)
        settle(house)
        with pytest.raises(type(error)):
            await look(house)
    assert (await rows.row(house.database, post_id))["missed_at"] is None
    assert await house.state(post_id) == ("ambiguous", 1)


async def test_after_the_last_attempt_the_post_is_failed_and_says_why(database: Database) -> None:
    house = make_house(database, await new_fence(database), settings_for(posting={"attempts": 2}))
    post_id = await in_doubt(house, is_accepted=False)
    for expected in ("queued", "failed"):
        await look_twice(house)
        assert await house.state(post_id) == (expected, 0)
        if expected == "queued":
            house.site.trouble["submit_post"].append(dropped())
            with pytest.raises(PostUnclearError):
                await post_one(house.run("posting"), house.tools)
    assert "after 2 tries" in (await rows.row(house.database, post_id))["detail"]
    assert house.site.ledger == []


# ── a long timeline ─────────────────────────────────────────────────────────────────────────────


async def test_a_timeline_that_is_too_long_leaves_the_post_to_a_person_and_says_so(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    for number in range(TIMELINE_ITEMS + 1):
        house.site.accept("ada", f"by hand {number}")
    for _ in range(2):
        await look_twice(house)
    assert await house.state(post_id) == ("ambiguous", 1)
    assert "a person has to look" in (await rows.row(house.database, post_id))["detail"]


async def test_once_the_timeline_tells_no_person_is_asked_any_more(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    house.site.is_timeline_whole = False
    await look_twice(house)
    doubt = await house.database.run(post_figures.in_doubt, ["ada"])
    assert (doubt.looked_for, doubt.for_a_person) == (0, 1)
    house.site.is_timeline_whole = True
    await look(house)
    doubt = await house.database.run(post_figures.in_doubt, ["ada"])
    assert (doubt.looked_for, doubt.for_a_person) == (1, 0)
    assert (await house.state(post_id))[0] == "ambiguous"


async def fill_timeline(house: House, count: int) -> None:
    """Publish `count` posts of ours, an hour apart."""
    for number in range(count):
        await house.queued(f"ours {number}")
        await post_one(house.run("posting"), house.tools)
        house.moment.go(hours=1)


async def test_a_timeline_without_any_post_of_ours_is_not_believed_to_be_whole(house: House) -> None:
    """A page that fills its list by a script shows an empty one at first."""
    await fill_timeline(house, 1)
    post_id = await in_doubt(house, is_accepted=False)
    house.site.ledger.clear()
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert found["state"] == "ambiguous"
    assert "none of the account's published posts is on its timeline" in found["detail"]


async def test_a_long_timeline_that_reaches_back_beyond_the_attempt_is_enough(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "TIMELINE_ITEMS", 3)
    await fill_timeline(house, 4)
    post_id = await in_doubt(house, is_accepted=False)
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "queued"


async def test_any_older_post_of_ours_shows_that_the_timeline_reaches_back_far_enough(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last item is one that somebody has published by hand."""
    monkeypatch.setattr(reconciliation, "TIMELINE_ITEMS", 3)
    house.site.accept("ada", "the first one")
    house.site.accept("ada", "by hand")
    await fill_timeline(house, 2)
    post_id = await in_doubt(house, is_accepted=False)
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "queued"


async def test_an_older_post_that_is_pinned_to_the_top_says_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "TIMELINE_ITEMS", 3)
    await fill_timeline(house, 1)
    [pinned] = house.site.ledger
    post_id = await in_doubt(house, is_accepted=True)
    for number in range(3):
        house.site.accept("ada", f"by hand {number}")
    house.site.ledger.remove(pinned)
    house.site.ledger.append(pinned)
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "ambiguous"


async def test_a_timeline_that_does_not_say_whether_it_goes_on_is_no_proof(house: House) -> None:
    house.site.is_timeline_whole = False
    post_id = await in_doubt(house, is_accepted=False)
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["missed_at"]) == ("ambiguous", None)
    assert "there may be others; a person has to look" in found["detail"]
    await rows.execute(house.database, "UPDATE posts SET state = 'failed' WHERE id = $1", post_id)
    await fill_timeline(house, 1)
    second = await in_doubt(house, "another one", is_accepted=False)
    await look_twice(house)
    assert (await rows.row(house.database, second))["state"] == "queued"


async def test_a_long_timeline_that_is_all_younger_than_the_attempt_is_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "TIMELINE_ITEMS", 3)
    post_id = await in_doubt(house, is_accepted=False)
    await fill_timeline(house, 4)
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["missed_at"]) == ("ambiguous", None)


# ── stuck posts, and those of an earlier daemon ─────────────────────────────────────────────────


async def test_a_post_that_is_stuck_is_settled_by_the_same_look(house: House) -> None:
    post_id = await rows.in_state(house.database, PostState.SUBMITTING, house.stamp(), "Bread rises")
    house.site.accept("ada", "Bread rises")
    await look(house)
    assert await house.state(post_id) == ("submitting", 1)
    house.moment.go(seconds=house.tools.settings.posting.stuck_s + 1)
    await look(house)
    assert (await rows.row(house.database, post_id))["state"] == "published"


async def test_what_is_stuck_is_so_in_real_time(house: House) -> None:
    house.run_clock(240)
    post_id = await rows.in_state(house.database, PostState.SUBMITTING, house.stamp())
    stuck_s = house.tools.settings.posting.stuck_s
    house.moment.go(seconds=(stuck_s - 1) * 240)
    await look(house)
    assert (await rows.row(house.database, post_id))["state"] == "submitting"
    house.moment.go(seconds=2 * 240)
    await look(house)
    assert (await rows.row(house.database, post_id))["state"] == "ambiguous"


@pytest.mark.parametrize(("is_accepted", "state"), [(True, ("published", 1)), (False, ("queued", 0))])
async def test_what_a_killed_daemon_left_submitting_is_settled_by_the_next(
    house: House, is_accepted: bool, state: tuple[str, int]
) -> None:
    post_id = await rows.in_state(house.database, PostState.SUBMITTING, house.stamp(), "Bread rises")
    if is_accepted:
        house.site.accept("ada", "Bread rises")
    await house.restart()
    day = house.today
    await look_twice(house)
    assert (
        (await rows.row(house.database, post_id))["state"],
        await rows.counted(house.database, day=day),
    ) == state


async def test_moments_of_a_clock_that_was_ahead_do_not_hold_up_a_post(house: House) -> None:
    house.moment.go(days=30)
    stuck = await rows.in_state(house.database, PostState.SUBMITTING, house.stamp(), "stuck")
    missed = await in_doubt(house, "missed", is_accepted=False)
    settle(house)
    await look(house)
    house.moment.go(days=-30)
    await look(house)
    house.moment.go(seconds=house.tools.settings.posting.stuck_s + 1)
    await look(house)
    assert (await rows.row(house.database, missed))["state"] == "queued"
    assert (await rows.row(house.database, stuck))["state"] == "ambiguous"
    settle(house)
    await look(house)
    assert (await rows.row(house.database, stuck))["state"] == "queued"


async def test_a_text_that_stands_below_an_older_post_of_ours_is_left_to_a_person(house: House) -> None:
    """It was posted by hand before, or the site does not list the newest first."""
    house.site.accept("ada", "a text")
    await fill_timeline(house, 2)  # of which the newest might be pinned
    post_id = await in_doubt(house, "a text", is_accepted=False)
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert found["state"] == "ambiguous"
    assert "below an older post; a person has to look" in found["detail"]


# ── texts that look different on the site ───────────────────────────────────────────────────────


async def test_a_post_whose_line_breaks_are_gone_on_the_site_is_found(house: House) -> None:
    """What a page's text has where the page has <br> or a paragraph: nothing."""
    house.site.show = lambda text: text.replace("\n", "")
    post_id = await in_doubt(house, "Bread rises:\n- slowly\n\n- at night", is_accepted=True)
    await look(house)
    assert await house.state(post_id) == ("published", 1)


@pytest.mark.parametrize(
    "show",
    [
        lambda text: f"{text[:18]}…",
        lambda text: f"{text[:18]}... Show more",
        lambda text: f"{text.replace(' ', '')[:18]}…",
        lambda text: text.replace("https://example.org/bread", "exmpl.org/b…"),
        lambda text: text.replace("'", "\u2019").upper(),
        lambda _text: "",
    ],
    ids=["cut", "cut with a button", "cut without line breaks", "a shorter link", "other marks", "nothing"],
)
async def test_a_text_that_may_be_ours_is_left_to_a_person(house: House, show: Callable[[str], str]) -> None:
    house.site.show = show
    text = "Bread rises slowly at night, and it's better for it: https://example.org/bread"
    post_id = await in_doubt(house, text, is_accepted=True)
    for _ in range(2):
        await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["missed_at"]) == ("ambiguous", None)
    assert f"{house.site.ledger[0].reference} on the site may be this post" in found["detail"]


async def test_a_text_that_resembles_ours_but_is_older_does_not_matter(house: House) -> None:
    house.site.accept("ada", "Bread rises slowly in the morning")
    await fill_timeline(house, 2)
    post_id = await in_doubt(house, "Bread rises slowly in the evening", is_accepted=False)
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "queued"


# ── troubles of an account, of the browser, of the daemon ───────────────────────────────────────


@pytest.mark.parametrize(
    "error",
    [
        SignInRefusedError("wrong password"),
        SiteUnavailableError("500"),
        PageUnexpectedError("half a timeline"),
        HostRefusedError("leads elsewhere"),
        ProfileError("a selector that the browser refuses"),
        BrowserError("the execution context was destroyed"),
        ContextBrokenError("the page crashed"),
        LeaseEndedError("held too long"),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_an_account_that_can_not_be_read_does_not_hold_up_the_others(
    house: House, error: OrchestratorError
) -> None:
    stuck = await in_doubt(house, "hers", "ada", is_accepted=True)
    other = await in_doubt(house, "his", "grace", is_accepted=True)
    house.site.refuses["ada"] = error
    with pytest.raises(type(error)):
        await look(house)
    assert [(await house.state(post_id))[0] for post_id in (stuck, other)] == ["ambiguous", "published"]


async def test_of_the_troubles_of_several_accounts_the_gravest_ends_the_run(house: House) -> None:
    for account in ("ada", "grace"):
        await in_doubt(house, "a text", account, is_accepted=True)
    house.site.refuses = {"ada": SiteUnavailableError("500"), "grace": SignInRefusedError("wrong password")}
    with pytest.raises(SignInRefusedError):
        await look(house)


async def test_posts_of_an_account_that_was_removed_wait_and_hold_up_nobody(house: House) -> None:
    gone = await rows.in_state(house.database, PostState.AMBIGUOUS, house.stamp(), "his", "linus")
    other = await in_doubt(house, is_accepted=True)
    await look(house)
    assert [(await house.state(post_id))[0] for post_id in (gone, other)] == ["ambiguous", "published"]


async def test_a_broken_context_breaks_its_slot_and_settles_nothing(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=True)
    house.site.trouble["own_posts"].append(ContextBrokenError("the browser died"))
    with pytest.raises(ContextBrokenError):
        await look(house)
    assert await house.state(post_id) == ("ambiguous", 1)
    assert sorted(house.slots()) == ["broken", "free", "free"]


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_a_daemon_that_was_overtaken_during_the_look_settles_nothing(
    house: House, is_accepted: bool
) -> None:
    post_id = await in_doubt(house, is_accepted=is_accepted)
    settle(house)
    before = await rows.row(house.database, post_id)
    pause = Pause()
    house.site.trouble["own_posts"].append(pause)
    async with trio.open_nursery() as nursery:

        async def look_in_vain() -> None:
            with pytest.raises(FenceLostError):
                await look(house)

        nursery.start_soon(look_in_vain)
        await pause.is_reached.wait()
        await new_fence(house.database)
        pause.go_on.set()
    assert await rows.row(house.database, post_id) == before


async def decide(house: House, post_id: int, decision: Decision) -> None:
    await house.database.run(
        decisions.decide, post_id, decision, "", "alice", house.stamp(), timedelta(minutes=1)
    )


async def test_a_look_settles_nothing_of_what_a_person_has_queued_again_meanwhile(house: House) -> None:
    """The second look began before the person's word; the site takes the new press and drops the answer."""
    post_id = await in_doubt(house, is_accepted=False)
    settle(house)
    await look(house)
    settle(house)
    pause = Pause()
    house.site.trouble["own_posts"].append(pause)
    taken: list[Entry] = []

    async def press_again() -> None:
        """While the look goes on; what it sees is older than the press."""
        await pause.is_reached.wait()
        await decide(house, post_id, Decision.REQUEUE)
        house.site.trouble["accepted"].append(dropped())
        with pytest.raises(PostUnclearError):
            await post_one(house.run("posting"), house.tools)
        taken.append(house.site.ledger.pop())
        pause.go_on.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(press_again)
        assert (await look(house)).figures == {"settled": 0, "left": 1}
    assert await house.state(post_id) == ("ambiguous", 1)
    assert (await rows.row(house.database, post_id))["missed_at"] is None
    house.site.ledger += taken
    await look(house)
    assert await house.state(post_id) == ("published", 1)


async def test_a_post_that_a_person_drops_during_the_look_stays_dropped_and_the_others_are_settled(
    house: House,
) -> None:
    dropped_id = await in_doubt(house, "a text", is_accepted=True)
    other = await in_doubt(house, "another text", is_accepted=True)
    settle(house)
    pause = Pause()
    house.site.trouble["own_posts"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, house)
        await pause.is_reached.wait()
        await decide(house, dropped_id, Decision.DROP)
        pause.go_on.set()
    assert [(await house.state(number))[0] for number in (dropped_id, other)] == ["failed", "published"]


async def test_many_posts_in_doubt_are_settled_over_several_runs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "BATCH", 2)
    for number in range(5):
        await in_doubt(house, f"text {number}", is_accepted=True)
        house.moment.go(seconds=1)
    figures = [(await look(house)).figures.get("settled") for _ in range(4)]
    assert figures == [2, 2, 1, None]


async def test_many_posts_in_doubt_of_one_account_do_not_hold_up_those_of_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "BATCH", 2)
    his = await in_doubt(house, "his", "grace", is_accepted=True)
    house.moment.go(minutes=1)
    for number in range(3):
        await in_doubt(house, f"text {number}", "ada", is_accepted=True)
    house.site.refuses["ada"] = SignInRefusedError("wrong password")
    with pytest.raises(SignInRefusedError):
        await look(house)
    assert (await house.state(his))[0] == "published"
