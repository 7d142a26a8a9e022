"""Posting and reconciliation with random failures, cancellations and kills: never twice, never lost.

Each round puts at most one trouble at a random point and runs one job. A seed that fails is in the
test's name; the same seed gives the same rounds.
"""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
import trio
import trio.testing

from orchestrator.db.pool import Database
from orchestrator.errors import (
    ContextBrokenError,
    DatabaseUnavailableError,
    OrchestratorError,
    PageUnexpectedError,
    PostRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.testing.house import settings_for
from orchestrator.testing.site import dropped
from tests import rows
from tests.fakes_db import Hook, cancelling, raising
from tests.jobs.house import House, make_house, new_fence

ROUNDS = 150
WORKS = ("claim_due", "intend", "publish", "put_back", "requeue", "fail", "doubt", "ambiguous", "note_missed")
BEFORE_THE_PRESS = ("open_site", "write_post", "own_posts")
AROUND_THE_PRESS = ("submit_post", "accepted")
FINAL = {"published", "failed"}

Maker = Callable[[], Exception]
PASSING: list[Maker] = [
    lambda: SiteUnavailableError("500"),
    lambda: PageUnexpectedError("garbage"),
    lambda: ContextBrokenError("died"),
]
REFUSING: list[Maker] = [lambda: PostRefusedError("no"), lambda: SiteRateLimitedError("429", retry_in_s=60)]


class Trouble:
    """Makes one round of trouble; `scope` is the run's, `is_killed` says that the daemon died in it."""

    def __init__(self, house: House, rng: Random, scope: trio.CancelScope) -> None:
        self._house = house
        self._rng = rng
        self._scope = scope
        self.is_killed = False

    def put(self) -> None:
        make = self._rng.choice([self._at_the_site, self._at_the_press, self._at_a_commit, self._nothing])
        make()

    def _nothing(self) -> None:
        pass

    def _at_the_site(self) -> None:
        moment = self._rng.choice(BEFORE_THE_PRESS)
        self._house.site.trouble[moment].append(self._rng.choice(PASSING)())

    def _at_the_press(self) -> None:
        moment = self._rng.choice(AROUND_THE_PRESS)
        makers = [*PASSING, dropped] + (REFUSING if moment == "submit_post" else [])
        self._house.site.trouble[moment].append(self._rng.choice(makers)())

    def _at_a_commit(self) -> None:
        away = raising(DatabaseUnavailableError("away"))
        hook: Hook = self._rng.choice([away, cancelling(self._scope), self._kill])
        put = self._rng.choice([self._house.database.before, self._house.database.after])
        put(self._rng.choice(WORKS), hook)

    async def _kill(self) -> None:
        """From here on the daemon does nothing more: it reaches no database, and its run is over."""
        self.is_killed = True
        self._house.database.is_down = lambda: DatabaseUnavailableError("dead")
        self._scope.cancel()
        await trio.lowlevel.checkpoint()


async def one_round(house: House, rng: Random) -> None:
    scope = trio.CancelScope()
    trouble = Trouble(house, rng, scope)
    trouble.put()
    with scope:
        await run_one(house, rng)
    house.database.is_down = None
    for slot, state in enumerate(house.slots()):
        if state == "broken":
            house.tools.allocator.mend(slot)
    await go(house, rng.choice([1, 20, 70, 600]))
    if trouble.is_killed:
        await house.restart()


async def go(house: House, seconds: float) -> None:
    """Let time pass, for clock and breaker: one that is open lets visits through again after a while."""
    house.moment.go(seconds=seconds)
    await trio.sleep(seconds)


async def run_one(house: House, rng: Random) -> None:
    work = post_one if rng.random() < 0.6 else reconcile
    try:
        await work(house.run("a job"), house.tools)
    except OrchestratorError:
        return  # the ending of a run; what matters is what it left


async def check_at_all_times(house: House) -> None:
    texts = Counter(entry.text for entry in house.site.ledger)
    assert set(texts.values()) <= {1}, f"published twice: {texts.most_common(1)}"
    found = await rows.all_rows(house.database)
    by_reference = {one["reference"]: one["text"] for one in found if one["reference"] is not None}
    on_site = {entry.reference: entry.text for entry in house.site.ledger}
    assert by_reference.items() <= on_site.items()
    assert {one["state"] for one in found if one["text"] in texts} <= {"submitting", "ambiguous", "published"}
    counted = sum(one["counted_on"] is not None for one in found)
    [counter] = await rows.fetch(house.database, "SELECT coalesce(sum(posts), 0) AS n FROM daily_counters")
    assert counter["n"] == counted


async def come_to_rest(house: House) -> None:
    """Without further trouble, run both jobs until every post has its end."""
    house.site.trouble.clear()
    house.database.forget_hooks()
    for _ in range(60):
        for work in (post_one, reconcile):
            await work(house.run("a job"), house.tools)
        await go(house, house.tools.settings.posting.stuck_s + 1)
        if {one["state"] for one in await rows.all_rows(house.database)} <= FINAL:
            return
    pytest.fail("posts are left without an end")


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_each_post_is_published_once_or_refused(
    database: Database, autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    rng = Random(seed)
    settings = settings_for(posting={"attempts": 1000})
    house = make_house(database, await new_fence(database), settings)
    for number in range(ROUNDS):
        if number % 8 == 0:
            await house.queued(f"text {number}", rng.choice(["ada", "grace"]))
        await one_round(house, rng)
        await check_at_all_times(house)
    await come_to_rest(house)
    await check_at_all_times(house)
    found = await rows.all_rows(database)
    published = {one["text"]: one["reference"] for one in found if one["state"] == "published"}
    assert published == {entry.text: entry.reference for entry in house.site.ledger}
    assert len(published) > ROUNDS / 16  # the others were refused
