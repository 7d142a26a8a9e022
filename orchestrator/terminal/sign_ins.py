"""`ctl accounts --watch`: how far the first sign-ins have come, until there is none to come."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.terminal.words import number, plain, rows, table, text

EVERY_S = 2.0
BARRED_SHOWN = 20_000

Ask = Callable[..., Any]
"""Asks the daemon: a verb and its arguments."""


def watch_sign_ins(
    ask: Ask, console: Console, pause: Callable[[], None] = lambda: time.sleep(EVERY_S)
) -> bool:
    """Show a bar, or without a terminal a line at each change; whether every account is signed in at the end.

    The daemon signs in by itself: who stops watching stops nothing, and who watches again sees the rest.
    """
    columns = (TextColumn("signed in"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    says = TextColumn("{task.description}", style="dim")
    before = None
    with Progress(*columns, says, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        while True:
            counts = table(ask("accounts", limit=1), "sign_ins")
            done, to_come, barred = (int(number(counts, name) or 0) for name in _COUNTS)
            bar.update(task, completed=done, total=done + to_come + barred, description=_onboarding(ask))
            bar.refresh()
            if not console.is_terminal and (done, to_come) != before:
                console.print(f"{done} of {done + to_come + barred} signed in", highlight=False)
            before = (done, to_come)
            if not to_come:
                break
            pause()
    console.print(_verdict(ask, done, barred), highlight=False)
    return not barred


_COUNTS = ("signed_in", "to_come", "barred")


def _onboarding(ask: Ask) -> str:
    """What the job that signs in does now: also that it is paused."""
    lines = ask("why", job="onboarding").get("lines") or [""]
    return plain(str(lines[0]))


def _verdict(ask: Ask, done: int, barred: int) -> str:
    if not barred:
        return f"All {done} accounts are signed in."
    found = rows(ask("accounts", limit=BARRED_SHOWN), "accounts")
    names = [text(row, "name") for row in found if row.get("signed_in_at") is None]
    way = f"See: orchestrator ctl accounts {names[0]}" if names else ""
    return f"{done} accounts are signed in; {barred} can't be: {', '.join(names)}. {way}"
