from dataclasses import replace

import trio
import trio.testing

from orchestrator import jobs
from orchestrator.actors.supervisor import RestartRule
from orchestrator.allocator import Allocator
from orchestrator.breaker import TRANSITIONS
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import DatabaseUnavailableError, PostRefusedError
from orchestrator.health import figures
from orchestrator.health.checks import Check
from orchestrator.health.modes import DATABASE
from orchestrator.learning import cached
from orchestrator.metrics import Metrics
from orchestrator.model import AccountCondition, Ending, Outcome, PostState, done
from orchestrator.settings import AllocatorSettings
from tests import rows
from tests.fakes import NOON, DownDatabase, Part, Work, a_job, a_stage, make_house


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"orchestrator_{name}", labels)


async def test_a_lease_is_counted_with_its_wait_its_hold_and_its_end(autojump_clock: object) -> None:
    metrics = Metrics()

    allocator = Allocator(
        AllocatorSettings(capacity=1, critical_guarantee=0, high_guarantee=0, background_guarantee=0),
        on_grant=lambda lease: figures.lease_granted(metrics, lease),
        on_end=lambda lease, how: figures.lease_ended(metrics, lease, how),
    )
    async with trio.open_nursery() as nursery:
        for job in ("posting", "reply_posting"):
            nursery.start_soon(hold, allocator, job)
    assert value(metrics, "pool_wait_seconds_sum", lane="critical") == 5
    assert value(metrics, "pool_wait_seconds_count", lane="critical") == 2
    assert value(metrics, "pool_hold_seconds_sum", job_name="posting") == 5
    assert value(metrics, "pool_hold_seconds_sum", job_name="reply_posting") == 5
    assert value(metrics, "leases_total", lane="critical", outcome="released") == 2


async def hold(allocator: Allocator, job: str) -> None:
    async with allocator.lease(job, priority=0):
        await trio.sleep(5)


async def test_a_run_is_counted_by_its_ending_and_its_duration(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        metrics = stage.metrics
        figures.run_ended(metrics, a_job("plan"), Outcome(Ending.GIVEN_UP), 2.5)
        figures.run_ended(metrics, a_job("plan"), done(), 4)
    assert value(metrics, "job_runs_total", job_name="plan", outcome="given_up") == 1
    assert value(metrics, "job_runs_total", job_name="plan", outcome="done") == 1
    assert value(metrics, "job_run_seconds_sum", job_name="plan") == 6.5


async def test_every_ending_of_a_run_has_a_count_of_its_own(autojump_clock: object) -> None:
    metrics = Metrics()
    metrics.declare_job("plan", uses_browser=False)
    for ending in Ending:
        figures.run_ended(metrics, a_job("plan"), Outcome(ending), 1)
    assert [value(metrics, "job_runs_total", job_name="plan", outcome=ending) for ending in Ending] == [1] * 7


async def test_the_last_success_is_shown_also_when_it_was_an_earlier_daemons(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house, metrics = make_house(stage), stage.metrics
        figures.observe(metrics, house)
        assert value(metrics, "job_last_success_timestamp_seconds", job_name="plan") is None
        stage.actor.history.last_success_at = NOON
        figures.observe(metrics, house)
    assert value(metrics, "job_last_success_timestamp_seconds", job_name="plan") == NOON.timestamp()


async def test_an_overdue_and_a_failed_job_are_shown_as_such(autojump_clock: object) -> None:
    jobs = [a_job("plan", Work([PostRefusedError("no")] * 9)), a_job("learn", Work([ZeroDivisionError()]))]
    async with a_stage(jobs, rule=RestartRule(budget=0)) as stage:
        house, metrics = make_house(stage), stage.metrics
        figures.observe(metrics, house)
        assert value(metrics, "job_overdue", job_name="plan") == 0
        stage.supervisor.run_now("learn", "alice")
        await trio.sleep(1.6 * 3600)
        figures.observe(metrics, house)
    assert value(metrics, "job_overdue", job_name="plan") == 1
    assert [value(metrics, "job_failed", job_name=job) for job in ("plan", "learn")] == [0, 1]


async def test_slots_queue_and_pauses_are_shown_as_they_are_at_the_moment(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage, trio.open_nursery() as nursery:
        house, metrics = make_house(stage), stage.metrics
        for _ in range(3):
            nursery.start_soon(hold, house.allocator, "news_low")
        async with house.allocator.lease("posting", priority=0):
            await trio.testing.wait_all_tasks_blocked()
            figures.observe(metrics, house)
            shown = [value(metrics, "pool_slots", state=state) for state in ("free", "leased", "broken")]
            leases = [value(metrics, "pool_leases", lane=lane) for lane in ("critical", "high")]
            queue = [value(metrics, "queue_depth", lane=lane) for lane in ("critical", "background")]
            assert value(metrics, "job_paused", job_name="plan") == 0
            stage.supervisor.pause("plan")
            figures.observe(metrics, house)
            assert value(metrics, "job_paused", job_name="plan") == 1
        nursery.cancel_scope.cancel()
    assert shown == [0, 3, 0]
    assert leases == [3, 0]
    assert queue == [1, 0]


async def test_posts_are_counted_by_their_state(database: Database) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    await rows.in_state(database, PostState.AMBIGUOUS, stamp, "one")
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage, database)
        await figures.measure(stage.metrics, house)
        figures.observe(stage.metrics, house)
    assert value(stage.metrics, "posts", state="ambiguous") == 1
    assert value(stage.metrics, "posts", state="queued") == 0
    assert value(stage.metrics, "db_pool_connections", state="used") == 0


async def test_the_post_that_is_overdue_the_longest_is_timed(database: Database) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    await rows.queued(database, stamp)
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage, database)
        house.accounts = (rows.ACCOUNT,)
        stage.wall.jump(90)
        await figures.measure(stage.metrics, house)
        assert (value(stage.metrics, "post_overdue_seconds") or 0) >= 90
        await rows.execute(database, "DELETE FROM posts")
        await figures.measure(stage.metrics, house)
        assert value(stage.metrics, "post_overdue_seconds") == 0


async def test_a_database_that_is_away_costs_no_more_than_the_count_of_posts(autojump_clock: object) -> None:
    database = DownDatabase()
    async with a_stage([a_job("plan")]) as stage:
        await figures.measure(stage.metrics, make_house(stage, database))
    assert database.asked == 1


async def test_a_database_that_is_known_to_be_down_is_not_asked(autojump_clock: object) -> None:
    database = DownDatabase()
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage, database)
        house.checks.add(Check(DATABASE, Part(DatabaseUnavailableError("no answer")).probe))
        await house.checks.look(DATABASE)
        await figures.measure(stage.metrics, house)
    assert database.asked == 0


