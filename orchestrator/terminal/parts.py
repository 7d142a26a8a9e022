"""The pieces of what a terminal shows of the status document, each made from the document alone.

Every field may be missing or null, as they are while the daemon starts; a piece that has nothing to show
is None.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.terminal.words import (
    NONE,
    Row,
    ago,
    ahead,
    count,
    duration,
    listed,
    moment,
    number,
    plain,
    rows,
    size,
    spaced,
    table,
    text,
)

WIDE = 100
"""Columns from which everything is shown."""
NARROW = 70
"""Columns below which only what is needed at night is shown."""

MODE_STYLES = {"starting": "cyan", "ready": "green", "degraded": "yellow", "draining": "blue"}
_STATE_STYLES = {
    "running": "green",
    "queued": "cyan",
    "waiting": "",
    "paused": "yellow",
    "backing_off": "yellow",
    "failed": "bold red",
    "off": "dim",
}
_ENDING_STYLES = {"done": "green", "nothing_to_do": "dim", "retry": "yellow", "given_up": "red"}
_BREAKER_STYLES = {"closed": "green", "open": "bold red", "forced_open": "bold red"}
POST_STYLES = {"ambiguous": "yellow", "failed": "red", "published": "green"}


class Fitted:
    """Something that is made for the width it is shown in."""

    def __init__(self, make: Callable[[int], RenderableType]) -> None:
        self._make = make

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._make(options.max_width)


# ── parts ───────────────────────────────────────────────────────────────────────────────────────


def headline(status: Row) -> Text:
    """The summary sentence behind a mark in the mode's colour."""
    mode = text(status, "mode", "unknown")
    style = MODE_STYLES.get(mode, "magenta")
    mark = "‖ " if status.get("is_paused") else "● "
    return Text.assemble((mark, style), (text(status, "summary", f"The daemon is {mode}."), f"bold {style}"))


def facts(status: Row) -> RenderableType:
    """Version, process, age, clock and memory in one dim line."""
    memory = table(status, "memory")
    used = {name.removesuffix("_bytes"): number(memory, name) for name in memory}
    pid, uptime_s = number(status, "pid"), number(status, "uptime_s")
    words = [
        f"orchestrator {text(status, 'version')}".rstrip(),
        f"pid {pid:.0f}" if pid is not None else "",
        f"up {duration(uptime_s)}" if uptime_s is not None else "",
        clock(status),
        ", ".join(f"{part} {size(count)}" for part, count in used.items() if count),
        "everything paused" if status.get("is_paused") else "",
    ]
    return indented(Text(listed(words), "dim"))


def clock(status: Row) -> str:
    """The daemon's time of day, with its speed when it is not the machine's."""
    now, speed = now_of(status), number(table(status, "clock"), "speed")
    if now is None:
        return ""
    return f"{now:%a %H:%M} {now.tzname()}" if _is_real(status) else f"{now:%a %H:%M} at {speed:g}× speed"


def now_of(status: Row) -> datetime | None:
    return moment(table(status, "clock"), "now")


def problems(status: Row) -> RenderableType | None:
    """What is wrong, since when, and what to do about it."""
    grid = _grid()
    now = now_of(status)
    for problem in rows(status, "problems"):
        since = moment(problem, "since")
        line = Text(text(problem, "what", "unknown problem"), "bold")
        if since is not None and now is not None:
            line.append(f"  for {duration((now - since).total_seconds())}", "not bold dim")
        remedy = text(problem, "remedy")
        if remedy:
            line.append(f"\n→ {remedy}", "not bold")
        grid.add_row(Text("✗", "bold red"), line)
    return section("Problems", grid, "bold red")


def contexts(status: Row, width: int, is_cut: bool = False) -> RenderableType | None:
    """Each context: free, broken, or who holds it and for how long; one line each when `is_cut`."""
    grid = _grid()
    for slot in rows(status, "slots"):
        lease = _lease(slot, width)
        grid.add_row(Text(text(slot, "slot", "?"), "dim"), _slot_state(slot), cut(lease) if is_cut else lease)
    return section("Contexts", grid)


def _slot_state(slot: Row) -> Text:
    state = text(slot, "state", NONE)
    style = {"leased": "green", "broken": "red", "free": "dim"}.get(state, "")
    return Text({"leased": "in use"}.get(state, state), style)


