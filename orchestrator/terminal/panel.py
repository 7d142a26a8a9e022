"""The standing part of the live view: contexts and jobs, the newest posts, what was learned so far.

It is cut to the terminal: with few rows or columns the less important parts shrink, then go.
"""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.events import DIMENSIONS, arm_name, arms
from orchestrator.terminal.parts import (
    NARROW,
    WIDE,
    Fitted,
    clock,
    contexts,
    cut,
    headline,
    job_state,
    now_of,
    post_counts,
    section,
    waiting,
)
from orchestrator.terminal.words import (
    NONE,
    Row,
    ago,
    ahead,
    bar,
    brief,
    count,
    listed,
    moment,
    number,
    rows,
    size,
    table,
    text,
    turn_at,
)

ROOM_FOR_EVENTS = 4
"""Rows of the terminal that the panel leaves to what goes by above it."""
FRAME_ROWS = 2
"""What a section takes besides its rows: a blank line and a heading."""
POSTS_FRAME_ROWS = FRAME_ROWS + 1  # the columns' names
BAR_CELLS = 10

_POST_MARKS = {
    "published": ("▸", "green"),
    "ambiguous": ("!", "yellow"),
    "failed": ("✗", "red"),
    "submitting": ("▹", "cyan"),
    "claimed": ("▹", "cyan"),
}
_JOB_ORDER = ("failed", "running", "queued", "backing_off", "paused", "waiting", "off")


def render_panel(status: Row, height: int) -> RenderableType:
    """The panel for a terminal of `height` rows."""
    return Fitted(lambda width: _panel(status, width, height - ROOM_FOR_EVENTS))


def _panel(status: Row, width: int, budget: int) -> RenderableType:
    top: list[RenderableType] = [Rule(style="dim"), cut(headline(status)), cut(_facts(status))]
    wanted = (_house_rows(status), len(rows(status, "recent_posts")), _learning_rows(status))
    frames = (FRAME_ROWS, POSTS_FRAME_ROWS, FRAME_ROWS)
    house, newest, learned = allot(budget - len(top), wanted, frames, least=(2, 3, 3), most=(8, 8, 6))
    parts = [
        _house(status, width, house) if house else None,
        _posts(status, width, newest) if newest else None,
        _learning(status, width, learned) if learned else None,
    ]
    for part in parts:
        top += [Text(), part] if part is not None else []
    return Group(*top)


def allot(
    budget: int, wanted: Sequence[int], frames: Sequence[int], *, least: Sequence[int], most: Sequence[int]
) -> list[int]:
    """Rows for each section, the first ones first: its least if that fits, then more in turn."""
    wanted = [min(want, limit) for want, limit in zip(wanted, most, strict=True)]
    given = [0] * len(wanted)
    for i, want in enumerate(wanted):
        need = min(want, least[i])
        if want and budget >= need + frames[i]:
            given[i] = need
            budget -= need + frames[i]
    for i, want in enumerate(wanted):
        more = min(want - given[i], max(budget, 0)) if given[i] else 0
        given[i] += more
        budget -= more
    return given


def _facts(status: Row) -> Text:
    memory = table(status, "memory")
    total = sum(number(memory, part) or 0 for part in memory)
    counts = post_counts(status)
    words = [clock(status), size(total) if total else "", "posts " if counts else ""]
    return Text("  " + listed(words), "dim").append_text(counts)


# ── contexts and jobs ───────────────────────────────────────────────────────────────────────────


def _house_rows(status: Row) -> int:
    return max(len(rows(status, "slots")), min(len(rows(status, "jobs")), 6))


def _house(status: Row, width: int, height: int) -> RenderableType | None:
    slots = {**status, "slots": rows(status, "slots")[:height]}
    room = height - len(rows(slots, "slots")) - FRAME_ROWS
    queue = {"queue": [{**waiter, "why": ""} for waiter in rows(status, "queue")[: max(room, 0)]]}
    room_for_slots = width if width < WIDE else width // 2
    parts = [contexts(slots, room_for_slots, is_cut=True), waiting(queue, room_for_slots)]
    left = [part for part in parts if part is not None]
    right = _jobs(status, height)
    if width < WIDE or right is None:
        return left[0] if left else None
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(ratio=11)
    grid.add_column(ratio=9)
    grid.add_row(Group(*left), right)
    return grid


