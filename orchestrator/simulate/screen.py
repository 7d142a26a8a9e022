"""A simulation in the terminal."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from orchestrator.simulate import sheets
from orchestrator.simulate.figures import Figures, total_depth
from orchestrator.simulate.sheets import Sheet

BLOCKS = " ▁▂▃▄▅▆▇█"
POINTS = 56
"""Of the line that shows the queue over time: an eighth of a day each, in a week."""
SPARE_OF_LANES = ("expired", "revoked", "lost", "called back", "p99")
SPARE_OF_JOBS = ("p95 wait", "retried", "called back", "revoked", "held", "given up", "priority")
"""Columns that go, one by one, when there is no room for all; page and JSON have them."""


def render_figures(figures: Figures) -> RenderableType:
    """What `orchestrator simulate` prints."""
    return Group(
        Text(sheets.title(figures), "bold"),
        Text(sheets.summary(figures)),
        Text(figures.about, "dim"),
        Text(),
        _Fitted(sheets.lanes(figures), SPARE_OF_LANES),
        Text(),
        Text.assemble(("queue over time ", "dim"), _line(total_depth(figures))),
        Text(),
        _Fitted(sheets.jobs(figures), SPARE_OF_JOBS),
        Text(),
        Text(sheets.EXPLAINED, "dim"),
    )


class _Fitted:
    """A sheet with as many of its columns as there is room for."""

    def __init__(self, sheet: Sheet, spare: Sequence[str]) -> None:
        self._sheet = sheet
        self._spare = spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sheet, unbounded = self._sheet, options.update(width=10_000)
        for name in self._spare:
            if Measurement.get(console, unbounded, _grid(sheet)).maximum <= options.max_width:
                break
            sheet = sheet.without(name)
        yield _grid(sheet)


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
    if not any(depths):
        return "nobody waits"
    size = max(1, len(depths) // POINTS)
    means = [sum(depths[n : n + size]) / size for n in range(0, len(depths), size)]
    top = max(means)
    return "".join(BLOCKS[round(mean / top * (len(BLOCKS) - 1))] for mean in means)
