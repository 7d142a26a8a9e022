"""Posts as `ctl posts` and `ctl post show` show them."""

from typing import Any

from orchestrator.terminal.posts import render_post, render_posts
from tests.terminal.document import at
from tests.terminal.test_status import line_with, shown


def post(**changes: Any) -> dict[str, Any]:
    row = {
        "id": 4711,
        "account": "ada",
        "state": "ambiguous",
        "due_at": at("14:00"),
        "published_at": None,
        "attempts": 2,
        "reference": None,
        "since": at("14:00"),
        "detail": "no clear answer came",
        "text": "Bread rises\nslowly",
    }
    return row | changes


def test_each_post_is_a_line_with_what_one_needs_to_decide() -> None:
    published = post(id=4712, state="published", reference="r9", published_at=at("13:30"), detail="")
    output = shown(render_posts({"now": at("14:30"), "posts": [post(), published]}), 160)
    line = line_with("4711", output)
    for said in ("ada", "ambiguous", "2", "30 min ago", "no clear answer came", "Bread rises slowly"):
        assert said in line
    assert "r9" in line_with("4712", output)
    assert "1 h ago" in line_with("4712", output)


def test_a_post_that_was_put_back_says_when_its_turn_comes() -> None:
    waits = post(state="queued", not_before=at("15:00"))
    assert "in 30 min" in line_with("4711", shown(render_posts({"now": at("14:30"), "posts": [waits]}), 160))


def test_no_post_is_a_line_that_says_why() -> None:
    assert shown(render_posts({"posts": []})) == "No posts yet.\n"
    assert shown(render_posts({"posts": [], "message": "No post is failed."})) == "No post is failed.\n"


def test_one_post_is_shown_with_its_whole_text_its_facts_and_what_comes_next() -> None:
    decided = {"decision": "requeue", "decided_by": "alice", "decided_at": at("13:00")}
    found = post(submitted_at=at("14:00")) | decided
    output = shown(render_post({"now": at("14:30"), "post": found, "next": ["Look at the site."]}))
    lines = [line.rstrip() for line in output.splitlines()]
    assert lines[0] == "Post 4711 is ambiguous since 2026-11-22T14:00:00+00:00, 30 min ago"
    assert lines[2:4] == ["  Bread rises", "  slowly"]
    assert "requeue · by alice · 2026-11-22T13:00:00+00:00" in line_with("decided", output)
    assert "2026-11-22T14:00:00+00:00" in line_with("submitted_at", output)
    assert "Look at the site." in output


def test_a_strangers_text_does_not_steer_the_terminal() -> None:
    evil = "\x1b[2Jgone\x07"
    output = shown(render_post({"post": post(text=evil, detail=evil), "next": [evil]}))
    assert "\x1b[2J" not in output
    assert "\x07" not in output
    assert "\x1b[2J" not in shown(render_posts({"posts": [post(text=evil)]}))


def test_fields_may_be_missing() -> None:
    assert shown(render_post({}))
    assert shown(render_posts({"posts": [{}]}))
