"""Job `plan`: what to publish next, and when."""

from datetime import datetime, timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.content.generator import Written
from orchestrator.db import learned, posts
from orchestrator.errors import ContentError
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning.bandit import Arm, choose
from orchestrator.model import Arms, Draft, Outcome, done, nothing_to_do
from orchestrator.retry import RetryRule

NAME = "plan"
RECENT_TEXTS = 500
"""So many of the latest texts of the site's accounts are compared with a new one."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await plan(run, tools)

    return Job(NAME, work, priority=1, every_s=7200, retry=RetryRule(3, 2.0))


async def plan(run: Run, tools: Tools) -> Outcome:
    """Fill each account's queue by up to `content.posts_a_run` drafts that pass the gates.

    Raises ContentError when an account is left with nothing to post.
    """
    queued = refused = 0
    without: list[str] = []
    for account in tools.accounts.values():
        depth = await tools.database.run(posts.depth, account.name)
        room = tools.settings.content.queue_target - depth.waiting
        before = queued
        for number in range(min(room, tools.settings.content.posts_a_run)):
            is_first = depth.published + depth.waiting + number == 0
            written = await _write_one(run, tools, account, is_first)
            queued += written
            refused += not written
        if depth.waiting + queued - before == 0:
            without.append(account.name)
    if without:
        raise ContentError(
            f"there is no new text for {', '.join(without)} that passes the gates",
            remedy="Write more, or loosen the gates (docs/content.md); draft_refused in the log says why",
        )
    if refused and not queued:
        return done("the gates refused every draft", queued=0, refused=refused)
    if not queued:
        return nothing_to_do("every queue is full")
    return done(f"{queued} queued", queued=queued, refused=refused)


async def _write_one(run: Run, tools: Tools, account: Account, is_first: bool) -> bool:
    now = tools.clock.now()
    rows = await tools.database.run(learned.arms, account.settings.site)
    inventory = tools.writer.inventory()
    if not inventory.topics:
        run.log.info("draft_refused", account=account.name, gate="source", reason="there are no texts")
        return False
    hours = _hours_ahead(now, account, tools.settings.content.horizon_h)
    wish = choose(
        [Arm(*row) for row in rows],
        topics=inventory.topics,
        formats=inventory.formats,
        hours=hours[:1] if is_first else hours,
        rng=tools.rng,
    )
    recent = await tools.database.run(posts.recent_texts, tools.beside(account), RECENT_TEXTS)
    written = tools.writer.write(
        wish, recent, tools.rng, site_max_chars=account.site.profile.compose.max_chars
    )
    if not isinstance(written, Written):
        for refusal in written:
            run.log.info("draft_refused", account=account.name, gate=refusal.gate, reason=refusal.reason)
        return False
    arms = Arms(written.topic, written.format, wish.hour)
    due_at = now if is_first else _moment_in(wish.hour, now, account, tools)
    draft = Draft(account.name, written.text, arms, written.source, due_at)
    post_id = await tools.database.run(posts.add, draft, tools.stamp())
    if post_id is not None:
        run.log.info(
            "post_queued", post=post_id, account=account.name, topic=arms.topic, format=arms.format,
            hour=arms.hour, due_at=due_at.isoformat(timespec="seconds"),
        )  # fmt: skip
    return post_id is not None


def _hours_ahead(now: datetime, account: Account, horizon_h: int) -> list[int]:
    """The hours of day, in the account's zone, that begin or go on within the horizon."""
    return [(now + timedelta(hours=n)).astimezone(account.zone).hour for n in range(horizon_h)]


def _moment_in(hour: int, now: datetime, account: Account, tools: Tools) -> datetime:
    """A random moment in the next `hour` o'clock of the account's zone that is not over yet."""
    step = timedelta(hours=1)
    start = now.astimezone(account.zone).replace(minute=0, second=0, microsecond=0)
    while start.astimezone(account.zone).hour != hour:
        start = (start.astimezone(now.tzinfo) + step).astimezone(account.zone)
    begin = max(start.astimezone(now.tzinfo), now)
    end = start.astimezone(now.tzinfo) + step
    return begin + (end - begin) * tools.rng.random()
