"""What `ctl watch` draws: the sentence first, then contexts, the queue with its reasons, and jobs."""

import io

import pytest
from rich.console import Console

from orchestrator.terminal.watch import LOST, lost, render_watch
from orchestrator.terminal.words import Row
from tests.terminal.document import busy, job


def drawn(status: Row, width: int = 100, height: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(render_watch(status, height))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_sentence_stands_above_contexts_queue_and_jobs() -> None:
    lines = drawn(busy())
    assert lines[1] == "● All is well. Running: metrics_scraper."
    titles = [line for line in lines if line in ("Contexts", "Waiting for a context", "Jobs")]
    assert titles == ["Contexts", "Waiting for a context", "Jobs"]
    assert any("slot 0 is kept for critical work" in line for line in lines)


@pytest.mark.parametrize("height", [16, 24, 40])
@pytest.mark.parametrize("width", [60, 100, 160])
def test_it_fits_the_screen_and_leaves_room_for_what_goes_by(width: int, height: int) -> None:
    many = busy(jobs=[job(f"job{number}") for number in range(30)], queue=busy()["queue"] * 9)
    lines = drawn(many, width, height)
    assert len(lines) <= height - 2
    assert max(map(len, lines)) <= width


def test_of_too_many_jobs_those_are_shown_that_somebody_looks_for() -> None:
    many = [job(f"job{number}") for number in range(30)]
    lines = drawn(busy(jobs=[*many, job("posting", "failed")], queue=[]), height=24)
    assert any(line.split()[:2] == ["posting", "failed"] for line in lines)


def test_a_lost_connection_is_what_is_said_first_and_a_problem() -> None:
    status = lost(busy())
    assert drawn(status)[1].startswith("● The connection to the daemon is lost")
    assert [problem["what"] for problem in status["problems"]] == [LOST]
