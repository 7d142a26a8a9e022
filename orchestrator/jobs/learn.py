"""Job `learn`: moves the bandit's arms by what settled posts have reached, and trains the predictor."""

from datetime import timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.db import learned
from orchestrator.db.learned import Candidate, Lesson
from orchestrator.jobs.tools import Tools
from orchestrator.jobs.training import train_when_due
from orchestrator.learning import bandit, cached
from orchestrator.learning.bandit import Arm
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "learn"
BATCH = 100
"""Posts learned from in one transaction."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await learn(run, tools)

    return Job(NAME, work, priority=5, every_s=3600, after=("metrics_scraper",))


async def learn(run: Run, tools: Tools) -> Outcome:
    """Learn from meaningful outcomes (A10.1), site by site."""
    count, trained = 0, []
    for site in sorted({account.settings.site for account in tools.accounts.values()}):
        count += await _learn_site(run, tools, site)
        version = await train_when_due(run, tools, site)
        trained += [f"model {version} trained"] if version is not None else []
    if not count and not trained:
        return nothing_to_do("no post has settled since the last look")
    return done(", ".join([f"{count} outcomes", *trained]), outcomes=count)


async def _learn_site(run: Run, tools: Tools, site: str) -> int:
    now, settings = tools.clock.now(), tools.settings.learning
    names = [account.name for account in tools.accounts.values() if account.settings.site == site]
    settle = timedelta(hours=settings.settle_h)
    found = await tools.database.run(learned.candidates, names, settle, settings.min_views, BATCH)
    meaningful = [
        c for c in found if bandit.is_meaningful(c.read_at - c.published_at, c.metrics.views, settings)
    ]
    if not meaningful:
        return 0
    arms = [Arm(*row) for row in await tools.database.run(learned.arms, site)]
    lessons, arms = await _lessons(tools, meaningful, arms)
    rows = [(arm.dimension, arm.value, arm.alpha, arm.beta) for arm in arms]
    await tools.database.run(learned.store, site, lessons, rows, tools.fence.number, now)
    await cached.forget_learned(tools.cache, site)
    run.log.info("learned", site=site, outcomes=len(lessons))
    return len(lessons)


async def _lessons(
    tools: Tools, candidates: list[Candidate], arms: list[Arm]
) -> tuple[list[Lesson], list[Arm]]:
    names = sorted({candidate.account for candidate in candidates})
    limit = tools.settings.learning.history
    histories = await tools.database.run(learned.histories, names, limit)
    lessons = []
    for candidate in candidates:
        history = histories[candidate.account]
        reward = bandit.reward(candidate.metrics, history)
        arms = bandit.learn(arms, candidate.arms, reward)
        history.insert(0, candidate.metrics)
        lessons.append(Lesson(candidate.post_id, reward, candidate.metrics))
    return lessons, arms
