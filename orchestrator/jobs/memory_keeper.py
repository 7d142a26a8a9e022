"""Job `memory_keeper`: weighs every part of the house, sheds work above the limits, renews contexts."""

from collections.abc import Awaitable, Callable

from orchestrator.actors.job import Job, Run
from orchestrator.model import Outcome
from orchestrator.retry import RetryRule

NAME = "memory_keeper"


def job(keep: Callable[[], Awaitable[Outcome]]) -> Job:
    """`keep` weighs, decides and acts."""

    async def work(_run: Run) -> Outcome:
        return await keep()

    return Job(
        NAME,
        work,
        priority=2,
        every_s=30,
        needs_database=False,
        is_upkeep=True,
        retry=RetryRule(0, 1.0),
        max_run_s=120,
    )
