"""Renders the answers of `orchestrator ctl`: in one screen what runs, what waits, why, and what is wrong."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.parts import (
    Fitted,
    breakers,
    checks,
    contexts,
    facts,
    findings,
    headline,
    indented,
    jobs,
    posts,
    problems,
    reasons,
    stacked,
    waiting,
)
from orchestrator.terminal.words import Row, plain, rows, text


def render_status(status: Row) -> RenderableType:
    """`ctl status`: the first line is the sentence to read when there is time for one only."""

    def make(width: int) -> RenderableType:
        top = Group(headline(status), facts(status))
        parts = [top, problems(status), contexts(status, width), waiting(status, width)]
        return stacked([*parts, jobs(status, width), posts(status), findings(status), checks(status)])

    return Fitted(make)


def render_jobs(result: Row) -> RenderableType:
    """`ctl jobs`: the table of jobs, and under it what each one says about itself."""
    return Fitted(lambda width: stacked([jobs(result, width), reasons(result)]))


def render_queue(result: Row) -> RenderableType:
    """`ctl queue`: the contexts, who holds them, who waits and why."""
    none = Text("Nobody waits.", "dim") if not rows(result, "queue") else None
    return Fitted(lambda width: stacked([contexts(result, width), waiting(result, width), none]))


def render_breakers(result: Row) -> RenderableType:
    """`ctl breakers`: the state of each, since when, and what it is about."""
    return breakers(result) or Text("No outside party is set.", "dim")


def render_why(result: Row) -> RenderableType:
    """`ctl why JOB`: the reasons as sentences."""
    lines = result.get("lines")
    sentences = [plain(str(line)) for line in lines] if isinstance(lines, list) else []
    body = [indented(Text(f"• {line}")) for line in sentences]
    return Group(Text(text(result, "job", "?"), "bold"), *body)


def render_settings(settings: Sequence[tuple[str, str, str]]) -> RenderableType:
    """`check`: each setting's name, value and source; those that somebody set stand out."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("setting", "value", "from"):
        grid.add_column(title, overflow="fold")
    for name, value, source in settings:
        style = "" if source else "dim"
        grid.add_row(Text(name, style), Text(plain(value), style), Text(source or "default", "dim"))
    return grid