def _lease(slot: Row, width: int) -> Text:
    lease = table(slot, "lease")
    reserved = text(slot, "reserved_for")
    if not lease:
        # Not the empty text: rich cuts the other columns by the padding of one without width.
        return Text(f"kept for {reserved} work" if reserved else " ", "dim")
    line = Text(text(lease, "holder", "?"), "bold")
    held = f"for {duration(number(lease, 'held_s'))}"
    if number(lease, "max_hold_s") is not None:
        held += f" of {duration(number(lease, 'max_hold_s'))}"
    line.append(f"  {held}", "not bold")
    if width >= NARROW:
        line.append(f"  {_lane(lease)}", "not bold dim")
    if lease.get("is_borrowed"):
        line.append("  borrowed", "not bold dim")
    if lease.get("is_called_back"):
        line.append("  called back", "not bold yellow")
    return line


def _lane(row: Row) -> str:
    priority = number(row, "priority")
    lane = text(row, "lane")
    return f"{lane} {priority:.0f}".strip() if priority is not None else lane


def waiting(status: Row, width: int, is_cut: bool = False) -> RenderableType | None:
    """Who waits for a context, in the order in which they go, and why; two lines each when `is_cut`."""
    grid = _grid()
    for place, waiter in enumerate(rows(status, "queue"), start=1):
        line = Text(text(waiter, "holder", "?"), "bold")
        line.append(f"  {duration(number(waiter, 'waited_s'))}", "not bold")
        if width >= NARROW:
            line.append(f"  {_lane(waiter)}", "not bold dim")
        if text(waiter, "why"):
            line.append(f"\n{text(waiter, 'why')}", "not bold")
        grid.add_row(Text(str(place), "dim"), cut(line) if is_cut else line)
    return section("Waiting for a context", grid)


