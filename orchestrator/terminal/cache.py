"""`ctl cache`: where values are, and how often they were found."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import stacked
from orchestrator.terminal.words import NONE, Row, count, duration, number, rows, table, text


def render_cache(result: Row) -> RenderableType:
    """A line for the store, and one for each namespace."""
    cache = table(result, "cache")
    size_mb = (number(cache, "size_bytes") or 0) / 1e6
    head = Text(f"Cache: {text(cache, 'place', NONE)}, ", "bold")
    head.append(f"{count(number(cache, 'entries'))} values, {size_mb:.1f} MB", "not bold")
    if connections := number(cache, "connections"):
        head.append(f", {count(connections)} connections", "not bold")
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("namespace", "kept for", "hits", "misses", "hit rate"):
        grid.add_column(name, no_wrap=True)
    for space in rows(cache, "namespaces"):
        rate = number(space, "hit_rate")
        grid.add_row(
            text(space, "name", "?"),
            duration(number(space, "level_s")),
            count(number(space, "hits")),
            count(number(space, "misses")),
            NONE if rate is None else f"{rate:.0%}",
        )
    return stacked([head, grid])
