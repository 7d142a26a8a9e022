"""A simulation in the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.simulate import sheets
from orchestrator.simulate.figures import Figures, total_depth
from orchestrator.simulate.sheets import Sheet

BLOCKS = " ▁▂▃▄▅▆▇█"
TOO_MUCH = ("p95 wait", "called back", "retried")
"""Columns of the jobs that a terminal has no room for; page and JSON have them."""
POINTS = 56
"""Of the line that shows the queue over time: an eighth of a day each, in a week."""


def render_figures(figures: Figures) -> RenderableType:
    """What `orchestrator simulate` prints."""
    return Group(
        Text(sheets.title(figures), "bold"),
        Text(sheets.summary(figures)),
        Text(figures.about, "dim"),
        Text(),
        _grid(sheets.lanes(figures)),
        Text(),
        Text.assemble(("queue over time ", "dim"), _line(total_depth(figures))),
        Text(),
        _grid(sheets.jobs(figures).without(*TOO_MUCH)),
        Text(),
        Text(sheets.EXPLAINED, "dim"),
    )


def _grid(sheet: Sheet) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(sheet.columns):
        grid.add_column(
            name, justify="right" if number else "left", style="" if number else "bold", no_wrap=True
        )
    for row in sheet.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def _line(depths: list[float]) -> str:
    """One sign for each stretch of time: its mean depth, as a share of the deepest stretch."""
    size = max(1, len(depths) // POINTS)
    means = [sum(depths[n : n + size]) / size for n in range(0, len(depths), size)]
    top = max(means) or 1.0
    return "".join(BLOCKS[round(mean / top * (len(BLOCKS) - 1))] for mean in means)