def jobs(status: Row, width: int) -> RenderableType | None:
    """The jobs' table: state, last ending, next run, counts."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    names = ["job", "state", "last run", "next"] + (["runs"] if width >= WIDE else [])
    for name in names:
        grid.add_column(name, no_wrap=name != "runs", overflow="ellipsis")
    now = now_of(status)
    for job in rows(status, "jobs"):
        cells = [Text(text(job, "name", "?"), "bold"), job_state(job, now, width), _last(job, now, width)]
        cells.append(Text(ahead(moment(job, "next_at"), now)))
        cells += [_runs(job)] if width >= WIDE else []
        grid.add_row(*cells)
    return section("Jobs", Group(grid, _scales(status)) if grid.row_count and not _is_real(status) else grid)


def _scales(status: Row) -> Text:
    """Which times are of the daemon's own clock, where that is not the machine's."""
    speed = number(table(status, "clock"), "speed")
    return Text(
        f"By the daemon's clock, {speed:g}× as fast as yours: “ago”, “in”, how long a state lasts. "
        "In real seconds: “took”, waits and holds.",
        "dim",
    )


def _is_real(status: Row) -> bool:
    """Whether the daemon's clock is the machine's."""
    return number(table(status, "clock"), "speed") in (None, 1.0)


def job_state(job: Row, now: datetime | None, width: int = WIDE) -> Text:
    """The state as words, and for how long it has lasted where that says something."""
    state = text(job, "state", NONE)
    since = moment(job, "since")
    line = Text(spaced(state), _STATE_STYLES.get(state, ""))
    if state not in ("waiting", "off", NONE) and since is not None and now is not None and width >= NARROW:
        line.append(f" {duration((now - since).total_seconds())}", "not bold dim")
    return line


def _last(job: Row, now: datetime | None, width: int) -> Text:
    last = table(job, "last")
    ending = text(last, "ending")
    if not ending:
        is_known = "last" in job and text(job, "state") != "off"
        return Text("never" if is_known else NONE, "dim")
    line = Text(spaced(ending), _ENDING_STYLES.get(ending, ""))
    if moment(last, "at") is not None and now is not None:
        line.append(f"  {ago(moment(last, 'at'), now)}", "dim")
    if width >= WIDE and number(last, "duration_s") is not None:
        line.append(f", took {duration(number(last, 'duration_s'))}", "dim")
    return line


def _runs(job: Row) -> Text:
    counts = {ending: number(table(job, "runs"), ending) for ending in table(job, "runs")}
    words = [f"{count(times)} {plain(spaced(ending))}" for ending, times in counts.items() if times]
    return Text(listed(words) or NONE, "dim")


def reasons(result: Row) -> RenderableType | None:
    """What each job says about itself, and the detail of its last run."""
    grid = _grid()
    for job in rows(result, "jobs"):
        detail = text(table(job, "last"), "detail")
        if text(job, "why") or detail:
            line = Text(text(job, "why"))
            line.append(f"\nlast: {detail}" if text(job, "why") and detail else detail, "dim")
            grid.add_row(Text(text(job, "name", "?"), "bold"), line)
    return section("Why", grid)


def breakers(result: Row) -> RenderableType | None:
    """Each breaker: its state, for how long, when its party is asked again, and the latest failure."""
    grid = _grid()
    for breaker in rows(result, "breakers"):
        state = text(breaker, "state", NONE)
        line = Text(spaced(state), _BREAKER_STYLES.get(state, "yellow"))
        line.append(f" for {duration(number(breaker, 'in_state_s'))}", "not bold dim")
        if text(breaker, "forced_by"):
            line.append(f"  by order of {text(breaker, 'forced_by')}", "not bold")
        if next_s := number(breaker, "next_probe_in_s"):
            line.append(f"  asked again in {duration(next_s)}", "not bold")
        if failures := number(breaker, "failures"):
            line.append(f"  failures in a row: {count(failures)}", "not bold")
        if text(breaker, "last_error"):
            line.append(f"\nlatest failure: {text(breaker, 'last_error')}", "not bold dim")
        grid.add_row(Text(text(breaker, "name", "?"), "bold"), line)
    return section("Breakers", grid)


def posts(status: Row) -> RenderableType | None:
    """How many posts stand in each state."""
    line = post_counts(status)
    return section("Posts", line) if line else None


def findings(status: Row) -> RenderableType | None:
    """What the daily comparisons with the sites found that nobody has to do anything about."""
    grid = _grid()
    now = now_of(status)
    for found in rows(status, "findings"):
        lines = found.get("lines")
        said = "\n".join(plain(str(line)) for line in lines) if isinstance(lines, list) else ""
        line = Text(said)
        line.append(f"  {ago(moment(found, 'at'), now)}", "dim")
        grid.add_row(Text(text(found, "account", "?"), "bold"), line)
    return section("Site against database", grid)


def post_counts(status: Row) -> Text:
    """The states that have posts, in one line; empty while nothing is known."""
    counts = table(status, "posts")
    line = Text()
    for state in counts:
        if number(counts, state):
            said = f"{count(number(counts, state))} {plain(str(state))}"
            line.append(" · " if line else "", "dim").append(said, POST_STYLES.get(state, ""))
    return line if line or not counts else Text("none yet", "dim")


def checks(status: Row) -> RenderableType | None:
    """Every check with its mark; those that do not hold with detail and remedy."""
    names, line = rows(status, "checks"), Text()
    for check in names:
        mark, style = {"up": ("✓", "green"), "down": ("✗", "red")}.get(text(check, "state"), ("…", "cyan"))
        line.append("   " if line else "").append(mark, style).append(f" {text(check, 'name', '?')}")
        line.append(f" {duration(number(check, 'duration_s'))}", "dim")
    grid = _grid()
    for check in names:
        if text(check, "state") == "down":
            said = listed([text(check, "detail"), text(check, "remedy")])
            grid.add_row(Text(text(check, "name", "?"), "red"), Text(said))
    return section("Checks", Group(line, grid) if grid.row_count else line) if names else None


# ── layout ──────────────────────────────────────────────────────────────────────────────────────


def _grid() -> Table:
    return Table.grid(padding=(0, 2, 0, 0))


def cut(line: Text) -> Text:
    """The text on one line, with an ellipsis where it does not fit."""
    line.no_wrap = True
    line.overflow = "ellipsis"
    return line


def section(title: str, body: Table | RenderableType, style: str = "bold") -> RenderableType | None:
    """A heading with its body under it; nothing when the body is an empty table."""
    if isinstance(body, Table) and not body.row_count:
        return None
    return Group(Text(title, style), indented(body))


def indented(body: RenderableType) -> Padding:
    """The body two columns in."""
    return Padding(body, (0, 0, 0, 2), expand=False)


def stacked(parts: Sequence[RenderableType | None]) -> Group:
    """The parts that are there, with a blank line between them."""
    there = [part for part in parts if part is not None]
    return Group(*(piece for part in there for piece in (part, Text())[: 1 if part is there[-1] else 2]))