def _jobs(status: Row, height: int) -> RenderableType | None:
    now = now_of(status)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for is_whole in (True, False, True):
        grid.add_column(no_wrap=is_whole)
    found = sorted(rows(status, "jobs"), key=lambda job: job_rank(job, now))
    for job in found[:height]:
        next_at = moment(job, "next_at")
        grid.add_row(text(job, "name", "?"), cut(job_state(job, now)), Text(ahead(next_at, now), "dim"))
    return section("Jobs", grid)


def job_rank(job: Row, now: datetime | None) -> tuple[int, float]:
    """What sorts jobs: first those that somebody looks for, of the others first whose turn comes first."""
    state, next_at = text(job, "state"), moment(job, "next_at")
    rank = _JOB_ORDER.index(state) if state in _JOB_ORDER else len(_JOB_ORDER)
    return rank, (next_at - now).total_seconds() if next_at and now else float("inf")


# ── posts ───────────────────────────────────────────────────────────────────────────────────────


def _posts(status: Row, width: int, height: int) -> RenderableType | None:
    grid = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column("", width=1)
    grid.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
    if width >= WIDE:
        grid.add_column("topic · format · hour", no_wrap=True, overflow="ellipsis", style="dim")
    for name in ("when", "likes", "replies", "views"):
        grid.add_column(name, justify="right", no_wrap=True)
    now = now_of(status)
    for post in _chosen(rows(status, "recent_posts"), height):
        grid.add_row(*_post_cells(post, now, width))
    return section("Posts", grid)


def _chosen(posts: Sequence[Row], limit: int) -> Sequence[Row]:
    """A few that come next, the nearest last, then those that are out, so that time runs upwards."""
    ahead = [post for post in posts if text(post, "state") in ("draft", "queued")]
    others = [post for post in posts if post not in ahead]
    ahead.sort(key=lambda post: max(text(post, "due_at"), text(post, "not_before")))
    room = max(limit // 4, limit - len(others), 1)
    return [*reversed(ahead[:room]), *others][:limit]


def _post_cells(post: Row, now: datetime | None, width: int) -> list[Text]:
    mark, style = _POST_MARKS.get(text(post, "state"), ("○", "dim"))
    is_out = moment(post, "published_at") is not None
    when = ago(moment(post, "published_at"), now) if is_out else ahead(turn_at(post), now)
    cells = [Text(mark, style), Text(text(post, "text", NONE), "" if is_out else "dim")]
    cells += [Text(arms(post))] if width >= WIDE else []
    figures = [Text(count(number(post, name)) if is_out else "") for name in ("likes", "replies", "views")]
    return [*cells, Text(brief(when), "dim"), *figures]


# ── learning ────────────────────────────────────────────────────────────────────────────────────


def _arms_by_dimension(status: Row) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {dimension: [] for dimension in DIMENSIONS}
    for arm in rows(table(status, "learning"), "arms"):
        if number(arm, "mean") is not None:
            found.setdefault(text(arm, "dimension", "?"), []).append(arm)
    for some in found.values():
        some.sort(key=lambda arm: (not number(arm, "pulls"), -(number(arm, "mean") or 0.0)))
    return {dimension: some for dimension, some in found.items() if some}


def _learning_rows(status: Row) -> int:
    return max((len(some) for some in _arms_by_dimension(status).values()), default=0)


def _learning(status: Row, width: int, height: int) -> RenderableType | None:
    found = _arms_by_dimension(status)
    grid = Table.grid(padding=(0, 3, 0, 0))
    cells = [_bars(some[:height], has_bars=width >= NARROW) for some in found.values()]
    grid.add_row(*cells)
    outcomes = number(table(status, "learning"), "outcomes")
    title = f"Learned from {count(outcomes)} outcomes" if outcomes is not None else "Learned"
    return section(title, grid)


def _bars(some: Sequence[Row], has_bars: bool) -> RenderableType:
    best = max((number(arm, "mean") or 0.0 for arm in some), default=0.0)
    grid = Table.grid(padding=(0, 1, 0, 0))
    for arm in some:
        mean = number(arm, "mean") or 0.0
        is_tried = bool(number(arm, "pulls"))
        name = Text(arm_name(arm), "" if is_tried else "dim", no_wrap=True)
        full = bar(mean / best if best > 0 else 0.0, BAR_CELLS).ljust(BAR_CELLS)
        shown = [Text(full, "magenta" if is_tried else "dim", no_wrap=True)] if has_bars else []
        grid.add_row(name, *shown, Text(f"{mean:.2f}", "dim"))
    return grid
