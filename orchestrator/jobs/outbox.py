"""The drafts of one run of `plan`, which go into the database many at a time."""

from collections import Counter
from collections.abc import Sequence

from orchestrator.actors.job import Run
from orchestrator.db import planned
from orchestrator.db.models import Prediction
from orchestrator.db.planned import Planned
from orchestrator.jobs.tools import Tools
from orchestrator.model import Draft

MOST = 100
"""Drafts in one transaction."""


class Outbox:
    """Drafts that wait to be kept, and how many of each account were."""

    def __init__(self, run: Run, tools: Tools) -> None:
        self._run = run
        self._tools = tools
        self._waiting: list[Planned] = []
        self.queued = Counter[str]()
        self.refused = Counter[str]()
        """The account had the text already, whoever wrote it meanwhile."""

    async def put(self, draft: Draft, said: Sequence[Prediction]) -> None:
        """Take a draft; with the last of a hundred, all are kept. Raises DatabaseError."""
        self._waiting.append(Planned(draft, said))
        if len(self._waiting) >= MOST:
            await self.keep()

    async def keep(self) -> None:
        """Keep what waits, without what is of accounts that are gone by now. Raises DatabaseError."""
        waiting, self._waiting = self._waiting, []
        here = [one for one in waiting if one.draft.account in self._tools.accounts]
        if not here:
            return
        ids = await self._tools.database.run(planned.keep, here, self._tools.stamp())
        for post_id, one in zip(ids, here, strict=True):
            self._note(one.draft, post_id)

    def _note(self, draft: Draft, post_id: int | None) -> None:
        if post_id is None:
            self.refused[draft.account] += 1
            self._run.log.info(
                "draft_refused", account=draft.account, gate="database", reason="it is queued already"
            )
            return
        self.queued[draft.account] += 1
        arms = draft.arms
        self._run.log.info(
            "post_queued", post=post_id, account=draft.account, topic=arms.topic, format=arms.format,
            hour=arms.hour, due_at=draft.due_at.isoformat(timespec="seconds"),
        )  # fmt: skip
