"""Job `reply_learning`: what settled replies have earned moves the scores of opportunities and the drafts."""

from datetime import timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.db import settled_replies
from orchestrator.jobs.prospects import by_site
from orchestrator.jobs.tools import Tools
from orchestrator.learning import reply_lessons
from orchestrator.learning.reply_lessons import LEAST_REPLIES, Lessons, key_of
from orchestrator.model import Outcome, done, nothing_to_do

NAME = reply_lessons.KEEPER


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await learn(run, tools)

    return Job(NAME, work, priority=6, every_s=7200, after=("metrics_scraper",))


async def learn(run: Run, tools: Tools) -> Outcome:
    """Learn anew from the latest settled replies of each site, and keep what has changed."""
    settle, min_views = timedelta(hours=tools.settings.learning.settle_h), tools.settings.learning.min_views
    learned, waits, replies = [], [], 0
    for site, accounts in by_site(tools).items():
        names = [account.name for account in accounts]
        found = await tools.database.run(settled_replies.settled, site, names, settle, min_views)
        lessons = reply_lessons.learn(found)
        tools.metrics.replies_settled.labels(site=site).set(lessons.replies)
        tools.metrics.replies_reacted.labels(site=site).set(lessons.reacted)
        if lessons == Lessons.of(await tools.recall(run, key_of(site))):
            continue
        await tools.remember(run, key_of(site), lessons.note())
        if lessons.replies < LEAST_REPLIES:
            waits.append(f"{lessons.replies} of {LEAST_REPLIES} replies have settled on {site}")
            continue
        learned.append(f"{site}: {lessons.reacted} of {lessons.replies} replies got a reaction")
        replies += lessons.replies
        run.log.info("replies_learned", site=site, replies=lessons.replies, reacted=lessons.reacted)
    if not learned:
        return nothing_to_do("; ".join(waits) or "no reply has settled since the last look")
    return done("; ".join(learned), replies=replies)
