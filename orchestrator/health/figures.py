"""Keeps the metrics in step with the house."""

import structlog
import trio

from orchestrator.actors.actor import ActorState
from orchestrator.actors.job import Job
from orchestrator.allocator import Lease, LeaseEnd
from orchestrator.db import opportunities, post_figures
from orchestrator.errors import DatabaseError
from orchestrator.health.modes import DATABASE
from orchestrator.health.status import House
from orchestrator.metrics import LANES, SLOT_STATES, Metrics
from orchestrator.model import AccountCondition, Outcome

log = structlog.get_logger("figures")


def lease_granted(metrics: Metrics, lease: Lease) -> None:
    metrics.pool_wait.labels(lane=lease.lane.label).observe(lease.waited_s)


def lease_called_back(metrics: Metrics, lease: Lease) -> None:
    metrics.call_backs.labels(lane=lease.lane.label).inc()
    left_s = round(lease.deadline - trio.current_time(), 1)
    log.info(
        "lease_called_back",
        job=lease.holder,
        lease=lease.id,
        slot=lease.slot,
        lane=lease.lane.label,
        left_s=left_s,
    )


def lease_ended(metrics: Metrics, lease: Lease, how: LeaseEnd) -> None:
    metrics.leases.labels(lane=lease.lane.label, outcome=how).inc()
    metrics.pool_hold.labels(job_name=lease.holder).observe(trio.current_time() - lease.granted_at)


def run_ended(metrics: Metrics, job: Job, outcome: Outcome, duration_s: float) -> None:
    """`duration_s` in real seconds."""
    metrics.job_runs.labels(job_name=job.name, outcome=outcome.ending).inc()
    metrics.job_run.labels(job_name=job.name).observe(duration_s)


def observe(metrics: Metrics, house: House) -> None:
    """Set what follows from the present state; cheap, so it is done whenever somebody asks."""
    house.modes.publish()
    snapshot = house.allocator.snapshot()
    metrics.cache_entries.set(house.cache.figures.entries)
    metrics.cache_bytes.set(house.cache.figures.size_bytes)
    metrics.cache_connections.set(house.cache.figures.connections)
    for state in SLOT_STATES:
        metrics.pool_slots.labels(state=state).set(sum(slot.state == state for slot in snapshot.slots))
    leased = [slot.lease.lane for slot in snapshot.slots if slot.lease is not None]
    waiting = [waiter.lane for waiter in snapshot.queue]
    for lane in LANES:
        metrics.pool_leases.labels(lane=lane).set(leased.count(lane))
        metrics.queue_depth.labels(lane=lane).set(waiting.count(lane))
    conditions = house.conditions()
    for condition in AccountCondition:
        metrics.accounts.labels(condition=condition).set(conditions.get(condition, 0))
    if house.supervisor is not None:
        for name, actor in house.supervisor.actors.items():
            metrics.job_paused.labels(job_name=name).set(actor.is_paused)
            metrics.job_overdue.labels(job_name=name).set(actor.overdue_s > 0)
            metrics.job_failed.labels(job_name=name).set(actor.state is ActorState.FAILED)
            if (success_at := actor.history.last_success_at) is not None:
                metrics.job_last_success.labels(job_name=name).set(success_at.timestamp())
    if house.database is not None:
        found = house.database.statistics()
        metrics.db_connections.labels(state="used").set(found.in_use)
        metrics.db_connections.labels(state="idle").set(found.idle)
        metrics.db_leaks.set(sum(holder.is_leak for holder in found.holders))


async def measure(metrics: Metrics, house: House) -> None:
    """Figures that take a while to get: posts by state, how late the latest is."""
    if house.database is not None and not house.checks.is_down(DATABASE):
        try:
            counts = await house.database.run(post_figures.count_by_state)
            working = [name for name in house.accounts if name not in house.off]
            due_at = await house.database.run(post_figures.oldest_due, working, house.clock.now())
            pool = await house.database.run(opportunities.count_by_state)
        except DatabaseError as error:
            log.warning("posts_not_counted", error=str(error))
            return
        for state, count in counts.items():
            metrics.posts.labels(state=state).set(count)
        for standing, number in pool.items():
            metrics.opportunities.labels(state=standing).set(number)
        overdue_s = (house.clock.now() - due_at).total_seconds() if due_at is not None else 0.0
        metrics.post_overdue.set(overdue_s)
