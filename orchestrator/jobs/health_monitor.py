"""Job `health_monitor`: one look at everything, once a minute; the modes follow from it."""

from collections.abc import Awaitable, Callable

from orchestrator.actors.job import Job, Run
from orchestrator.model import CheckResult, CheckState, Outcome, done
from orchestrator.retry import RetryRule

NAME = "health_monitor"


def job(look: Callable[[], Awaitable[list[CheckResult]]]) -> Job:
    """`look` looks at every part of the house and brings modes and metrics up to date."""

    async def work(_run: Run) -> Outcome:
        results = await look()
        down = [result.name for result in results if result.state is CheckState.DOWN]
        detail = f"down: {', '.join(down)}" if down else "all is well"
        return done(detail, up=len(results) - len(down), down=len(down))

    return Job(
        NAME,
        work,
        priority=2,
        every_s=60,
        needs_database=False,
        is_upkeep=True,
        retry=RetryRule(0, 1.0),
        max_run_s=120,
    )
