"""What the demo adds to the daemon."""

import sys
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator import stage
from orchestrator.clock import Clock
from orchestrator.state import ClockMark, read_clock


async def test_a_clock_that_can_not_be_kept_does_not_end_the_demo_and_is_kept_as_soon_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "CLOCK_AHEAD_S", 0.01)
    state_dir = tmp_path / "not there yet"
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage._keep_clock, Clock(), state_dir)
            while not logs:
                await trio.sleep(0.01)
            state_dir.mkdir()
            while (mark := read_clock(state_dir)) is None:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert mark.shown > 0
    assert {(entry["event"], entry["error"]) for entry in logs} == {
        ("clock_not_kept", "No such file or directory")
    }


async def keep(clock: Clock, state_dir: Path, shown: float) -> ClockMark:
    """The mark that is there once the clock has been kept beyond `shown`."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage._keep_clock, clock, state_dir)
        while (mark := read_clock(state_dir)) is None or mark.shown <= shown:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return mark


async def test_the_mark_says_how_fast_the_clock_has_run_since_when(tmp_path: Path) -> None:
    first = await keep(Clock(240, 0, 1000, lambda: 0), tmp_path, 0)
    assert (first.speed, first.since) == (240, 1000)
    same = await keep(Clock(240, 0, 9000, lambda: 0), tmp_path, first.shown)
    assert (same.speed, same.since) == (240, 1000)
    faster = await keep(Clock(480, 0, 20_000, lambda: 0), tmp_path, same.shown)
    assert (faster.speed, faster.since) == (480, 20_000)


async def test_a_mark_without_a_speed_says_nothing_of_what_was_before(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("500.5\n")
    mark = await keep(Clock(240, 0, 1000, lambda: 0), tmp_path, 501)
    assert (mark.speed, mark.since) == (240, 1000)


@pytest.mark.parametrize(
    ("argv0", "said"),
    [
        (".venv/bin/orchestrator", ".venv/bin/orchestrator"),
        ("/x/orchestrator/__main__.py", f"{sys.executable} -m orchestrator"),
    ],
)
def test_the_demo_names_a_program_that_the_shell_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv0: str, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", [argv0, "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stage.program() == said
    (tmp_path / "orchestrator").touch(mode=0o755)
    assert stage.program() == "orchestrator"
