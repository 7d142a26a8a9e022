"""Job `analytics`: sums up what settled posts have reached, by what they were made of."""

from datetime import timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.db import rollups
from orchestrator.db.rollups import Attribution, Settled
from orchestrator.jobs.tools import Tools
from orchestrator.learning import bandit, cached, features
from orchestrator.model import Outcome, PostMetrics, done, nothing_to_do

NAME = "analytics"
BATCH = 500
"""Posts in one transaction."""
BATCHES = 20
"""In one run; what is left has its turn half an hour later."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await analyse(run, tools)

    return Job(NAME, work, priority=5, every_s=1800, after=("metrics_scraper",))


async def analyse(run: Run, tools: Tools) -> Outcome:
    """Sum up each settled post once."""
    count = 0
    for _ in range(BATCHES):
        summed = await _sum_up(tools)
        count += summed
        run.beat(f"{count} posts summed up")
        if summed < BATCH:
            break
    if not count:
        return nothing_to_do("no post has settled since the last look")
    return done(f"{count} posts summed up", posts=count)


async def _sum_up(tools: Tools) -> int:
    settings = tools.settings.learning
    settle = timedelta(hours=settings.settle_h)
    found = await tools.database.run(rollups.settled, list(tools.accounts), settle, settings.min_views, BATCH)
    meaningful = [
        post
        for post in found
        if bandit.is_meaningful(post.read_at - post.published_at, post.metrics.views, settings)
    ]
    if meaningful:
        names = sorted({post.account for post in meaningful})
        histories = await tools.database.run(rollups.histories, names, settings.history)
        attributed = [_attribute(tools, post, histories[post.account]) for post in meaningful]
        await tools.database.run(rollups.store, attributed, tools.fence.number, tools.clock.now())
        await cached.forget_sums(tools.cache)
    return len(meaningful)


def _attribute(tools: Tools, post: Settled, history: list[PostMetrics]) -> Attribution:
    """The post's score is its rank among those that settled before it, which it joins."""
    published = post.published_at.astimezone(tools.accounts[post.account].zone)
    score = bandit.reward(post.metrics, history[: tools.settings.learning.history])
    history.insert(0, post.metrics)
    return Attribution(
        post,
        day=published.date(),
        hour=published.hour,
        opening=features.opening(post.text),
        length=features.length(post.text),
        score=score,
    )