async def test_accounts_are_counted_by_their_condition() -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.conditions = lambda: {AccountCondition.WELL: 3, AccountCondition.SPARED: 1}
        figures.observe(stage.metrics, house)
        assert [value(stage.metrics, "accounts", condition=one) for one in AccountCondition] == [3, 1, 0, 0]


PARTS = ("settings", "disk", "files", "shared_memory", "clock", "database", "browser", "jobs")
PARTIES = ("site:murmur", "cache", "language_model", "feed:news", "alerts:ops")


async def test_all_series_of_twenty_accounts_and_all_jobs_are_fewer_than_1000(autojump_clock: object) -> None:
    """Of a daemon with everything that can be switched on, on one site; accounts are in no label."""
    async with a_stage([replace(job, work=Work()) for job in jobs.declared({})]) as stage:
        house, metrics = make_house(stage), stage.metrics
        house.accounts = tuple(f"account-{number}" for number in range(20))
        house.conditions = lambda: dict.fromkeys(AccountCondition, 4)
        for job in jobs.declared({}):
            metrics.declare_job(job.name, uses_browser=job.uses_browser)
            for ending in Ending:
                figures.run_ended(metrics, job, Outcome(ending), 1)
        for name in (*PARTS, *PARTIES, "language_model_account"):
            metrics.declare_check(name)
        for name in PARTIES:
            metrics.declare_breaker(name, TRANSITIONS.items())
        for namespace in (*(one.name for one in cached.NAMESPACES), "lists"):
            metrics.declare_cache(namespace)
        metrics.declare_destination("ops")
        for role in ("serving", "candidate"):
            metrics.model_version.labels(role=role, site="murmur")
            metrics.model_error_ratio.labels(role=role, site="murmur")
        figures.observe(metrics, house)
    count = sum(not line.startswith("#") for line in metrics.render().decode().splitlines())
    print(f"{count} series")  # noqa: T201 - pytest -rP shows it
    assert 500 < count < 1000
    assert b"account-" not in metrics.render()
