"""From a problem to a message: told once, again while it lasts, once when it is over; never lost."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import structlog
import trio

from orchestrator.actors.job import Run
from orchestrator.alerts.desk import Claim, Desk
from orchestrator.alerts.parties import destination_parties
from orchestrator.alerts.sender import open_senders
from orchestrator.breakers import Breakers
from orchestrator.db.alerts import Severity
from orchestrator.db.fence import Fence
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseUnavailableError, FenceLostError
from orchestrator.jobs.alert_delivery import NAME, AlertTools, deliver
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome
from orchestrator.settings import Settings
from tests import rows
from tests.alerts.webhook import Webhook, webhook
from tests.fakes_db import WatchedDatabase
from tests.jobs.house import Moment, new_fence

HOUR_S = 3600.0


def claim(name: str = "job_failed", subject: str = "plan", *, is_grave: bool = False) -> Claim:
    severity = Severity.CRITICAL if is_grave else Severity.WARNING
    return Claim(name, subject, severity, f"job {subject} has failed", "Start it again", rows.NOON)


class Bench:
    """A desk as one daemon has it, its destinations, and what a kill leaves."""

    def __init__(self, database: Database, fence: Fence, **destinations: object) -> None:
        alerts = {"destinations": destinations, "repeat_s": 4 * HOUR_S, "timeout_s": 20}
        self.settings = Settings.load(overrides={"alerts": alerts}, environ={})
        self.database = WatchedDatabase(database)
        self.moment = Moment()
        self.metrics = Metrics()
        self.start(fence)

    def start(self, fence: Fence) -> None:
        """A daemon that has just been started."""
        self.breakers = Breakers(rng=Random(1), metrics=self.metrics, on_change=lambda *_: None)
        for party in destination_parties(self.settings):
            self.breakers.add(party)
        given = self.settings.alerts
        self.desk = Desk(given, self.moment.clock(), Random(1), self.metrics, self.database, fence)
        self.tools = AlertTools(self.desk, open_senders(given), self.breakers, self.metrics)

    async def restart(self) -> None:
        """As after a `kill -9`."""
        self.start(await new_fence(self.database))
        await self.desk.load()

    async def deliver(self) -> Outcome:
        return await deliver(Run(NAME, 2, "schedule", 1, structlog.get_logger("test")), self.tools)

    def delivery(self, destination: str = "ops") -> dict[str, object]:
        [row] = self.desk.rows()
        [found] = [one for one in row["deliveries"] if one["destination"] == destination]
        return dict(found)


@pytest.fixture
async def bench(database: Database, hook: Webhook) -> Bench:
    return Bench(database, await new_fence(database), ops={"url": hook.url})


def ids(hook: Webhook) -> list[str]:
    return [found for body in hook.bodies for found in re.findall(r"id (\S+)\)", body)]


@asynccontextmanager
async def away(bench: Bench) -> AsyncIterator[None]:
    """The database is down."""
    bench.database.is_down = lambda: DatabaseUnavailableError("connection refused")
    yield
    bench.database.is_down = None


# ── once, again, over ───────────────────────────────────────────────────────────────────────────


async def test_an_alert_is_told_once_again_while_it_lasts_and_once_when_it_is_over(
    bench: Bench, hook: Webhook
) -> None:
    await bench.desk.note([claim()])
    for _ in range(3):
        await bench.deliver()
        await bench.desk.note([claim()])
    [body] = hook.bodies
    assert "NEW [warning] job plan has failed\nsince 2026-05-04 12:00 UTC\n→ Start it again" in body
    bench.moment.go(hours=4, seconds=-1)
    await bench.deliver()
    assert len(hook.bodies) == 1
    bench.moment.go(seconds=1)
    await bench.deliver()
    await bench.deliver()
    assert [body.split()[0] for body in hook.bodies] == ["NEW", "STILL"]
    await bench.desk.note([])
    await bench.deliver()
    await bench.deliver()
    assert [body.split()[0] for body in hook.bodies] == ["NEW", "STILL", "OVER"]
    assert "from 2026-05-04 12:00 UTC to 2026-05-04 16:00 UTC" in hook.bodies[-1]
    assert hook.taken[-1]["type"] == "success"
    assert len(set(ids(hook))) == 3
    assert bench.desk.rows() == []


async def test_all_that_is_new_is_one_message_with_the_gravest_first(bench: Bench, hook: Webhook) -> None:
    await bench.desk.note([claim(), claim(subject="learn"), claim("check_down", "browser", is_grave=True)])
    outcome = await bench.deliver()
    assert (outcome.detail, outcome.figures) == ("3 told", {"told": 3, "failed": 0})
    [taken] = hook.taken
    assert taken["title"].endswith(": 3 new")
    assert taken["type"] == "failure"
    assert re.findall(r"NEW \[(\w+)\]", taken["message"]) == ["critical", "warning", "warning"]


async def test_more_than_one_message_holds_come_in_several(bench: Bench, hook: Webhook) -> None:
    await bench.desk.note([claim(subject=f"job{number}") for number in range(23)])
    await bench.deliver()
    assert [body.count("NEW") for body in hook.bodies] == [10, 10, 3]
    assert len(set(ids(hook))) == 23


async def test_what_changes_in_a_problem_that_lasts_is_shown_and_not_told_again(
    bench: Bench, hook: Webhook
) -> None:
    await bench.desk.note([claim()])
    await bench.deliver()
    await bench.desk.note([Claim("job_failed", "plan", Severity.WARNING, "other words", "", rows.NOON)])
    await bench.deliver()
    assert len(hook.bodies) == 1
    assert [row["what"] for row in bench.desk.rows()] == ["other words"]


async def test_a_problem_that_comes_back_is_a_new_alert(bench: Bench, hook: Webhook) -> None:
    for _ in range(2):
        await bench.desk.note([claim()])
        await bench.desk.note([])
        await bench.deliver()
    assert [body.split()[0] for body in hook.bodies] == ["OVER", "OVER"]  # it was over before it was told
    assert len(set(ids(hook))) == 2


async def test_what_nobody_can_know_now_is_not_over(bench: Bench) -> None:
    await bench.desk.note([claim("posts_put_off", "posts"), claim()])
    await bench.desk.note([], unknown={"posts_put_off"})
    lasting = [row["name"] for row in bench.desk.rows() if row["cleared_at"] is None]
    assert lasting == ["posts_put_off"]


async def test_a_destination_gets_what_is_grave_enough_for_it(database: Database, hook: Webhook) -> None:
    with webhook() as other:
        grave = {"url": other.url, "severity": "critical"}
        bench = Bench(database, await new_fence(database), ops={"url": hook.url}, pager=grave)
        await bench.desk.note([claim(), claim("check_down", "disk", is_grave=True)])
        await bench.deliver()
        assert hook.bodies[0].count("NEW") == 2
        assert other.bodies[0].count("NEW") == 1
        assert "critical" in other.bodies[0]


async def test_without_destinations_alerts_are_only_shown(database: Database) -> None:
    bench = Bench(database, await new_fence(database))
    await bench.desk.note([claim()])
    assert not bench.desk.is_due()
    assert (await bench.deliver()).detail == "everybody knows"
    assert [row["deliveries"] for row in bench.desk.rows()] == [[]]
    labels = {"severity": "warning"}
    assert bench.metrics.registry.get_sample_value("orchestrator_alerts", labels) == 1
    await bench.desk.note([])
    assert bench.desk.rows() == []
    assert bench.metrics.registry.get_sample_value("orchestrator_alerts", labels) == 0


# ── a destination that does not take it ─────────────────────────────────────────────────────────


async def test_a_message_that_is_not_taken_is_tried_again_with_growing_pauses(
    bench: Bench, hook: Webhook
) -> None:
    hook.does = 500
    await bench.desk.note([claim()])
    outcome = await bench.deliver()
    assert outcome.detail == "0 told; alerts to ops: HTTP 500"
    assert not bench.desk.is_due()
    bench.moment.go(seconds=30)
    assert bench.desk.is_due()
    await bench.deliver()
    assert (bench.delivery()["tries"], bench.delivery()["told_at"]) == (2, None)
    hook.does = 200
    bench.moment.go(seconds=60)
    await bench.deliver()
    assert bench.delivery()["told"] == 1
    assert bench.delivery()["tries"] == 0
    assert len(set(ids(hook))) == 1  # whoever took one of the first two can tell


async def test_an_open_breaker_loses_no_message_and_costs_no_try(bench: Bench, hook: Webhook) -> None:
    hook.does = 500
    await bench.desk.note([claim()])
    for _ in range(5):
        await bench.deliver()
        bench.moment.go(hours=1)
    asked = len(hook.taken)
    assert asked == 5
    outcome = await bench.deliver()
    assert "alerts:ops is not asked" in outcome.detail
    assert (len(hook.taken), bench.delivery()["tries"]) == (asked, 5)
    hook.does = 200
    bench.breakers.obey("alerts:ops", "close", "ada")
    await bench.deliver()
    assert bench.delivery()["told"] == 1


async def test_a_destination_that_hangs_holds_up_no_other(database: Database, hook: Webhook) -> None:
    hook.does = "hang"
    with webhook() as other:
        ends = {"ops": {"url": hook.url}, "mail": {"url": other.url}}
        bench = Bench(database, await new_fence(database), **ends)
        await bench.desk.note([claim()])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.deliver)
            await other.wait_for(1)
            while bench.delivery("mail")["told"] != 1:
                await trio.sleep(0.01)
            assert bench.delivery("ops")["told"] == 0
            nursery.cancel_scope.cancel()
        assert bench.desk.is_due()


# ── the daemon dies ─────────────────────────────────────────────────────────────────────────────


async def test_a_kill_between_raising_and_telling_loses_nothing(bench: Bench, hook: Webhook) -> None:
    await bench.desk.note([claim()])
    await bench.restart()
    await bench.desk.note([claim()])
    await bench.deliver()
    assert hook.bodies[0].count("NEW") == 1
    await bench.restart()
    await bench.desk.note([claim()])
    await bench.deliver()
    assert len(hook.bodies) == 1


async def test_a_kill_between_telling_and_its_record_tells_again_under_the_same_id(
    bench: Bench, hook: Webhook
) -> None:
    await bench.desk.note([claim()])

    async def die() -> None:
        raise DatabaseUnavailableError("killed before the commit")

    bench.database.before("save", die)
    await bench.deliver()
    await bench.restart()
    await bench.deliver()
    first, second = ids(hook)
    assert first == second


async def test_the_end_of_an_alert_is_told_by_the_next_daemon(bench: Bench, hook: Webhook) -> None:
    await bench.desk.note([claim()])
    await bench.deliver()
    await bench.desk.note([])
    await bench.restart()
    await bench.deliver()
    await bench.restart()
    await bench.deliver()
    assert [body.split()[0] for body in hook.bodies] == ["NEW", "OVER"]


async def test_that_the_database_is_down_is_told_while_it_is_and_stored_later(
    bench: Bench, hook: Webhook
) -> None:
    async with away(bench):
        await bench.desk.note([claim("check_down", "database", is_grave=True)])
        await bench.deliver()
        assert len(hook.bodies) == 1
    await bench.desk.note([claim("check_down", "database", is_grave=True), claim()])
    await bench.restart()
    assert sorted(row["subject"] for row in bench.desk.rows()) == ["database", "plan"]
    await bench.deliver()
    assert hook.bodies[-1].count("NEW") == 1  # the other one was told


async def test_a_daemon_that_was_replaced_writes_nothing(bench: Bench) -> None:
    await new_fence(bench.database)
    with pytest.raises(FenceLostError):
        await bench.desk.note([claim()])


async def test_a_destination_that_is_gone_keeps_nothing_waiting(
    bench: Bench, database: Database, hook: Webhook
) -> None:
    await bench.desk.note([claim()])
    await bench.desk.note([])
    later = Bench(database, await new_fence(database), other={"url": hook.url})
    await later.desk.load()
    assert later.desk.rows() == []
    assert hook.taken == []
