import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from orchestrator.terminal import (
    render_breakers,
    render_jobs,
    render_queue,
    render_settings,
    render_status,
    render_why,
)
from tests.terminal.document import at, busy, job


def shown(renderable: RenderableType, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(renderable)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def line_with(text: str, output: str) -> str:
    (line,) = [line for line in output.splitlines() if text in line]
    return line


def test_the_first_line_is_the_summary() -> None:
    assert shown(render_status(busy())).splitlines()[0] == "● All is well. Running: metrics_scraper."


def test_a_problem_says_what_since_when_and_what_to_do() -> None:
    problem = {"what": "database is down", "since": at("14:29"), "remedy": "Start PostgreSQL"}
    output = shown(render_status(busy(problems=[problem])))
    assert "database is down  for 3 min" in output
    assert "→ Start PostgreSQL" in output


def test_what_the_comparison_with_the_site_found_has_its_own_section() -> None:
    found = {"account": "ada", "at": at("14:29"), "lines": ["gone: post 7", "on the site: p9"]}
    output = shown(render_status(busy(findings=[found])))
    assert "Site against database" in output
    assert "ada  gone: post 7" in output
    assert "on the site: p9  3 min ago" in output
    assert "Site against database" not in shown(render_status(busy()))


def test_without_problems_there_is_no_word_of_them() -> None:
    assert "Problems" not in shown(render_status(busy()))


def test_contexts_say_who_holds_them_for_how_long_and_under_what_right() -> None:
    output = shown(render_status(busy()))
    assert "free    kept for critical work" in output
    assert "metrics_scraper  for 1 min of 10 min  high 1" in output
    assert "borrowed  called back" in line_with("harvester", output)


def test_contexts_that_are_all_free_are_shown_whole() -> None:
    slots = [{"slot": n, "state": "free", "reserved_for": None, "lease": None} for n in range(2)]
    assert "  0  free\n" in "\n".join(
        line.rstrip() for line in shown(render_queue({"slots": slots})).split("\n")
    )


def test_a_waiter_says_for_how_long_and_why() -> None:
    output = shown(render_queue(busy()))
    assert "scrape_background  12 s  background 8" in output
    assert "slot 0 is kept for critical work" in output


def test_an_empty_queue_is_told() -> None:
    assert "Nobody waits." in shown(render_queue(busy(queue=[])))


def test_a_job_has_its_state_last_ending_next_run_and_counts() -> None:
    output = shown(render_status(busy()))
    row = line_with("plan", output)
    assert "done  32 min ago, took 0.12 s" in row
    assert "in 1 h 28 min" in row
    assert "12 done · 3 nothing to do" in row
    assert "retry" not in row, "endings that never came are not counted out"
    assert "backing off 1 min" in line_with("posting", output)
    assert "never" in line_with("learn ", output)


def test_a_job_that_is_switched_off_is_not_said_never_to_have_run() -> None:
    output = shown(render_jobs(busy(jobs=[job("learn", "off", last=None, next_at=None, why="Switched off")])))
    assert "never" not in output
    assert "Switched off" in output


def test_jobs_also_say_why() -> None:
    assert "plan waits until 16:00" in shown(render_jobs(busy()))


def test_posts_are_counted_by_state_where_there_are_any() -> None:
    assert "1 draft · 4 queued · 12 published · 1 ambiguous\n" in shown(render_status(busy()))
    assert "none yet" in shown(render_status(busy(posts={"draft": 0})))


def test_a_check_that_does_not_hold_says_why_and_what_to_do() -> None:
    output = shown(render_status(busy()))
    assert "✓ database 0.02 s" in output
    assert "✗ site" in output
    assert "connection refused · start it" in output


def test_the_facts_leave_out_what_was_not_measured() -> None:
    facts = shown(render_status(busy())).splitlines()[1]
    assert facts.split(" · ") == [
        "  orchestrator 0.1.0",
        "pid 4242",
        "up 3 h 12 min",
        "Sun 14:32 at 120× speed",
        "daemon 84 MB, driver 130 MB",
    ]


def test_a_pause_of_everything_is_seen_at_once() -> None:
    output = shown(render_status(busy(is_paused=True)), width=160)
    assert output.startswith("‖ ")
    assert "everything paused" in output


def test_a_breaker_has_its_state_its_next_look_and_the_latest_failure() -> None:
    closed = {"name": "site:forum", "state": "closed", "in_state_s": 7200.0, "failures": 0}
    opened = {
        "name": "site:blog",
        "state": "open",
        "in_state_s": 4.0,
        "failures": 5,
        "next_probe_in_s": 12.0,
        "last_error": "blog answers 500",
        "forced_by": "",
    }
    forced = {"name": "site:wiki", "state": "forced_open", "in_state_s": 60.0, "forced_by": "ada"}
    output = shown(render_breakers({"breakers": [closed, opened, forced]}))
    assert line_with("site:forum", output).rstrip().endswith("closed for 2 h")
    assert "open for 4.0 s  asked again in 12 s  failures in a row: 5" in line_with("site:blog", output)
    assert "latest failure: blog answers 500" in output
    assert "forced open for 1 min  by order of ada" in line_with("site:wiki", output)
    assert "No outside party is set." in shown(render_breakers({"breakers": []}))


def test_why_lists_its_sentences() -> None:
    output = shown(render_why({"job": "posting", "lines": ["Waits until 14:35.", "The site is down."]}))
    assert output.splitlines() == ["posting", "  • Waits until 14:35.", "  • The site is down."]


def test_settings_say_where_each_one_came_from() -> None:
    output = shown(
        render_settings([("http.port", "8700", ""), ("state_dir", "/srv/o", "by the environment")])
    )
    assert "default" in line_with("http.port", output)
    assert "by the environment" in line_with("state_dir", output)


def test_texts_from_outside_are_shown_without_their_markup_and_escapes() -> None:
    evil = job("plan", why="[bold]x[/bold]\x1b]0;title\x07 \x1b[2J")
    output = shown(render_jobs({"jobs": [evil]}))
    assert "[bold]x[/bold]" in output
    assert "\x1b" not in output


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for line in shown(render_status(busy()), width).splitlines():
        assert len(line.rstrip()) <= width


@pytest.mark.parametrize("render", [render_status, render_jobs, render_queue, render_why])
def test_an_empty_document_is_no_error(render: Any) -> None:
    assert shown(render({})).count("\n") < 4


KEYS = st.sampled_from([*busy(), "lease", "last", "now", "arms"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, JUNK))
def test_fields_of_any_form_are_shown_without_an_error(changes: dict[str, Any]) -> None:
    assert shown(render_status(busy(**changes)))


@pytest.mark.parametrize("render", [render_status, render_jobs])
def test_under_the_jobs_it_is_said_which_times_are_of_a_fast_clock(render: Any) -> None:
    said = (
        "By the daemon's clock, 120× as fast as yours: “ago”, “in”, how long a state lasts. In real seconds:"
    )
    assert said in shown(render(busy()))
    assert "as fast as yours" not in shown(render(busy(clock={"now": at("14:32"), "speed": 1.0})))
    assert "as fast as yours" not in shown(render(busy(jobs=[])))
