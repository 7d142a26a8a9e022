"""Renders `ctl alerts`."""

from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import now_of, section, stacked
from orchestrator.terminal.words import Row, ago, duration, moment, number, rows, text

_STYLES = {"critical": "bold red", "warning": "yellow"}


def render_alerts(result: Row) -> RenderableType:
    """The alerts that last or whose end is still to be told, and what each destination knows of them."""
    now, grid = now_of(result), Table.grid(padding=(0, 2, 0, 0))
    for alert in rows(result, "alerts"):
        grid.add_row(
            Text(text(alert, "severity"), _STYLES.get(text(alert, "severity"), "")), _line(alert, now)
        )
    names = [f"{text(one, 'name')} ({text(one, 'severity')})" for one in rows(result, "destinations")]
    told = f"Told: {', '.join(names)}" if names else "No destination is set; alerts are shown here alone."
    none = Text("No alert.") if not grid.row_count else None
    return stacked([section("Alerts", grid), none, Text(told, "dim")])


def _line(alert: Row, now: datetime | None) -> Text:
    line = Text(text(alert, "what", "?"), "bold")
    since, over = moment(alert, "since"), moment(alert, "cleared_at")
    if over is not None:
        line.append(f"  over {ago(over, now)}", "not bold green")
    elif since is not None and now is not None:
        line.append(f"  for {duration((now - since).total_seconds())}", "not bold dim")
    if text(alert, "remedy") and over is None:
        line.append(f"\n→ {text(alert, 'remedy')}", "not bold")
    for delivery in rows(alert, "deliveries"):
        line.append(f"\n{text(delivery, 'destination', '?')}: {_delivery(delivery, now)}", "not bold dim")
    return line


def _delivery(delivery: Row, now: datetime | None) -> str:
    """What one destination knows."""
    told, over = moment(delivery, "told_at"), moment(delivery, "over_at")
    if over is not None:
        said = f"knows that it is over, {ago(over, now)}"
    else:
        said = f"told {ago(told, now)}" if told is not None else "not told yet"
    tries = number(delivery, "tries")
    return f"{said}; {tries:.0f} tries failed" if tries else said
