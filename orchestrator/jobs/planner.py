"""What one account is to post: the texts, and the moments, of one run of `plan`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from random import Random

import trio

from orchestrator.actors.job import Run
from orchestrator.content import figures
from orchestrator.content.gates import Refusal
from orchestrator.content.generator import SOURCE, Written
from orchestrator.content.writer import Stock
from orchestrator.jobs.assistant import Assistant
from orchestrator.jobs.choice import Chooser, write_several
from orchestrator.jobs.desks import Desk
from orchestrator.jobs.outbox import Outbox
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning.bandit import Arm, choose
from orchestrator.learning.findings import nudged
from orchestrator.model import Arms, Draft, fingerprint


class Draw(Enum):
    """What became of the wish for a draft."""

    QUEUED = "queued"
    REFUSED = "refused"
    """By the gates."""
    DRY = "dry"
    """Every text there is was used."""


@dataclass(slots=True)
class SiteDesk:
    """What all accounts of a site share in one run."""

    arms: list[Arm]
    """What the bandit has learned there."""
    chooser: Chooser
    recent: list[str]
    """The latest texts of its accounts, newest first; it grows with what is written."""


class Planner:
    """Writes for one account in one run."""

    def __init__(
        self, run: Run, tools: Tools, stock: Stock, assistant: Assistant | None, site: SiteDesk, desk: Desk
    ) -> None:
        self._run = run
        self._tools = tools
        self._account = desk.account
        self._stock = stock
        self._assistant = assistant
        self._topics = stock.inventory.topics
        """Those that may have an unused text."""
        self._site = site
        self._desk = desk
        self._chosen_by: int | None = None
        """The version that chose the text at hand."""
        self._rng = Random(tools.rng.getrandbits(64))
        """The threads' own."""

    async def write_one(self, outbox: Outbox, *, is_first: bool) -> Draw:
        """Write a draft about the topic that the bandit draws; about another one when that is used up."""
        account, tools = self._account, self._tools
        strength = tools.settings.analysis.nudge
        arms = nudged(self._site.arms, self._desk.effects, strength) if strength else self._site.arms
        now, table = tools.clock.now(), self._desk.table
        hours = _hours_ahead(now, account, tools.settings.content.horizon_h)
        hours = [hour for hour in hours if table.has_room(*_span_of(hour, now, account))] or hours
        while self._topics:
            wish = choose(
                arms,
                topics=self._topics,
                formats=self._stock.inventory.formats,
                hours=hours[:1] if is_first else hours,
                rng=tools.rng,
            )
            written = await self._write(wish, self._site.recent, self._desk.used)
            if isinstance(written, Written):
                await self._queue(outbox, written, wish.hour, is_first=is_first)
                return Draw.QUEUED
            for refusal in written:
                self._run.log.info(
                    "draft_refused", account=account.name, gate=refusal.gate, reason=refusal.reason
                )
            if any(refusal.gate != SOURCE for refusal in written):
                return Draw.REFUSED
            self._topics = tuple(topic for topic in self._topics if topic != wish.topic)
        self._run.log.warning("no_unused_text", account=account.name)
        return Draw.DRY

    async def _write(
        self, wish: Arms, recent: Sequence[str], used: Collection[str]
    ) -> Written | list[Refusal]:
        """From the first source that has something; docs/content.md has their order."""
        self._chosen_by = None
        week = await self._own_week(recent, used)
        if week is not None:
            return week
        if self._assistant is not None:
            first = await self._from(self._stock.only_first(), wish, recent, used)
            if isinstance(first, Written) and first.format == wish.format:
                return first
            self._chosen_by = None
            by = await self._assistant.write(self._account, wish, self._stock, recent, used)
            if by is not None:
                return by
        return await self._from(self._stock, wish, recent, used)

    async def _own_week(self, recent: Sequence[str], used: Collection[str]) -> Written | None:
        """The account's own figures, where that is wished and was not told within a week."""
        account, week = self._account, self._desk.week
        if week is None:
            return None
        found = figures.week_snippet(week)
        most = account.site.profile.compose.max_chars
        look = partial(self._stock.refusal, recent_texts=recent, used=used, site_max_chars=most)
        refusal = await trio.to_thread.run_sync(look, found.text)
        if refusal is not None:
            self._run.log.info(
                "draft_refused", account=account.name, gate=refusal.gate, reason=refusal.reason
            )
            return None
        self._desk.week = None
        return Written(found.text, found.source, found.topic, found.format)

    async def _from(
        self, stock: Stock, wish: Arms, recent: Sequence[str], used: Collection[str]
    ) -> Written | list[Refusal]:
        most = self._account.site.profile.compose.max_chars
        write = partial(
            write_several, stock, wish, self._rng,
            count=self._site.chooser.texts, recent_texts=recent, used=used, site_max_chars=most,
        )  # fmt: skip
        written, refused = await trio.to_thread.run_sync(write)
        if not written:
            return refused
        best, self._chosen_by = self._site.chooser.choose(written, wish.hour, self._rng)
        return best

    async def _queue(self, outbox: Outbox, written: Written, hour: int, *, is_first: bool) -> None:
        desk, tools = self._desk, self._tools
        now = tools.clock.now()
        span = _span_of(hour, now, self._account)
        due_at = now if is_first else desk.table.moment(*span, tools.rng.random())
        arms = Arms(written.topic, written.format, hour)
        draft = Draft(self._account.name, written.text, arms, written.source, due_at)
        await outbox.put(draft, self._site.chooser.say(written.text, arms, self._chosen_by))
        desk.table = replace(desk.table, taken=[*desk.table.taken, due_at])
        desk.used.add(fingerprint(written.text))
        self._site.recent.insert(0, written.text)


def _hours_ahead(now: datetime, account: Account, horizon_h: int) -> list[int]:
    """The hours of day, in the account's zone, that begin or go on within the horizon."""
    return [(now + timedelta(hours=n)).astimezone(account.zone).hour for n in range(horizon_h)]


def _span_of(hour: int, now: datetime, account: Account) -> tuple[datetime, datetime]:
    """What is left of the next `hour` o'clock of the account's zone that is not over yet."""
    step = timedelta(hours=1)
    start = now.astimezone(account.zone).replace(minute=0, second=0, microsecond=0)
    while start.astimezone(account.zone).hour != hour:
        start = (start.astimezone(now.tzinfo) + step).astimezone(account.zone)
    begin = max(start.astimezone(now.tzinfo), now)
    return begin, start.astimezone(now.tzinfo) + step
