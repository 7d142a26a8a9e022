"""Job `budget_review`: what is spent on the language model, and what its failures have in common (A3.3)."""

from orchestrator.actors.job import Job, Run
from orchestrator.db import spending
from orchestrator.db.spending import Report
from orchestrator.jobs.tools import Tools
from orchestrator.llm.report import PERIOD, patterns
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "budget_review"
TIER, PATTERNS = "tier", "patterns"
"""Under these names it keeps what it found last."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await review(run, tools)

    return Job(NAME, work, priority=5, every_s=3600)


async def review(run: Run, tools: Tools) -> Outcome:
    """Tell a change of the tier and a new pattern of failures, once each."""
    if tools.model is None:
        return nothing_to_do("no language model is set")
    standing = await tools.model.standing()
    await _note_tier(run, tools, standing.tier.name, standing.left_share)
    report = await tools.database.run(spending.report, tools.clock.now() - PERIOD)
    await _note_patterns(run, tools, report)
    spent, left = report.by_operation, standing.left_share
    calls, failed = sum(one.calls for one in spent), sum(one.failed for one in spent)
    cost = float(sum(one.cost for one in spent))
    detail = f"{left:.0%} left today, tier {standing.tier.name}; {cost:.4f} spent in {PERIOD.days} days"
    return done(detail, calls=calls, failed=failed, left=round(left, 4))


async def _note_tier(run: Run, tools: Tools, tier: str, left: float) -> None:
    was = await tools.recall(run, TIER)
    if was != tier:
        run.log.warning("budget_tier_changed", was=was, tier=tier, left=round(left, 3))
        await tools.remember(run, TIER, tier)


async def _note_patterns(run: Run, tools: Tools, report: Report) -> None:
    found = patterns(report)
    known = await tools.recall(run, PATTERNS) or []
    for sentence in found:
        if sentence.subject not in known:
            run.log.warning("model_failure_pattern", subject=sentence.subject, what=sentence.text)
    subjects = [sentence.subject for sentence in found]
    if subjects != known:
        await tools.remember(run, PATTERNS, subjects)
