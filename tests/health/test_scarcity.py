"""A database or an allocator that can't keep up becomes a problem, and an alert."""

import time

import trio
import trio.testing

from orchestrator.allocator import Allocator
from orchestrator.db.pool import PoolStatistics
from orchestrator.db.strain import Excess
from orchestrator.health import problems
from orchestrator.health.problems import CROWDED_S, QUEUE_LIMIT, WAIT_LIMIT_S, Row
from orchestrator.settings import AllocatorSettings
from tests.fakes import DownDatabase
from tests.jobs.house import Moment

CLOCK = Moment().clock()


class StrainedDatabase(DownDatabase):
    def __init__(
        self, crowded_s: float = 0.0, wait: Excess | None = None, query: Excess | None = None
    ) -> None:
        super().__init__()
        self.found = PoolStatistics(10, 9, 9, 0, 0, (), 0, 0, 0, crowded_s, wait, query)

    def statistics(self) -> PoolStatistics:
        return self.found


def kinds(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row["name"], row["subject"]) for row in rows]


def test_a_pool_that_is_nearly_used_up_for_a_while_is_a_problem() -> None:
    assert problems.of_pool(StrainedDatabase(CROWDED_S), CLOCK) == []
    [row] = problems.of_pool(StrainedDatabase(CROWDED_S + 1), CLOCK)
    assert row["what"] == "more than 80% of the 10 database connections are in use"
    assert kinds([row]) == [("connections_scarce", "database")]
    assert row["since"]
    assert row["remedy"]


def test_a_long_wait_for_a_connection_and_a_slow_statement_are_problems_that_name_the_work() -> None:
    now = time.monotonic()
    database = StrainedDatabase(wait=Excess("claim_due", now, now), query=Excess("put_off", now, now))
    rows = problems.of_pool(database, CLOCK)
    assert kinds(rows) == [("connection_wait", "database"), ("query_slow", "database")]
    assert [row["what"].rpartition(" ")[2] for row in rows] == ["claim_due", "put_off"]


async def test_a_long_queue_and_a_long_wait_for_a_context_are_problems(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = AllocatorSettings(
        capacity=1, critical_guarantee=0, high_guarantee=0, background_guarantee=0, max_hold_s=3600
    )
    allocator = Allocator(settings)

    async def hold(name: str) -> None:
        async with allocator.lease(name, priority=0):
            await trio.sleep_forever()

    def found() -> list[tuple[str, str]]:
        return kinds(problems.of_queue(allocator.snapshot(), CLOCK))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, "posting")
        for number in range(QUEUE_LIMIT):
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(hold, f"job_{number}")
        await trio.testing.wait_all_tasks_blocked()
        assert found() == []
        nursery.start_soon(hold, "one_too_many")
        await trio.testing.wait_all_tasks_blocked()
        assert found() == [("queue_long", "allocator")]
        await trio.sleep(WAIT_LIMIT_S - 1)
        assert found() == [("queue_long", "allocator")]
        await trio.sleep(2)
        assert set(found()) == {
            ("queue_long", "allocator"),
            ("queue_wait", "one_too_many"),
            *(("queue_wait", f"job_{number}") for number in range(QUEUE_LIMIT)),
        }
        nursery.cancel_scope.cancel()
