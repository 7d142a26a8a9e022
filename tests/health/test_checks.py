import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
import trio
from structlog.typing import EventDict

from orchestrator.errors import BrowserError, DatabaseUnavailableError, StateDirectoryError
from orchestrator.health.checks import MIN_FREE_BYTES, RECHECK_S, Check, Checks, Disk
from orchestrator.metrics import Metrics
from orchestrator.model import CheckResult, CheckState
from orchestrator.retry import RetryRule
from orchestrator.testing.clock import WallClock
from tests.fakes import NOON, Highest, Part

AWAY = DatabaseUnavailableError("the database can't be reached", remedy="Start it.")


class Look:
    """Checks over parts that the test breaks and mends; all parts are well at first."""

    def __init__(self, *names: str, is_critical: bool = True, limit_s: float = 20.0) -> None:
        self.wall, self.metrics = WallClock(), Metrics()
        self.checks = Checks(self.wall.clock(), self.metrics)
        self.parts = {name: Part() for name in names}
        for name, part in self.parts.items():
            self.checks.add(Check(name, part.probe, is_critical, limit_s))

    def state(self, name: str = "database") -> CheckState:
        return self.checks.results[name].state

    def figure(self, name: str, check: str = "database") -> float | None:
        return self.metrics.registry.get_sample_value(f"orchestrator_{name}", {"check": check})


async def test_a_part_that_nobody_looked_at_is_pending_and_nothing_is_up() -> None:
    look = Look("database")
    assert look.state() is CheckState.PENDING
    assert not look.checks.is_all_up
    assert look.checks.down == []


async def test_a_part_that_is_well_is_up_with_its_detail_and_duration(autojump_clock: object) -> None:
    look = Look("database")
    look.parts["database"].takes_s = 0.25
    result = await look.checks.look("database")
    assert result == CheckResult("database", CheckState.UP, True, 0.25, "it works")
    assert look.checks.results["database"] == result
    assert look.checks.is_all_up
    assert look.figure("check_up") == 1
    assert look.figure("check_seconds_sum") == 0.25


async def test_a_part_that_is_down_says_what_is_wrong_and_what_to_do(autojump_clock: object) -> None:
    look = Look("database")
    look.parts["database"].error = AWAY
    result = await look.checks.look("database")
    assert (result.state, result.detail, result.remedy) == (CheckState.DOWN, str(AWAY), "Start it.")
    assert look.checks.down == [result]
    assert look.checks.is_down("database")
    assert look.figure("check_up") == 0


async def test_a_probe_that_does_not_answer_in_time_counts_as_down(autojump_clock: object) -> None:
    look = Look("browser", limit_s=15)
    look.parts["browser"].takes_s = 3600
    result = await look.checks.look("browser")
    assert (result.state, result.detail) == (CheckState.DOWN, "no answer within 15 s")
    assert result.duration_s == 15
    assert trio.current_time() == 15


async def test_a_bug_in_a_probe_is_logged_and_counts_as_down(
    logs: list[EventDict], autojump_clock: object
) -> None:
    look = Look("database")
    look.parts["database"].error = ZeroDivisionError("division by zero")
    result = await look.checks.look("database")
    assert result.state is CheckState.DOWN
    assert result.detail == "bug in the check: ZeroDivisionError: division by zero"
    assert [entry["check"] for entry in logs if entry["event"] == "check_crashed"] == ["database"]


async def test_an_error_out_of_a_nursery_is_shown_as_itself(autojump_clock: object) -> None:
    look = Look("database")
    look.parts["database"].error = ExceptionGroup("group", [ExceptionGroup("inner", [AWAY])])
    assert (await look.checks.look("database")).detail == str(AWAY)


async def test_an_error_in_the_clean_up_of_a_late_probe_ends_nothing(autojump_clock: object) -> None:
    async def probe() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise BrowserError("the page can't be closed")
        raise AssertionError

    checks = Checks(WallClock().clock(), Metrics())
    checks.add(Check("browser", probe, limit_s=15))
    assert (await checks.look("browser")).state is CheckState.DOWN


async def test_all_parts_are_looked_at_side_by_side(autojump_clock: object) -> None:
    look = Look("disk", "database", "browser")
    for part in look.parts.values():
        part.takes_s = 10
    look.parts["database"].error = AWAY
    results = await look.checks.look_at_all()
    assert trio.current_time() == 10
    assert [(result.name, result.state.value) for result in results] == [
        ("disk", "up"),
        ("database", "down"),
        ("browser", "up"),
    ]


async def test_a_part_that_is_not_critical_does_not_keep_all_from_being_up(autojump_clock: object) -> None:
    look = Look("settings", is_critical=False)
    look.parts["settings"].error = AWAY
    result = await look.checks.look("settings")
    assert look.checks.is_all_up
    assert look.checks.down == [result]


async def test_a_part_is_down_since_it_was_first_seen_down_until_it_recovers(
    logs: list[EventDict], autojump_clock: object
) -> None:
    look = Look("database")
    look.parts["database"].error = AWAY
    await look.checks.look("database")
    await trio.sleep(60)
    await look.checks.look("database")
    assert look.checks.down_since == {"database": NOON}
    look.parts["database"].error = None
    await look.checks.look("database")
    assert look.checks.down_since == {}
    look.parts["database"].error = AWAY
    await look.checks.look("database")
    assert look.checks.down_since == {"database": NOON + timedelta(seconds=60)}
    assert [entry["event"] for entry in logs] == ["check_down", "check_recovered", "check_down"]


