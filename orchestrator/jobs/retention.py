"""Job `retention`: puts old rows into the archive, then deletes them, a page at a time with pauses."""

from collections import Counter
from datetime import date, datetime, time
from typing import Any

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.db import retention
from orchestrator.db.retention import RULES, Rule
from orchestrator.jobs.archive import Archive
from orchestrator.jobs.lasting import lasting
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "retention"
FOLDER = "archive"
"""In the state directory."""
PAGE = 2000
"""Rows that are looked at in one transaction: some milliseconds."""
PAUSE_S = 0.02
"""Between two pages, in real seconds: others have the database and the disk."""
LIMIT_S = 480.0
"""A run begins no page after so long; the next one goes on."""
CLOSE_PATIENCE_S = 5.0


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await retain(run, tools)

    return Job(NAME, work, priority=9, daily_at=time(3, 0))


async def retain(run: Run, tools: Tools) -> Outcome:
    """Take out what is old, rule by rule."""
    settings = tools.settings.retention
    archive = Archive(tools.settings.state_dir / FOLDER, tools.clock.now())
    for name in await trio.to_thread.run_sync(archive.mend):
        run.log.warning("archive_mended", file=name)
    counts: Counter[str] = Counter()
    until = trio.current_time() + LIMIT_S
    try:
        for rule in RULES:
            await _Pages(run, tools, archive, rule).take_out(counts, until)
    finally:
        with lasting("the files of the archive", CLOSE_PATIENCE_S, run.log):
            await trio.to_thread.run_sync(archive.close)  # noqa: ASYNC102 - it shields and bounds itself
    gone = await trio.to_thread.run_sync(archive.prune, settings.archive_max_mb * 1_000_000)
    if gone:
        run.log.warning("archive_pruned", files=gone)
    more = "; more is left for the next run" if trio.current_time() >= until else ""
    if not counts:
        return nothing_to_do(f"no row is old enough{more}")
    what = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    return done(f"archived {what}{more}", **counts)


class _Pages:
    """One rule, page by page."""

    def __init__(self, run: Run, tools: Tools, archive: Archive, rule: Rule) -> None:
        self._run = run
        self._tools = tools
        self._archive = archive
        self._rule = rule
        self._before = retention.cutoff(rule, getattr(tools.settings.retention, rule.age), tools.clock.now())

    async def take_out(self, counts: "Counter[str]", until: float) -> None:
        database, rule = self._tools.database, self._rule
        place = await self._recall()
        while trio.current_time() < until:
            page = await database.run(retention.page, rule, self._before, place, PAGE)
            if page.lines:
                await trio.to_thread.run_sync(self._archive.append, rule.table, page.lines)
                gone = await database.run(
                    retention.drop, rule, page.keys, self._before, self._tools.fence.number
                )
                counts[rule.name] += gone
                self._run.beat(f"{rule.name}: {counts[rule.name]} archived")
            if page.place is None:
                break
            place = page.place
            await self._remember(place)
            await trio.sleep(PAUSE_S)

    async def _recall(self) -> tuple[Any, ...] | None:
        """Where an earlier run ended, if this rule goes on from there."""
        if not self._rule.keeps_place:
            return None
        kept = await self._tools.recall(self._run, self._rule.name)
        return None if kept is None else (datetime.fromisoformat(kept[0]), *kept[1:])

    async def _remember(self, place: tuple[Any, ...]) -> None:
        if self._rule.keeps_place:
            value = [one.isoformat() if isinstance(one, date) else one for one in place]
            await self._tools.remember(self._run, self._rule.name, value)
