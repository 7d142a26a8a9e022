"""Renders `ctl accounts`."""

from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import section, stacked
from orchestrator.terminal.words import NONE, Row, ago, count, moment, number, plain, rows, table, text

ACTIONS = ("posts", "replies", "sign_ins", "visits")


def render_accounts(result: Row) -> RenderableType:
    """A line for each account, and below them what stands in whose way."""
    now, least = moment(result, "now"), number(result, "min_health") or 0.0
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("account", "site", "signed in", "health", *ACTIONS, "followers"):
        is_word = name in ("account", "site", "signed in")
        grid.add_column(name.replace("_", "-"), justify="left" if is_word else "right", no_wrap=True)
    obstacles = Table.grid(padding=(0, 2, 0, 0))
    for account in rows(result, "accounts"):
        grid.add_row(*_cells(account, now, least))
        why = account.get("why")
        if isinstance(why, list) and why:
            lines = "\n".join(plain(str(line)) for line in why)
            obstacles.add_row(Text(text(account, "name", "?"), "bold"), Text(lines))
    if not grid.row_count:
        return Text("No account: add accounts to the settings; see docs/accounts.md")
    more = number(result, "more")
    rest = Text(f"And {count(more)} more: orchestrator ctl accounts --limit N", "dim") if more else None
    return stacked([grid, rest, section("In the way", obstacles)])


def _cells(account: Row, now: datetime | None, least: float) -> list[Text]:
    signed_in_at, health = moment(account, "signed_in_at"), number(account, "health")
    is_low = health is not None and health < least
    followers = number(table(account, "figures"), "followers")
    return [
        Text(text(account, "name", "?"), "bold"),
        Text(text(account, "site", NONE)),
        Text("never", "yellow") if signed_in_at is None else Text(ago(signed_in_at, now)),
        Text(NONE if health is None else f"{health:.0f}", "red" if is_low else ""),
        *(_used(table(table(account, "today"), action)) for action in ACTIONS),
        Text(NONE if followers is None else f"{followers:.0f}"),
    ]


def _used(today: Row) -> Text:
    """How much of the day's limit is used."""
    used, limit = number(today, "count"), number(today, "limit")
    if used is None or limit is None:
        return Text(NONE)
    return Text(f"{used:.0f}/{limit:.0f}", "yellow" if used >= limit else "")
