"""Renders `ctl budget`."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import section, stacked
from orchestrator.terminal.words import Row, count, duration, number, rows, spaced, text


def render_budget(result: Row) -> RenderableType:
    """What is left, what may be asked for, where the money went, and when failures came."""
    if not result.get("is_set"):
        return Text("No language model is set: texts come from files and templates. See docs/budget.md.")
    days = text(result, "days")
    return stacked(
        [
            _standing(result),
            section(f"Spent by operation, {days} days", _spent(rows(result, "by_operation"), "")),
            section("Spent by hour of the day, UTC", _spent(rows(result, "by_hour"), ":00")),
            _failures(result),
        ]
    )


def _standing(result: Row) -> RenderableType:
    left, budget = number(result, "left") or 0.0, number(result, "budget") or 0.0
    share = number(result, "left_share") or 0.0
    line = Text(f"{left:.4g} of {budget:.4g} is left today ({share:.0%}): tier {text(result, 'tier')}. ")
    posts, pause_s = number(result, "posts_a_run") or 0, number(result, "pause_s") or 0
    line.append(f"plan has {text(result, 'model')} write {posts:.0f} a run and account")
    line.append(f", every {duration(int(pause_s))}." if pause_s else ", in each run.")
    said = f"{text(result, 'said')}."
    return stacked([line, Text(said, "red" if result.get("is_out") else "dim")])


def _spent(found: list[Row], after: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for one in found:
        failed = number(one, "failed") or 0
        grid.add_row(
            text(one, "what") + after,
            f"{number(one, 'cost') or 0.0:.6f}",
            f"{count(number(one, 'calls'))} calls",
            Text(f"{count(failed)} failed", "yellow") if failed else "",
        )
    return grid


def _failures(result: Row) -> RenderableType | None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for one in rows(result, "failures"):
        grid.add_row(spaced(text(one, "kind")), count(number(one, "count")))
    listed = result.get("patterns")
    for pattern in listed if isinstance(listed, list) else []:
        grid.add_row("pattern", Text(str(pattern), "yellow"))
    return section("Failures", grid)
