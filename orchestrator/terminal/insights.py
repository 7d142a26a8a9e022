"""Renders `ctl insights`."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import section, stacked
from orchestrator.terminal.words import NONE, Row, ago, bar, count, moment, number, rows, text

DIMENSIONS = ("format", "opening", "length", "hour", "topic")
SHOWN = 8
"""Values of one dimension; hours all."""


def render_insights(result: Row) -> RenderableType:
    """What was found, in sentences, and below it the figures of each choice."""
    now = moment(result, "now")
    found = Table.grid(padding=(0, 2, 0, 0))
    for one in rows(result, "findings"):
        whose = text(one, "account") or f"all of {text(one, 'site', NONE)}"
        style = "green" if (number(one, "effect") or 0.0) > 0 else "yellow"
        found.add_row(
            Text("▲" if style == "green" else "▼", style),
            Text(text(one, "statement")),
            Text(f"{whose}, since {ago(moment(one, 'since'), now)}", "dim"),
        )
    none = Text(
        "Nothing was found yet: it takes 24 settled posts, and a difference that is no chance.", "dim"
    )
    days = f"the last {count(number(result, 'days'))} days"
    sums = [section(f"By {name}, {days}", _sums(result, name)) for name in DIMENSIONS]
    return stacked([section("What works", found) or none, *sums])


def _sums(result: Row, dimension: str) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in (dimension, "posts", "rank", "", "likes a post", "replies a post", "views a post"):
        grid.add_column(name, justify="left" if name in (dimension, "") else "right")
    listed = [one for one in rows(result, "sums") if text(one, "dimension") == dimension]
    if dimension == "hour":
        listed.sort(key=lambda one: int(text(one, "value", "0")))
    for one in listed if dimension == "hour" else listed[:SHOWN]:
        posts = number(one, "posts") or 1.0
        score = number(one, "score") or 0.0
        each = [f"{(number(one, name) or 0.0) / posts:.1f}" for name in ("likes", "replies", "views")]
        value = text(one, "value") + (":00" if dimension == "hour" else "")
        grid.add_row(value, count(posts), f"{score * 100:.0f}", bar(score, 10), *each)
    return grid
