"""Job `model_review`: promotes the better model, and rolls a worse one back (A10.1)."""

from orchestrator.actors.job import Job, Run
from orchestrator.db import models
from orchestrator.db.models import State, Version
from orchestrator.jobs.tools import Tools
from orchestrator.learning import cached
from orchestrator.learning.predictor import from_json
from orchestrator.learning.review import Ruling, Said, Verdict, is_fit, of_candidate, of_serving
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "model_review"
LATEST = 200
"""Settled posts that a model is judged by at most."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await review(run, tools)

    return Job(NAME, work, priority=6, every_s=21_600, after=("learn",))


async def review(run: Run, tools: Tools) -> Outcome:
    """Judge the models of each site by the posts that have settled since they spoke of them."""
    told = []
    for site in sorted({account.settings.site for account in tools.accounts.values()}):
        told += await _review_site(run, tools, site)
    return done("; ".join(told)) if told else nothing_to_do("no model is in use")


async def _review_site(run: Run, tools: Tools, site: str) -> list[str]:
    in_use = await tools.database.run(models.in_use, site)
    told, serving = [], in_use.get(State.SERVING)
    if serving is not None:
        said = await _said(tools, serving)
        before = await _before(tools, serving)
        linear = from_json(before.parameters) if before is not None else None
        least = tools.settings.predictor.review_posts
        verdict = of_serving(said, from_json(serving.parameters), linear, least)
        _show(tools, site, State.SERVING, serving, verdict)
        told.append(f"model {serving.version} serves: {verdict.why}")
        if verdict.ruling is Ruling.END:
            to = before if before is not None and linear is not None and is_fit(said, linear) else None
            told[-1] = await _roll_back(run, tools, serving, to, verdict.why)
            serving = to
    _show_version(tools, site, State.SERVING, serving)
    candidate = in_use.get(State.CANDIDATE)
    if candidate is not None:
        told.append(await _judge(run, tools, candidate, serving))
    else:
        _show_version(tools, site, State.CANDIDATE, None)
    return told


async def _judge(run: Run, tools: Tools, candidate: Version, serving: Version | None) -> str:
    """What became of a candidate, in words."""
    said, least = await _said(tools, candidate), tools.settings.predictor.review_posts
    linear = from_json(serving.parameters) if serving is not None else None
    verdict = of_candidate(said, from_json(candidate.parameters), linear, least)
    fence, now, number = tools.fence.number, tools.clock.now(), candidate.version
    _show(tools, candidate.scope, State.CANDIDATE, candidate, verdict)
    if verdict.ruling is Ruling.STAY:
        return f"model {number} is a candidate: {verdict.why}"
    _show_version(tools, candidate.scope, State.CANDIDATE, None)
    if verdict.ruling is Ruling.END:
        await tools.database.run(models.retire, candidate, verdict.why, fence, now)
        await cached.forget_models(tools.cache, candidate.scope)
        run.log.info("model_retired", site=candidate.scope, version=number, why=verdict.why)
        return f"model {number} is retired: {verdict.why}"
    await tools.database.run(models.promote, candidate, serving, verdict.why, fence, now)
    await cached.forget_models(tools.cache, candidate.scope)
    _show(tools, candidate.scope, State.SERVING, candidate, verdict)
    run.log.info("model_promoted", site=candidate.scope, version=number, why=verdict.why)
    return f"model {number} serves now: {verdict.why}"


async def _roll_back(run: Run, tools: Tools, serving: Version, to: Version | None, why: str) -> str:
    await tools.database.run(models.roll_back, serving, to, why, tools.fence.number, tools.clock.now())
    await cached.forget_models(tools.cache, serving.scope)
    again = f"model {to.version} serves again" if to is not None else "no model serves"
    run.log.warning(
        "model_rolled_back", site=serving.scope, version=serving.version, why=why,
        to=to.version if to is not None else None,
    )  # fmt: skip
    return f"model {serving.version} was rolled back, {again}: {why}"


async def _said(tools: Tools, version: Version) -> list[Said]:
    return [Said(*row) for row in await tools.database.run(models.said, version.version, LATEST)]


async def _before(tools: Tools, serving: Version) -> Version | None:
    """What served before, unless that was rolled back itself."""
    if serving.predecessor is None:
        return None
    before: Version | None = await tools.database.run(models.find, serving.predecessor)
    return before if before is not None and before.state is State.RETIRED else None


def _show(tools: Tools, site: str, role: State, version: Version, verdict: Verdict) -> None:
    _show_version(tools, site, role, version)
    if verdict.ratio is not None:
        tools.metrics.model_error_ratio.labels(role=role, site=site).set(verdict.ratio)


def _show_version(tools: Tools, site: str, role: State, version: Version | None) -> None:
    tools.metrics.model_version.labels(role=role, site=site).set(version.version if version else 0)
    if version is None:
        tools.metrics.model_error_ratio.labels(role=role, site=site).set(0)
