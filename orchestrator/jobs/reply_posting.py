"""Job `reply_posting`: publishes at most one approved reply a run, in the steps of `posting`."""

from orchestrator.actors.job import Job, Run
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, PostKind
from orchestrator.retry import RetryRule

NAME = "reply_posting"


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await post_one(run, tools, PostKind.REPLIES)

    return Job(
        NAME,
        work,
        priority=0,
        every_s=900,
        after=("opportunity_review",),
        uses_browser=True,
        retry=RetryRule(3, 1.0),
        max_run_s=120,
    )
