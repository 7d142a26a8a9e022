"""Job `plan`: what to publish next, and when."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from random import Random

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.content import figures
from orchestrator.content.gates import Refusal
from orchestrator.content.generator import SOURCE, Written
from orchestrator.content.writer import Stock
from orchestrator.db import models, own_figures, posts
from orchestrator.errors import ContentError
from orchestrator.jobs.assistant import Assistant, open_assistant
from orchestrator.jobs.choice import Chooser, open_chooser, write_several
from orchestrator.jobs.pace import rates, timetable
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning import cached
from orchestrator.learning.bandit import DIMENSIONS, Arm, choose
from orchestrator.learning.findings import nudged
from orchestrator.learning.pacing import Timetable
from orchestrator.model import Arms, Draft, Outcome, done, nothing_to_do
from orchestrator.retry import RetryRule

NAME = "plan"
RECENT_TEXTS = 500
"""So many of the latest texts of the site's accounts are compared with a new one."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        outcome = await plan(run, tools)
        await tools.expect_posts()
        return outcome

    return Job(NAME, work, priority=1, every_s=7200, retry=RetryRule(3, 2.0))


class Draw(Enum):
    """What became of the wish for a draft."""

    QUEUED = "queued"
    REFUSED = "refused"
    """By the gates."""
    DRY = "dry"
    """Every text there is was used."""


async def plan(run: Run, tools: Tools) -> Outcome:
    """Fill each account's queue by up to `content.posts_a_run` drafts that pass the gates.

    Raises ContentError when an account is left with nothing to post.
    """
    stock = await tools.writer.read()
    if tools.feeds is not None:
        stock = stock.with_first(await tools.feeds.read(run.job))
    assistant = await open_assistant(run, tools)
    total, without, dry = Counter[Draw](), [], []
    accounts = list(tools.accounts.values())  # one that is added from now on has its turn at the next run
    per_hour = await rates(run, tools, [account.name for account in accounts])
    sites = {account.settings.site for account in accounts}
    choosers = {site: await open_chooser(tools, site) for site in sorted(sites)}
    for account in accounts:
        if account.name not in tools.accounts:
            continue  # switched off or removed meanwhile
        depth = await tools.database.run(posts.depth, account.name)
        room = tools.settings.content.queue_target - depth.waiting
        drafts = max(1, round(tools.settings.content.posts_a_run * per_hour[account.name]))
        table = await timetable(tools, account, per_hour[account.name])
        chooser = choosers[account.settings.site]
        planner = _Planner(run, tools, account, stock, assistant, table, chooser)
        endings = Counter(
            [
                await planner.write_one(is_first=depth.published + depth.waiting + number == 0)
                for number in range(min(room, drafts))
            ]
        )
        total += endings
        if endings[Draw.DRY]:
            dry.append(account.name)
        if depth.waiting + endings[Draw.QUEUED] == 0:
            without.append(account.name)
    if without:
        raise _nothing_for(without, dry)
    return _outcome(total, dry)


def _nothing_for(without: list[str], dry: list[str]) -> ContentError:
    if set(without) <= set(dry):
        return ContentError(
            f"there is no unused text for {', '.join(without)}",
            remedy="Write more (docs/content.md); a text is used once",
        )
    return ContentError(
        f"there is no new text for {', '.join(without)} that passes the gates",
        remedy="Write more, or loosen the gates (docs/content.md); draft_refused in the log says why",
    )


def _outcome(total: Counter[Draw], dry: list[str]) -> Outcome:
    figures = {ending.value: total[ending] for ending in Draw}
    if total[Draw.QUEUED]:
        return done(f"{total[Draw.QUEUED]} queued", **figures)
    if dry:
        return done(f"no unused text is left for {', '.join(dry)}", **figures)
    if total[Draw.REFUSED]:
        return done("the gates refused every draft", **figures)
    return nothing_to_do("every queue is full")


