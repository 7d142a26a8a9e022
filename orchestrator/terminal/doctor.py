"""What `orchestrator doctor` has found, for a person."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.model import CheckState
from orchestrator.terminal.words import Row, plain, rows, table, text

MARKS: dict[str, tuple[str, str]] = {"up": ("✔", "green"), "pending": ("·", "dim"), "down": ("✘", "red")}


def render_report(report: Row) -> RenderableType:
    """A line for each part, below it what to do when it is not well; last what follows."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    grid.add_column()
    grid.add_column()
    grid.add_column(overflow="fold")
    for check in rows(report, "checks"):
        mark, style = MARKS.get(text(check, "state"), ("?", ""))
        grid.add_row(Text(mark, style), Text(text(check, "name"), "bold"), Text(text(check, "detail")))
        _add_remedy(grid, check)
    for problem in rows(report, "problems"):
        grid.add_row(Text("✘", "red"), Text(text(problem, "name"), "bold"), Text(text(problem, "what")))
        _add_remedy(grid, problem)
    return Group(_beginning(report), grid, _end(report))


def _add_remedy(grid: Table, row: Row) -> None:
    words = [text(row, key) for key in ("remedy", "runbook") if text(row, key)]
    if row.get("state") != CheckState.UP and words:
        grid.add_row("", "", Text(f"→ {'; see '.join(words)}", "yellow"))


def _beginning(report: Row) -> Text:
    daemon = table(report, "daemon")
    if not daemon:
        return Text("No daemon runs: each part was tried.\n", "dim")
    said = f"A daemon runs (pid {text(daemon, 'pid')}) and is {text(daemon, 'mode')}: this is what it says.\n"
    return Text(plain(said).strip() + "\n", "dim")


def _end(report: Row) -> Text:
    found: list[Any] = [*rows(report, "checks"), *rows(report, "problems")]
    bad = [row for row in found if row.get("state") != CheckState.UP]
    if report.get("is_well"):
        return Text("\nAll is well.", "green")
    return Text(f"\n{len(bad)} of {len(found)} are not well." if bad else "\nIt is not ready.", "red")
