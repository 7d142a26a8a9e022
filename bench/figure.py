"""What a measurement hands back, and how all of them are printed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Aim:
    """A limit that the figure should keep; `is_floor` when more is better."""

    limit: float
    unit: str = "×"
    is_floor: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.is_floor else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.is_floor else '≤'} {self.limit:g}{_spaced(self.unit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    value: float
    ours: str
    """Our own side of the comparison, with its unit."""
    beside: str = ""
    """What it is compared with, measured in the same run."""
    aim: Aim | None = None
    unit: str = "×"
    decimals: int = 2

    @property
    def shown(self) -> str:
        return f"{self.value:.{self.decimals}f}{_spaced(self.unit)}"

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        return "yes" if self.aim.holds(self.value) else "no"


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one module, and what to know about how they came about."""

    figures: Sequence[Figure]
    notes: Sequence[str] = field(default=())


def ratio(ours: Sequence[float], beside: Sequence[float]) -> float:
    """The median of the rounds' own ratios: both sides of a round see the same load of the machine."""
    return median(one / other for one, other in zip(ours, beside, strict=True))


def spread(values: Sequence[float], scale: float = 1.0, decimals: int = 2) -> str:
    """Median, and in brackets the range, each multiplied by `scale`."""
    low, middle, high = (f"{scale * x:.{decimals}f}" for x in (min(values), median(values), max(values)))
    return f"{middle} ({low}–{high})"


def _spaced(unit: str) -> str:
    return unit if unit in ("×", "") else f" {unit}"


COLUMNS = ("figure", "aim", "met", "what", "ours", "next to")


def print_figures(figures: Sequence[Figure], console: Console) -> None:
    table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold")
    for figure in figures:
        table.add_row(*_cells(figure))
    console.print(table)


def as_markdown(figures: Sequence[Figure]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(figure: Figure) -> tuple[str, ...]:
    aim = str(figure.aim) if figure.aim is not None else ""
    return figure.shown, aim, figure.verdict, figure.what, figure.ours, figure.beside
