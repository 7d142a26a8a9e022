"""What `learn` does for the predictor: trains a candidate when enough posts have settled since."""

import trio

from orchestrator.actors.job import Run
from orchestrator.db import models
from orchestrator.db.models import Settled, Training
from orchestrator.jobs.tools import Tools
from orchestrator.learning import cached, predictor
from orchestrator.learning.predictor import Case

LATEST = 1000
"""Posts that a model is learned from at most: taste changes."""
MISSING = "missing/"
"""Before a site's name: the note of what is missing for its first or next model."""


async def train_when_due(run: Run, tools: Tools, site: str) -> int | None:
    """The version of a new candidate; None when none is due. Raises DatabaseError."""
    settings = tools.settings.predictor
    versions = await tools.database.run(models.recent, [site], 1)
    if versions:
        [last] = versions
        if models.State.CANDIDATE in await tools.database.run(models.in_use, site):
            return None  # it is judged first
        fresh = await tools.database.run(models.count_since, site, last.trained_at, settings.retrain_posts)
        if fresh < settings.retrain_posts:
            await _wait(run, tools, site, f"{fresh} of {settings.retrain_posts} further settled posts")
            return None
    posts = await tools.database.run(models.settled, site, LATEST)
    cases = [Case(post.text, post.arms, post.reward) for post in posts]
    lacking = predictor.missing(cases, settings.min_posts)
    if lacking is not None:
        await _wait(run, tools, site, lacking)
        return None
    trained = await trio.to_thread.run_sync(predictor.train, cases)
    return await _keep(run, tools, site, posts, trained)


async def _wait(run: Run, tools: Tools, site: str, lacking: str) -> None:
    if await tools.recall(run, MISSING + site) != lacking:
        await tools.remember(run, MISSING + site, lacking)
        run.log.info("model_waits", site=site, has=lacking)


async def _keep(run: Run, tools: Tools, site: str, posts: list[Settled], trained: predictor.Trained) -> int:
    training = Training(
        kind=predictor.KIND,
        from_at=posts[0].published_at,
        to_at=posts[-1].published_at,
        posts=len(posts),
        error=trained.error,
        mean_error=trained.mean_error,
        parameters=predictor.as_json(trained.linear),
        why=f"learned from {len(posts)} posts",
    )
    version = await tools.database.run(models.add, site, training, tools.fence.number, tools.clock.now())
    await cached.forget_models(tools.cache, site)
    await tools.remember(run, MISSING + site, None)
    run.log.info(
        "model_trained", site=site, version=version, posts=len(posts),
        error=round(trained.error, 4), mean_error=round(trained.mean_error, 4),
    )  # fmt: skip
    return version
