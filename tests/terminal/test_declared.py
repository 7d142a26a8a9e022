"""The jobs as they are declared, in a terminal and in the documentation."""

from datetime import UTC, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from orchestrator import jobs
from orchestrator.actors.graph import drawn
from orchestrator.actors.job import Job
from orchestrator.settings import JobSettings
from orchestrator.terminal.declared import render_declared, when
from tests.fakes import a_job

DOCUMENT = Path(__file__).parents[2] / "docs" / "jobs.md"


def shown(listed: list[Job]) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_declared(listed))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        ({"every_s": 7200.0}, "every 2 h"),
        ({"every_s": 10_800.0, "priority": 8}, "every 3 h, at the quarter hour"),
        ({"daily_at": time(3, tzinfo=UTC)}, "daily 03:00 UTC"),
        ({"daily_at": time(3, 30, tzinfo=ZoneInfo("Europe/Berlin"))}, "daily 03:30 Europe/Berlin"),
    ],
)
def test_when_a_job_runs_is_said_in_words(timing: dict[str, object], words: str) -> None:
    assert when(a_job(**timing)) == words  # type: ignore[arg-type]


def test_each_job_has_its_line() -> None:
    listed = [
        a_job("plan", priority=1),
        a_job("metrics", priority=2, after=("plan",), uses_browser=True, not_in_window=True),
    ]
    assert [line.split() for line in shown(listed)[1:]] == [
        ["plan", "1", "every", "1", "h", "–", "–", "–"],
        ["metrics", "2", "every", "1", "h", "plan", "yes", "waits"],
    ]


def test_a_job_that_is_switched_off_is_not_declared() -> None:
    listed = jobs.declared({"posting": JobSettings(enabled=False)})
    assert "posting" not in [job.name for job in listed]


def test_the_document_shows_the_jobs_as_they_are() -> None:
    """When this fails, put the output of `orchestrator jobs` and `orchestrator jobs --graph` into it."""
    document, listed = DOCUMENT.read_text(), jobs.declared({})
    assert "\n".join(shown(listed)) in document
    assert drawn(listed) in document
