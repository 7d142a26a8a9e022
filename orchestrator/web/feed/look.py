"""What the feed shows: the status document, the slots' latest past, and what waits for a person."""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from orchestrator.db import learned
from orchestrator.errors import OrchestratorError
from orchestrator.health.status import House, read_status
from orchestrator.web.feed.document import make_document, steady
from orchestrator.web.feed.patch import Document, without_nulls
from orchestrator.web.feed.timeline import Timeline

SLOW_S = 5.0
"""What asks much of the database, and changes seldom, is looked at so often."""
DRAFTS = DOUBTS = 20
REWARDS, POINTS = 300, 30
"""So many of the latest posts' rewards are shown, as the means of so many groups."""

Ask = Callable[[str, Document], Awaitable[Document]]
"""Puts a question to the daemon, as the control socket does: verb and arguments."""


class Look:
    """Looks at the house, for the feed."""

    def __init__(self, house: House, timeline: Timeline, ask: Ask) -> None:
        self._house = house
        self._timeline = timeline
        self._ask = ask
        self._slow: Document = {}
        self._slow_at = -math.inf
        self._latest: Document = {}

    async def __call__(self) -> Document:
        """The document of now."""
        now = time.time()  # the ages that follow are of this moment
        status = await read_status(self._house)
        if trio.current_time() - self._slow_at >= SLOW_S:
            self._slow |= await self._look_slowly()
            self._slow_at = trio.current_time()
        document: Document = steady(self._latest, make_document(status | self._slow, now))
        clock = self._house.clock
        document["clock"] = {
            "speed": clock.speed,
            "real_epoch": clock.real_epoch,
            "shown_epoch": clock.shown_epoch,
        }
        document["timeline"] = without_nulls(self._timeline.rows())
        self._latest = document
        return document

    async def _look_slowly(self) -> Document:
        found: Document = {}
        for verb, args, keys in (
            ("replies", {"state": "draft", "limit": DRAFTS}, {"posts": "drafts"}),
            ("posts", {"state": "ambiguous", "limit": DOUBTS}, {"posts": "doubts"}),
            ("alerts", {}, {"alerts": "alerts"}),
            ("budget", {}, None),
        ):
            try:
                answer = await self._ask(verb, dict(args))
            except OrchestratorError:
                continue  # it starts, or the database is away: the problems say so
            if keys is None:
                found[verb] = answer
            else:
                found |= {new: answer[old] for old, new in keys.items()}
        for draft in found.get("drafts", []):
            draft["target"] = self._house.address_of(draft["account"], draft["in_reply_to"])
        found["rewards"] = await self._rewards()
        return found

    async def _rewards(self) -> dict[str, list[dict[str, Any]]]:
        """Of each site, the mean rewards of groups of posts that follow each other, oldest first."""
        database = self._house.database
        if database is None or self._house.supervisor is None:
            return {}
        try:
            return {
                site: _means(await database.run(learned.latest_rewards, site, REWARDS))
                for site in self._house.scopes
            }
        except OrchestratorError:
            return {}


def _means(rewards: Sequence[float]) -> list[dict[str, Any]]:
    size = max(1, math.ceil(len(rewards) / POINTS))
    groups = [rewards[at : at + size] for at in range(0, len(rewards), size)]
    return [{"posts": len(group), "mean": round(sum(group) / len(group), 3)} for group in groups]
