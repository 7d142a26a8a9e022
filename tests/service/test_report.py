"""What systemd is told of a house, in its own protocol."""

import math
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from orchestrator import aio
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.health.checks import Check
from orchestrator.health.status import House
from orchestrator.service.manager import Notifier
from orchestrator.service.report import CLOSING_S, Report
from tests.fakes import Part, Work, a_job, a_stage, make_house, settle
from tests.service.conftest import Listener

WATCHDOG_S = 12.0
BEAT_S = WATCHDOG_S / 3


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


@asynccontextmanager
async def told(systemd: Listener, *, has_started: bool = True) -> AsyncIterator[tuple[House, Report, Part]]:
    """A house with a database that may fail, a job that holds on, and its report at work."""
    async with a_stage([a_job("plan", Work(is_held=True))]) as stage, aio.open_bridge():
        house, part = make_house(stage), Part()
        house.checks.add(Check("database", part.probe))
        await house.checks.look_at_all()
        if has_started:
            house.modes.start()
        report = Report(house, Notifier(systemd.address, WATCHDOG_S))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report.run)
            yield house, report, part
            nursery.cancel_scope.cancel()


async def test_a_house_that_starts_asks_for_time_and_says_what_it_waits_for(
    systemd: Listener, autojump_clock: object
) -> None:
    async with told(systemd, has_started=False):
        await trio.sleep(BEAT_S * 1.5)
        first, second = systemd.heard()
    assert first["STATUS"] == "Starting; waiting for the jobs."
    assert "READY" not in {**first, **second}
    assert int(second["EXTEND_TIMEOUT_USEC"]) == 3 * BEAT_S * 1e6
    assert "STATUS" not in second


async def test_past_the_gate_it_is_ready_once_and_feeds_the_watchdog_thrice_in_its_time(
    systemd: Listener, autojump_clock: object
) -> None:
    async with told(systemd):
        await trio.sleep(WATCHDOG_S + 0.1)
        said = systemd.heard()
    assert said[0] == {"READY": "1", "WATCHDOG": "1", "STATUS": "All is well. Nothing runs now."}
    assert said[1:] == [{"WATCHDOG": "1"}] * 3


async def test_one_that_stands_by_for_another_daemon_is_up_since_no_start_shall_wait_for_that(
    systemd: Listener, autojump_clock: object
) -> None:
    async with told(systemd, has_started=False) as (house, report, _):
        await trio.sleep(1)
        house.note = "daemon other owns this database; this one stands by"
        report.nudge()
        await trio.sleep(1)
        said = systemd.heard()[-1]
    assert said["READY"] == "1"
    assert said["STATUS"] == "Starting: daemon other owns this database; this one stands by."


async def test_a_house_that_is_degraded_says_why_at_once_and_is_fed_all_the_same(
    systemd: Listener, autojump_clock: object
) -> None:
    async with told(systemd) as (house, report, part):
        await trio.sleep(1)
        systemd.heard()
        part.error = DatabaseUnavailableError("no route", remedy="Start it")
        await house.checks.look_at_all()
        report.nudge()
        await trio.sleep(0.1)
        [said] = systemd.heard()
    assert said == {"WATCHDOG": "1", "STATUS": "Degraded: database is down: no route. Start it."}


async def test_a_house_with_a_stuck_job_starves_the_watchdog(
    systemd: Listener, autojump_clock: object, logs: list[EventDict]
) -> None:
    async with told(systemd) as (house, _, _part):
        await trio.sleep(1)
        assert house.supervisor is not None
        actor = house.supervisor.actors["plan"]
        actor._acts_by = -math.inf
        systemd.heard()
        await trio.sleep(WATCHDOG_S)
        assert [said for said in systemd.heard() if "WATCHDOG" in said] == []
        actor._acts_by = math.inf
        await trio.sleep(BEAT_S)
        assert systemd.heard()[-1]["WATCHDOG"] == "1"
    events = [line["event"] for line in logs if line["event"].startswith("watchdog")]
    assert events == ["watchdog_not_fed", "watchdog_fed_again"]


async def test_when_asyncio_hangs_nothing_more_is_said(systemd: Listener) -> None:
    is_held, release = threading.Event(), threading.Event()

    async def hang() -> None:
        is_held.set()
        release.wait()

    async with told(systemd) as (_house, report, _part), trio.open_nursery() as nursery:
        await until_heard(systemd)
        nursery.start_soon(aio.call, hang)
        await trio.to_thread.run_sync(is_held.wait)
        report.nudge()
        await settle()
        assert systemd.heard() == []
        release.set()
        await until_heard(systemd)


async def until_heard(systemd: Listener) -> None:
    while not systemd.heard():
        await trio.sleep(0.01)


async def test_a_house_that_drains_asks_for_time_and_says_so(
    systemd: Listener, autojump_clock: object
) -> None:
    async with told(systemd) as (house, report, _):
        await trio.sleep(1)
        systemd.heard()
        house.modes.drain()
        report.nudge()
        await trio.sleep(0.1)
        [said] = systemd.heard()
    assert said["STOPPING"] == "1"
    assert int(said["EXTEND_TIMEOUT_USEC"]) == 3 * BEAT_S * 1e6
    assert said["STATUS"].startswith("Draining")
    [last] = systemd.heard()
    assert last == {"STOPPING": "1", "STATUS": "Closing", "EXTEND_TIMEOUT_USEC": f"{CLOSING_S * 1e6:.0f}"}


async def test_a_reload_begins_and_ends(systemd: Listener, autojump_clock: object) -> None:
    async with told(systemd) as (_house, report, _):
        await trio.sleep(1)
        systemd.heard()
        report.begin_reload()
        report.end_reload()
        begun, ended = systemd.heard()
    assert begun["RELOADING"] == "1"
    assert int(begun["MONOTONIC_USEC"]) > 0
    assert ended == {"READY": "1"}