async def test_a_part_that_there_is_no_check_for_is_not_down() -> None:
    assert not Look("disk").checks.is_down("cache")


# ── the start ───────────────────────────────────────────────────────────────────────────────────


async def test_insisting_ends_with_the_first_look_that_is_good(autojump_clock: object) -> None:
    look = Look("browser")
    result = await look.checks.insist("browser", RetryRule(2, 1.0), Highest())
    assert (result.state, look.parts["browser"].looks) == (CheckState.UP, 1)
    assert trio.current_time() == 0


async def test_insisting_looks_again_after_growing_delays_with_full_jitter(autojump_clock: object) -> None:
    look, rng = Look("browser"), Highest()
    look.parts["browser"].error = AWAY
    result = await look.checks.insist("browser", RetryRule(2, 1.0), rng)
    assert (result.state, look.parts["browser"].looks) == (CheckState.DOWN, 3)  # A1.1
    assert rng.draws == [(0, 1), (0, 2)]
    assert trio.current_time() == 3


async def test_insisting_sees_a_part_that_recovers_in_between(autojump_clock: object) -> None:
    look = Look("browser")
    part = look.parts["browser"]
    part.error = AWAY

    async def mend() -> None:
        await trio.sleep(2)
        part.error = None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mend)
        result = await look.checks.insist("browser", RetryRule(5, 1.0), Highest())
    assert (result.state, part.looks) == (CheckState.UP, 3)


async def look_once(look: Look) -> None:
    await look.checks.look("browser")


async def look_at_all(look: Look) -> None:
    await look.checks.look_at_all()


async def insist(look: Look) -> None:
    await look.checks.insist("browser", RetryRule(5, 60.0), Highest())


@pytest.mark.parametrize("wait", [look_once, look_at_all, insist])
@pytest.mark.parametrize("error", [None, AWAY])
async def test_a_cancelled_look_ends_at_once_and_says_nothing_of_the_part(
    wait: Callable[[Look], object], error: Exception | None, autojump_clock: object
) -> None:
    look = Look("browser", limit_s=1000)
    look.parts["browser"].takes_s, look.parts["browser"].error = 100, error
    with trio.move_on_after(50) as scope:
        await wait(look)  # type: ignore[misc]
    assert scope.cancelled_caught
    assert trio.current_time() == 50
    assert look.state("browser") is CheckState.PENDING


# ── the disk ────────────────────────────────────────────────────────────────────────────────────


async def test_a_disk_with_room_is_well_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    assert (await Disk(tmp_path).probe()).endswith("GiB free")
    assert list(tmp_path.iterdir()) == []


async def test_a_directory_that_is_gone_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StateDirectoryError) as caught:
        await Disk(tmp_path / "gone").probe()
    assert str(caught.value) == (
        f"the state directory {tmp_path / 'gone'} can't be written: No such file or directory"
    )
    assert caught.value.remedy


async def test_a_disk_that_is_nearly_full_is_down_and_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = MIN_FREE_BYTES - 1

    monkeypatch.setattr(shutil, "disk_usage", lambda _directory: Usage)
    with pytest.raises(StateDirectoryError, match=r"only 100 MiB are free in .*") as caught:
        await Disk(tmp_path).probe()
    assert caught.value.remedy == "Free some space; 100 MiB are needed."


async def test_a_disk_that_hangs_keeps_one_thread_however_often_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, answers, asked = Event(), Event(), []
    room = shutil.disk_usage(tmp_path)

    def hang(_directory: Path) -> object:
        asked.append(1)
        is_asked.set()
        answers.wait()
        return room

    monkeypatch.setattr(shutil, "disk_usage", hang)
    disk, checks = Disk(tmp_path), Checks(WallClock().clock(), Metrics())
    checks.add(Check("disk", disk.probe, limit_s=0.05))
    try:
        for _look in range(3):
            result = await checks.look("disk")
            assert (result.state, result.detail) == (CheckState.DOWN, "no answer within 0.05 s")
            is_asked.wait()
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    finally:
        answers.set()
    assert (await disk.probe()).endswith("GiB free")
    assert len(asked) == 2  # the first one, and the one that was just answered


# ── recovery ────────────────────────────────────────────────────────────────────────────────────


async def test_a_part_that_hangs_does_not_hold_up_the_recovery_of_another(autojump_clock: object) -> None:
    look = Look("browser", "database", "disk", limit_s=3600)
    look.parts["database"].error = look.parts["browser"].error = AWAY
    await look.checks.look_at_all()
    look.parts["browser"].takes_s = 3600
    with trio.move_on_after(3 * RECHECK_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look.checks.watch_for_recovery, lambda: None)
            await trio.sleep(1.5 * RECHECK_S)
            look.parts["database"].error = None
    assert look.state("database") is CheckState.UP
    assert look.parts["disk"].looks == 1  # nobody asks again what is up


async def test_every_recovery_is_told(autojump_clock: object) -> None:
    look = Look("database")
    look.parts["database"].error = AWAY
    await look.checks.look("database")
    look.parts["database"].error = None
    seen: list[bool] = []
    with trio.move_on_after(1.5 * RECHECK_S):
        await look.checks.watch_for_recovery(lambda: seen.append(look.checks.is_all_up))
    assert seen == [True]