class _Planner:
    """Writes for one account in one run."""

    def __init__(  # noqa: PLR0913, PLR0917 - one planner an account, made in one place
        self,
        run: Run,
        tools: Tools,
        account: Account,
        stock: Stock,
        assistant: Assistant | None,
        table: Timetable,
        chooser: Chooser,
    ) -> None:
        self._run = run
        self._tools = tools
        self._account = account
        self._stock = stock
        self._assistant = assistant
        self._topics = stock.inventory.topics
        """Those that may have an unused text."""
        self._table = table
        self._chooser = chooser
        self._chosen_by: int | None = None
        """The version that chose the text at hand."""
        self._rng = Random(tools.rng.getrandbits(64))
        """The threads' own."""

    async def write_one(self, *, is_first: bool) -> Draw:
        """Queue a draft about the topic that the bandit draws; about another one when that is used up."""
        account, tools = self._account, self._tools
        arms = await _known_arms(account, tools)
        used = await tools.database.run(posts.used_fingerprints, account.name)
        recent = await tools.database.run(posts.recent_texts, tools.beside(account), RECENT_TEXTS)
        now = tools.clock.now()
        hours = _hours_ahead(now, account, tools.settings.content.horizon_h)
        hours = [hour for hour in hours if self._table.has_room(*_span_of(hour, now, account))] or hours
        while self._topics:
            wish = choose(
                arms,
                topics=self._topics,
                formats=self._stock.inventory.formats,
                hours=hours[:1] if is_first else hours,
                rng=tools.rng,
            )
            written = await self._write(wish, recent, used)
            if isinstance(written, Written):
                return await self._queue(written, wish.hour, is_first=is_first)
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
        tools, account = self._tools, self._account
        if not tools.settings.content.figures:
            return None
        since = tools.clock.now() - timedelta(days=7)
        week = await tools.database.run(own_figures.week, account.name, since, figures.SOURCE)
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
        return Written(found.text, found.source, found.topic, found.format)

    async def _from(
        self, stock: Stock, wish: Arms, recent: Sequence[str], used: Collection[str]
    ) -> Written | list[Refusal]:
        most = self._account.site.profile.compose.max_chars
        write = partial(
            write_several, stock, wish, self._rng,
            count=self._chooser.texts, recent_texts=recent, used=used, site_max_chars=most,
        )  # fmt: skip
        written, refused = await trio.to_thread.run_sync(write)
        if not written:
            return refused
        best, self._chosen_by = self._chooser.choose(written, wish.hour, self._rng)
        return best

    async def _queue(self, written: Written, hour: int, *, is_first: bool) -> Draw:
        account, tools = self._account, self._tools
        now = tools.clock.now()
        span = _span_of(hour, now, account)
        due_at = now if is_first else self._table.moment(*span, tools.rng.random())
        arms = Arms(written.topic, written.format, hour)
        draft = Draft(account.name, written.text, arms, written.source, due_at)
        post_id = await tools.database.run(posts.add, draft, tools.stamp())
        if post_id is None:
            self._run.log.info(
                "draft_refused", account=account.name, gate="database", reason="it is queued already"
            )
            return Draw.REFUSED
        said = self._chooser.say(written.text, arms, self._chosen_by)
        if said:
            await tools.database.run(models.note, post_id, said)
        self._table = replace(self._table, taken=[*self._table.taken, due_at])
        self._run.log.info(
            "post_queued", post=post_id, account=account.name, topic=arms.topic, format=arms.format,
            hour=hour, due_at=due_at.isoformat(timespec="seconds"),
        )  # fmt: skip
        return Draw.QUEUED


async def _known_arms(account: Account, tools: Tools) -> list[Arm]:
    """What the bandit has learned, nudged by what was found of past posts."""
    site, strength = account.settings.site, tools.settings.analysis.nudge
    arms = [Arm(*row) for row in await cached.arms(tools.cache, tools.database, site)]
    if not strength:
        return arms
    effects = await cached.effects(tools.cache, tools.database, site, account.name, DIMENSIONS)
    return nudged(arms, effects, strength)


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
