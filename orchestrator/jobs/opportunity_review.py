"""Job `opportunity_review`: drops what is stale, scores the rest anew and drafts replies to the best."""

from datetime import datetime, timedelta
from random import Random

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.content import prompts, replies
from orchestrator.content.gates import NO_PROSE
from orchestrator.content.writer import Stock
from orchestrator.db import opportunities, reply_drafts
from orchestrator.db.opportunities import Opportunity, Score
from orchestrator.db.reply_drafts import OF_A_JOB, Limits
from orchestrator.errors import ReplyImpossibleError
from orchestrator.jobs.assistant import MODEL_SOURCE, OUT
from orchestrator.jobs.prospects import Judge, by_site, judge_of, read_stock
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning.relevance import MAX_AGE
from orchestrator.llm.client import Message
from orchestrator.model import Outcome, PostState, ReplyDraft, done, nothing_to_do

NAME = "opportunity_review"
OPERATION = "reply"
A_RUN = 5
"""Replies that one run drafts for a site."""
TRIES = 2 * A_RUN
"""Opportunities that one run tries to answer for it."""
RECENT_TEXTS = 200
"""So many of our latest replies a new one is compared with."""
MOST_AUTHORS = 1000
APPROVED_MAX_AGE = 2 * MAX_AGE
"""Of a post whose answer waits to go out: approved at the last moment it has a day left."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await review(run, tools)

    return Job(NAME, work, priority=5, every_s=900, after=("harvester",))


async def review(run: Run, tools: Tools) -> Outcome:
    """Site by site."""
    sites = by_site(tools)
    if not sites:
        return nothing_to_do("no site can be read and replied on")
    stock, lexicon = await read_stock(tools)
    over = withdrawn = drafted = left = 0
    for site, accounts in sites.items():
        names, stamp = [account.name for account in accounts], tools.stamp()
        over += await tools.database.run(opportunities.settle, site, names, stamp)
        over += await tools.database.run(opportunities.expire, site, stamp.now - MAX_AGE, stamp)
        old, too_old = stamp.now - MAX_AGE, stamp.now - APPROVED_MAX_AGE
        withdrawn += await tools.database.run(reply_drafts.withdraw, site, old, too_old, stamp)
        judge = await judge_of(tools, site, accounts, lexicon)
        pool = await _rescore(tools, site, judge)
        drafter = _Drafter(run, tools, stock, accounts, judge)
        drafted += await drafter.draft(site, pool)
        left += len(pool) - drafter.closed
    if not (over or withdrawn or drafted):
        return nothing_to_do(f"{left} open, no draft is wanted")
    said = f"{drafted} replies drafted, {over} over, {left} open"
    if withdrawn:
        said += f"; {withdrawn} replies withdrawn, their posts are too old"
    return done(said, drafted=drafted, over=over, withdrawn=withdrawn, open=left)


async def _rescore(tools: Tools, site: str, judge: Judge) -> list[Opportunity]:
    """The open ones, best first by their scores of now."""
    pool, now = await tools.database.run(opportunities.best, site), tools.clock.now()
    scores = [
        (one, judge.score(one.found.text, one.since, now, one.found.likes, one.found.replies)) for one in pool
    ]
    changed = [Score(one.id, score.score, score.topic or one.found.topic, score.why) for one, score in scores]
    await tools.database.run(opportunities.rescore, site, changed, tools.fence.number)
    return await tools.database.run(opportunities.best, site)


class _Drafter:
    """Drafts replies on one site in one run."""

    def __init__(self, run: Run, tools: Tools, stock: Stock, accounts: list[Account], judge: Judge) -> None:
        self._run = run
        self._tools = tools
        self._stock = stock
        self._accounts = {account.name: account for account in accounts}
        self._most = judge.lessons.limit(tools.settings.opportunities.waiting_drafts)
        """Drafts of an account that may wait."""
        self._rng = Random(tools.rng.getrandbits(64))
        """The threads' own."""
        self._recent: list[str] = []
        self._is_out = tools.model is None
        self._dry: set[str] = set()
        """Topics on which nothing can be said for now."""
        self.closed = 0
        """How many are not open any more."""

    async def draft(self, site: str, pool: list[Opportunity]) -> int:
        """Answer the best, each author once; how many drafts there are more."""
        names = list(self._accounts)
        waiting = await self._tools.database.run(opportunities.drafts, names)
        if not pool or min(waiting.values()) >= self._most:
            return 0
        since = self._since()
        authors = await self._tools.database.run(opportunities.addressed, site, since, MOST_AUTHORS)
        self._recent = await self._tools.database.run(opportunities.reply_texts, names, RECENT_TEXTS)
        drafted = tried = 0
        for one in pool:
            account = min(waiting, key=lambda name: (waiting[name], name))
            if drafted == A_RUN or tried == TRIES or waiting[account] >= self._most:
                break
            if one.found.author in authors or one.found.topic in self._dry:
                continue
            tried += 1
            if await self._answer(self._accounts[account], one):
                authors.add(one.found.author)
                waiting[account] += 1
                drafted += 1
        return drafted

    def _since(self) -> datetime:
        """An author whom we have answered since then is left in peace."""
        return self._tools.clock.now() - timedelta(days=self._tools.settings.opportunities.author_days)

    async def _answer(self, account: Account, one: Opportunity) -> bool:
        """Draft a reply; whether one passed the gates, and nobody was faster."""
        text, why = await self._write(account, one)
        database = self._tools.database
        if not text:
            self._run.log.info("reply_not_drafted", opportunity=one.id, why=why)
            if self._is_out:  # a later run may have the model, or other templates
                self._dry.add(one.found.topic)
            else:
                await self._pass(one, why)
            return False
        limits = Limits(list(self._accounts), self._since())
        reply = ReplyDraft(account.name, one.found.reference, text, f"{OF_A_JOB}{self._run.job}: {why}")
        needs_approval = self._tools.settings.posting.replies_need_approval
        state = PostState.DRAFT if needs_approval else PostState.QUEUED
        try:
            account.check_reply(reply.in_reply_to, text)
        except ReplyImpossibleError as error:
            await self._pass(one, str(error))
            return False
        number = await database.run(reply_drafts.draft, one, reply, limits, state, self._tools.stamp())
        if number is None:
            self._run.log.info("reply_not_drafted", opportunity=one.id, why="somebody else was faster")
            return False
        self._recent.append(text)
        self.closed += 1
        self._run.log.info("reply_drafted", post=number, account=account.name, opportunity=one.id, by=why)
        return True

    async def _pass(self, one: Opportunity, why: str) -> None:
        """No reply is to be had."""
        await self._tools.database.run(opportunities.give_up, one.id, why, self._tools.stamp())
        self.closed += 1

    async def _write(self, account: Account, one: Opportunity) -> tuple[str, str]:
        """A reply and who wrote it; an empty text, and why there is none."""
        refused = ""
        text = await self._ask(account, one)
        if text:
            refused = await trio.to_thread.run_sync(self._refusal, text, account)
            if not refused:
                return text, MODEL_SOURCE
        found = await trio.to_thread.run_sync(self._from_templates, account, one)
        if found is not None:
            return found
        return "", refused or f"no template on {one.found.topic} is left"

    async def _ask(self, account: Account, one: Opportunity) -> str:
        """The language model's reply; empty when it gives none now."""
        model, profile = self._tools.model, account.site.profile
        if model is None or self._is_out or profile.reply is None:
            return ""
        most = min(self._stock.settings.max_chars, profile.reply.max_chars)
        question = prompts.reply_question(one.found.text, one.found.topic, most)
        messages = [Message("system", prompts.REPLY_INSTRUCTIONS), Message("user", question)]
        try:
            return prompts.reply_of(await model.ask(self._run.job, OPERATION, messages))
        except OUT as error:
            self._is_out = True
            self._run.log.warning("model_out", error=str(error))
            return ""

    def _from_templates(self, account: Account, one: Opportunity) -> tuple[str, str] | None:
        """In a thread: many texts are held against each other."""
        found = replies.candidates(self._stock.templates, one.found.topic, one.found.text, self._rng)
        for style, text in found:
            if not self._refusal(text, account):
                return text, f"{replies.SOURCE}:{one.found.topic}/{style}"
        return None

    def _refusal(self, text: str, account: Account) -> str:
        """Why a text can't be a reply; empty when it can."""
        if NO_PROSE.search(text):
            return "has a link, a mention or a hashtag"
        most = account.site.profile.reply.max_chars if account.site.profile.reply is not None else None
        refusal = self._stock.refusal(text, recent_texts=self._recent, site_max_chars=most)
        return "" if refusal is None else f"{refusal.gate}: {refusal.reason}"
