"""Posts in a terminal: a list of them, and one with all that is known of it."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import POST_STYLES, indented, section, stacked
from orchestrator.terminal.words import (
    NONE,
    Row,
    ago,
    ahead,
    listed,
    moment,
    plain,
    rows,
    table,
    text,
    turn_at,
)

FACTS = (
    "account",
    "in_reply_to",
    "reference",
    "attempts",
    "detail",
    "source",
    "topic",
    "format",
    "hour",
    "created_at",
    "due_at",
    "not_before",
    "submitted_at",
    "missed_at",
    "published_at",
    "measured_at",
    "counted_on",
)
"""In the order in which they are shown; those that a post lacks are left out."""


def render_posts(result: Row) -> RenderableType:
    """`ctl posts`: a line for each, those that changed last first."""
    now = moment(result, "now")
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("id", "account", "state", "when", "tries", "reference", "since", "why", "text"):
        is_long = name in ("why", "text")
        grid.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if is_long else None)
    for post in rows(result, "posts"):
        published_at = moment(post, "published_at")
        when = ahead(turn_at(post), now) if published_at is None else ago(published_at, now)
        grid.add_row(
            text(post, "id", "?"),
            text(post, "account", "?"),
            _state(post),
            when if text(post, "state") in ("queued", "published") else NONE,
            text(post, "attempts"),
            text(post, "reference", NONE),
            ago(moment(post, "since"), now),
            text(post, "detail", NONE),
            text(post, "text"),
        )
    return grid if grid.row_count else Text(text(result, "message", "No posts yet."), "dim")


def render_post(result: Row) -> RenderableType:
    """`ctl post show`: the whole text, every fact, and what comes next."""
    post, now = table(result, "post"), moment(result, "now")
    headline = Text.assemble((f"Post {text(post, 'id', '?')} is ", "bold"), _state(post))
    headline.append(f" since {text(post, 'since', NONE)}, {ago(moment(post, 'since'), now)}", "dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name in FACTS:
        if text(post, name):
            grid.add_row(Text(name, "dim"), Text(text(post, name)))
    if text(post, "decision"):
        by, at = text(post, "decided_by"), text(post, "decided_at")
        grid.add_row(Text("decided", "dim"), Text(listed([text(post, "decision"), f"by {by}", at])))
    value = post.get("text")
    whole = "\n".join(plain(line) for line in value.splitlines()) if isinstance(value, str) else ""
    lines = result.get("next")
    after = "\n".join(plain(str(line)) for line in lines) if isinstance(lines, list) else ""
    return stacked(
        [
            headline,
            indented(Text(whole)),
            section("Facts", grid),
            section("What comes next", Text(after)) if after else None,
        ]
    )


def _state(post: Row) -> Text:
    state = text(post, "state", NONE)
    return Text(state, POST_STYLES.get(state, ""))
