import io
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from orchestrator.terminal.panel import ROOM_FOR_EVENTS, allot, render_panel
from tests.terminal.document import arm, busy, job, post


def shown(document: dict[str, Any], width: int = 120, height: int = 40) -> str:
    file = io.StringIO()
    Console(width=width, file=file, highlight=False).print(render_panel(document, height))
    return file.getvalue()


def test_posts_are_shown_with_their_figures_and_what_the_bandit_chose() -> None:
    (line,) = [line for line in shown(busy()).splitlines() if "post number 14" in line]
    assert "queues · short list · 09:00" in line
    assert line.replace("\N{NARROW NO-BREAK SPACE}", "").split()[-3:] == ["3", "1", "1841"]


def test_a_post_that_waits_says_when_it_is_due_and_has_no_figures() -> None:
    (line,) = [line for line in shown(busy()).splitlines() if "post number 15" in line]
    assert line.rstrip().endswith("in 8 min")


def test_posts_that_wait_do_not_crowd_out_those_that_are_out() -> None:
    waiting = [post(n, "queued", due_at=f"2026-11-22T{n}:00:00+00:00") for n in (19, 18, 17, 16, 15)]
    output = shown(busy(recent_posts=[*waiting, *(post(n) for n in range(30, 40))]), height=60)
    numbers = [
        line.split("post number ")[1].split()[0] for line in output.splitlines() if "post number" in line
    ]
    assert numbers == ["16", "15", "30", "31", "32", "33", "34", "35"]


def test_contexts_and_jobs_stand_side_by_side() -> None:
    (line,) = [line for line in shown(busy()).splitlines() if "harvester" in line]
    assert any(name in line for name in ("plan", "posting", "learn"))


def test_what_was_learned_is_a_bar_for_each_arm_the_tried_ones_first() -> None:
    output = shown(busy())
    assert "Learned from 8 outcomes" in output
    queues, untried = (next(i for i, line in enumerate(output.splitlines()) if name in line and "█" in line)
                       for name in ("queues", "untried"))  # fmt: skip
    assert queues < untried


def test_an_hour_is_shown_as_a_time_of_day() -> None:
    assert "09:00 █" in shown(busy())


@pytest.mark.parametrize("width", [30, 60, 80, 100, 160])
@pytest.mark.parametrize("height", [5, 10, 18, 24, 30, 60])
def test_the_panel_leaves_room_for_events_and_never_runs_over(width: int, height: int) -> None:
    many = busy(
        jobs=[job(f"job{n}") for n in range(26)],
        recent_posts=[post(n) for n in range(12)],
        queue=busy()["queue"] * 9,
        learning={"outcomes": 9, "arms": [arm("hour", str(n), n, n / 24) for n in range(24)]},
    )
    output = shown(many, width, height).splitlines()
    assert len(output) <= max(height - ROOM_FOR_EVENTS, 3)
    assert all(len(line.rstrip()) <= width for line in output)


def test_a_small_terminal_keeps_the_contexts_before_the_rest() -> None:
    output = shown(busy(), width=80, height=12)
    assert "harvester" in output
    assert "Learned" not in output


def test_rows_go_to_the_first_sections_least_then_to_more_in_turn() -> None:
    give = partial(allot, frames=(2, 3, 2), least=(2, 3, 3), most=(8, 8, 6))
    assert give(7 + 9, (5, 9, 9)) == [3, 3, 3]
    assert give(7 + 30, (5, 9, 9)) == [5, 8, 6]
    assert give(2 + 2, (5, 9, 9)) == [2, 0, 0]
    assert give(-5, (5, 0, 9)) == [0, 0, 0]


def test_an_empty_document_shows_a_panel_all_the_same() -> None:
    assert "The daemon is unknown." in shown({})
