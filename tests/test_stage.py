"""What the demo adds to the daemon."""

from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator import stage
from orchestrator.clock import Clock


async def test_a_clock_that_can_not_be_kept_does_not_end_the_demo_and_is_kept_as_soon_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "CLOCK_AHEAD_S", 0.01)
    path = tmp_path / "not there yet" / "clock"
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage._keep_clock, Clock(), path)
            while not logs:
                await trio.sleep(0.01)
            path.parent.mkdir()
            while not path.exists():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert float(path.read_text()) > 0
    assert {(entry["event"], entry["error"]) for entry in logs} == {
        ("clock_not_kept", "No such file or directory")
    }
