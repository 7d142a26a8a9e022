"""Job `alert_delivery`: tells each destination what it does not know yet, when there is something to tell.

A message is recorded as told after it was taken. So it may come twice when the daemon dies in between, with
the same id, and never not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from orchestrator import crash
from orchestrator.actors.job import Job, Run
from orchestrator.alerts.desk import Desk
from orchestrator.alerts.messages import compose
from orchestrator.alerts.parties import breaker_of
from orchestrator.alerts.sender import Sender
from orchestrator.breakers import Breakers
from orchestrator.crash import Step
from orchestrator.errors import AlertNotDeliveredError, BreakerOpenError
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome, done, nothing_to_do
from orchestrator.retry import RetryRule

NAME = "alert_delivery"


@dataclass(frozen=True, slots=True)
class AlertTools:
    """What the job works with."""

    desk: Desk
    senders: Mapping[str, Sender]
    """Changed by `app` when the settings are read again."""
    breakers: Breakers
    metrics: Metrics


@dataclass(slots=True)
class _Tally:
    told: int = 0
    trouble: list[str] = field(default_factory=list)


def job(tools: AlertTools) -> Job:
    """Wakes also when a destination's breaker lets messages through again."""

    async def work(run: Run) -> Outcome:
        return await deliver(run, tools)

    return Job(
        NAME,
        work,
        priority=2,
        every_s=600,
        needs_database=False,  # that it is down is what has to be told
        is_upkeep=True,
        retry=RetryRule(0, 1.0),
        max_run_s=600,
    )


async def deliver(run: Run, tools: AlertTools) -> Outcome:
    """Tell every destination what is due, side by side."""
    tally = _Tally()
    async with trio.open_nursery() as nursery:
        for sender in tools.senders.values():
            nursery.start_soon(_tell, run, tools, sender, tally)
    if not tally.told and not tally.trouble:
        return nothing_to_do("everybody knows")
    detail = "; ".join([f"{tally.told} told", *sorted(tally.trouble)])
    return done(detail, told=tally.told, failed=len(tally.trouble))


async def _tell(run: Run, tools: AlertTools, sender: Sender, tally: _Tally) -> None:
    """One message after the other, until nothing is due or one is not taken."""
    while items := tools.desk.due(sender.name):
        try:
            with tools.breakers.permit(breaker_of(sender.name), run.job), crash.around(Step.TELL):
                await sender.send(compose(items))
        except BreakerOpenError as error:
            tally.trouble.append(str(error))
            return
        except AlertNotDeliveredError as error:
            run.log.warning("alerts_not_delivered", destination=sender.name, error=str(error))
            tools.metrics.alert_messages.labels(destination=sender.name, outcome="failed").inc()
            tally.trouble.append(str(error))
            await tools.desk.missed(items)
            return
        tools.metrics.alert_messages.labels(destination=sender.name, outcome="delivered").inc()
        tally.told += len(items)
        await tools.desk.told(items)
