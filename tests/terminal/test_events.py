from typing import Any

from orchestrator.model import WITHDRAWN
from orchestrator.terminal.events import Event, Watcher
from tests.terminal.document import arm, at, busy, job, post

QUIET: dict[str, Any] = {"recent_posts": [], "problems": []}


def told(*documents: dict[str, Any]) -> list[Event]:
    """The events of the last document, after the others."""
    watcher = Watcher()
    return [watcher.look(document) for document in documents][-1]


def lines(*documents: dict[str, Any]) -> list[str]:
    return [event.line for event in told(*documents)]


def test_ready_is_told_once_with_the_time_of_each_step() -> None:
    starting = {"mode": "starting"}
    (event,) = told(starting, busy(**QUIET))
    assert (event.line, event.detail) == ("ready", "database 0.21 s · browser 0.94 s")
    assert told(starting, busy(**QUIET), busy(**QUIET)) == []


def test_ready_says_after_how_long_where_that_is_known() -> None:
    assert "ready after 1.3 s" in lines(busy(**QUIET, ready_s=1.31))


def test_a_new_post_is_told_with_reference_account_text_and_arms() -> None:
    published = post(16, published_at=at("14:33"))
    (event,) = told(busy(**QUIET), busy(recent_posts=[published]))
    assert event.line == "published ref16 by ada: post number 16"
    assert event.detail == "queues · short list · 09:00"


def test_a_post_is_told_once() -> None:
    published = busy(recent_posts=[post(16, published_at=at("14:33"))])
    assert told(busy(**QUIET), published, published) == []


def test_posts_from_before_the_start_are_not_told_as_news() -> None:
    assert told({"mode": "starting", "clock": busy()["clock"]}, busy(recent_posts=[post(14)]))[1:] == []


def test_posts_are_told_oldest_first() -> None:
    newest_first = [post(18, published_at=at("14:35")), post(17, published_at=at("14:34"))]
    said = lines(busy(**QUIET), busy(recent_posts=newest_first))
    assert [line.split()[1] for line in said] == ["ref17", "ref18"]


def test_an_ambiguous_and_then_a_refused_post_are_told() -> None:
    events = told(busy(**QUIET), busy(recent_posts=[post(1, "ambiguous"), post(2, "failed")]))
    assert [event.kind for event in events] == ["bad", "warning"]


def test_a_reply_that_nobody_wants_any_more_is_no_failure() -> None:
    withdrawn = post(2, "failed", detail=f"{WITHDRAWN}nobody has approved it")
    [event] = told(busy(**QUIET), busy(recent_posts=[withdrawn]))
    assert (event.kind, event.line.split()[0]) == ("quiet", "withdrawn")


def test_a_post_that_was_ambiguous_is_told_again_when_it_turns_out_to_be_published() -> None:
    found = post(1, published_at=at("14:34"))
    assert lines(busy(recent_posts=[post(1, "ambiguous")]), busy(recent_posts=[found])) == [
        "published ref1 by ada: post number 1"
    ]


def test_a_problem_is_told_when_it_comes_and_when_it_goes() -> None:
    problem = {"what": "database is down", "remedy": "Start PostgreSQL"}
    well, ill = busy(**QUIET), busy(recent_posts=[], problems=[problem])
    (came,) = told(well, ill)
    assert (came.kind, came.line, came.detail) == ("bad", "database is down", "→ Start PostgreSQL")
    assert lines(well, ill, ill) == []
    assert lines(well, ill, well) == ["over: database is down"]


def test_modes_are_told() -> None:
    degraded = busy(**QUIET, mode="degraded", summary="Degraded: no browser.")
    assert lines(busy(**QUIET), degraded) == ["Degraded: no browser."]
    assert lines(busy(**QUIET), degraded, busy(**QUIET)) == ["ready again"]
    assert "stopping" in lines(busy(**QUIET), busy(**QUIET, mode="draining"))[0]


def test_a_pause_of_everything_and_its_end_are_told() -> None:
    assert lines(busy(**QUIET), busy(**QUIET, is_paused=True)) == ["everything is paused"]
    assert "going on" in lines(busy(**QUIET, is_paused=True), busy(**QUIET))[0]


def test_learning_is_told_with_the_best_arms_that_were_tried() -> None:
    arms = [arm("topic", "queues", 3, 0.7), arm("topic", "untried", 0, 0.9), arm("hour", "9", 1, 0.5)]
    more = busy(**QUIET, learning={"outcomes": 10, "arms": arms})
    (event,) = told(busy(**QUIET), more)
    assert event.line == "learned from 2 more, 10 in all"
    assert event.detail == "best so far: topic queues, hour 09:00"


def test_the_first_learning_is_told_without_a_comparison() -> None:
    first = busy(**QUIET, learning={"outcomes": 2, "arms": []})
    assert lines(busy(**QUIET, learning={"outcomes": 0}), first) == ["learned from 2 outcomes"]


def test_what_was_learned_before_the_start_is_not_news() -> None:
    assert not any(event.kind == "learned" for event in told({"mode": "starting"}, busy(**QUIET)))


def test_a_run_that_ended_badly_is_told_once() -> None:
    before = busy(**QUIET, jobs=[job("posting")])
    last = {"ending": "retry", "detail": "the site did not answer", "at": at("14:32"), "duration_s": 1.0}
    after = busy(**QUIET, jobs=[job("posting", last=last)])
    (event,) = told(before, after)
    assert (event.line, event.detail) == ("posting: retry", "the site did not answer")
    assert told(before, after, after) == []


def test_links_are_told_once() -> None:
    document = busy(**QUIET, links={"site": "http://127.0.0.1:8701"})
    assert lines({}, document)[1:] == ["site: http://127.0.0.1:8701"]
    assert lines({}, document, document) == []


def test_an_empty_document_is_no_event() -> None:
    assert told({}, {}) == []
