"""`ctl watch`: the house as it is now. On a screen a standing picture, else what happens, a line each."""

from rich.console import Group, RenderableType
from rich.rule import Rule

from orchestrator.terminal.panel import allot, job_rank
from orchestrator.terminal.parts import (
    Fitted,
    contexts,
    facts,
    headline,
    jobs,
    now_of,
    stacked,
    waiting,
)
from orchestrator.terminal.words import Row, rows

ROOM_FOR_EVENTS = 3
"""Rows of the terminal that are left to what goes by above the picture."""
TOP = 4
"""Rows of the line above all, of the sentence and of the facts; each of the latter may need a second one."""
FRAMES = (2, 2, 6)
"""What a section takes besides its rows: a blank line and a heading; of the jobs up to four more."""
ROWS_OF_A_WAITER = 2
LOST = "the connection to the daemon is lost"


def render_watch(status: Row, height: int) -> RenderableType:
    """One sentence, contexts, queue and jobs, as far as they fit into `height` rows."""
    return Fitted(lambda width: _picture(status, width, height - ROOM_FOR_EVENTS))


def lost(status: Row) -> Row:
    """The last status, when nobody tells what has become of it."""
    problem = {"what": LOST, "since": None, "remedy": "It is tried again by itself"}
    summary = "The connection to the daemon is lost, and tried again by itself. Below: how things were."
    return {**status, "summary": summary, "problems": [*rows(status, "problems"), problem]}


def _picture(status: Row, width: int, height: int) -> RenderableType:
    top = Group(Rule(style="dim"), headline(status), facts(status))
    slots, queue, listed = (rows(status, key) for key in ("slots", "queue", "jobs"))
    wanted = (len(slots), len(queue) * ROWS_OF_A_WAITER, len(listed))
    given = allot(height - TOP, wanted, FRAMES, least=(2, ROWS_OF_A_WAITER, 3), most=wanted)
    now = now_of(status)
    shown = {
        **status,
        "slots": slots[: given[0]],
        "queue": queue[: given[1] // ROWS_OF_A_WAITER],
        "jobs": sorted(listed, key=lambda job: job_rank(job, now))[: given[2]],
    }
    held, queued = contexts(shown, width, is_cut=True), waiting(shown, width, is_cut=True)
    return stacked([top, held, queued, jobs(shown, width)])
