"""Figures as words; a wait is told to the second, since a minute decides."""

NONE = "–"
"""Stands for nothing, so that what there is stands out."""


def wait(seconds: float) -> str:
    """Two units at most: 0 s, 0.4 s, 42 s, 1 min, 3 min 05 s, 1 h 12 min."""
    if 0.05 <= seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"


def share(part: float) -> str:
    """A share as a percentage, such as 45 %."""
    return f"{part:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def number(value: float) -> str:
    """A count, such as 12 or 12 345."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if value else NONE
