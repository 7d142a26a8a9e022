"""Renders `ctl opportunities`."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import section, stacked
from orchestrator.terminal.words import Row, ago, bar, count, moment, number, rows, text

SHOWN = 100
"""Characters of a post."""


def render_opportunities(result: Row) -> RenderableType:
    """How many there are, and the best with score, author, words and why."""
    counts = result.get("counts")
    shares = counts if isinstance(counts, dict) else {}
    said = ", ".join(f"{count(number(shares, state))} {state}" for state in shares)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("score", "", "post", "by", "age", "says", "why"):
        grid.add_column(name, justify="right" if name == "score" else "left", no_wrap=name in ("post", "age"))
    now = moment(result, "now")
    for one in rows(result, "opportunities"):
        score = number(one, "relevance") or 0.0
        words = " ".join(text(one, "text").split())
        grid.add_row(
            f"{score:.2f}",
            bar(score, 8),
            text(one, "reference"),
            text(one, "author"),
            ago(moment(one, "posted_at"), now),
            words if len(words) <= SHOWN else f"{words[:SHOWN]}…",
            Text(text(one, "why"), "dim"),
        )
    none = Text("None is open: the job harvester looks for them where a site's profile has lists.", "dim")
    return stacked([Text(said), section("Best of the open ones", grid) or none])
