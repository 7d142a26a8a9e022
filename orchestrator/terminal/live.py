"""The live view of the demo, and of `ctl watch`: events go by above, and below them stands how things are.

Where the output is no terminal there are only the events, one a line.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.terminal.events import Event, Watcher
from orchestrator.terminal.panel import render_panel
from orchestrator.terminal.parts import now_of
from orchestrator.terminal.words import Row

log = structlog.get_logger("terminal")

REFRESH_S = 0.5
LAST_FRAME_S = 1.0
"""What a terminal gets for its last frame; one that is stopped (Ctrl-S) must not hold up the end."""

_MARKS = {
    "good": ("●", "green"),
    "post": ("▸", "green"),
    "learned": ("◆", "magenta"),
    "warning": ("!", "yellow"),
    "bad": ("✗", "bold red"),
    "quiet": ("·", "dim"),
}


async def show_live(
    read: Callable[[], Row],
    *,
    console: Console | None = None,
    is_plain: bool = False,
    panel: Callable[[Row, int], RenderableType] = render_panel,
    refresh_s: float = REFRESH_S,
) -> None:
    """Show what `read` says, a status document, until cancelled, or until the terminal is gone.

    The document may have `links`, addresses by name, which are told once. `panel` makes what stands
    below, for so many rows.

    `is_plain` gives events only, in a terminal too. All writing happens in a worker thread: a terminal
    that is slow or stopped holds up this view and nothing else.
    """
    console = console or Console()
    screen = _Screen(console, is_plain or not console.is_terminal, panel)
    try:
        while True:
            await trio.to_thread.run_sync(screen.show, read(), abandon_on_cancel=True)
            await trio.sleep(refresh_s)
    except OSError as error:
        log.info("terminal_gone", reason=str(error))
    except Exception:
        log.exception("live_view_failed")  # the daemon itself goes on
    finally:
        with trio.move_on_after(LAST_FRAME_S, shield=True):
            await trio.to_thread.run_sync(screen.close, abandon_on_cancel=True)


class _Screen:
    """What is drawn, and where. The lock keeps a frame that comes late from following the last one."""

    def __init__(self, console: Console, is_plain: bool, panel: Callable[[Row, int], RenderableType]) -> None:
        self._console = console
        self._panel = panel
        self._watcher = Watcher()
        self._live = None if is_plain else Live(console=console, auto_refresh=False)
        self._lock = threading.Lock()
        self._is_closed = False

    def show(self, status: Row) -> None:
        """Print what happened since the frame before, and draw the panel anew. Blocks.

        Raises OSError when the terminal is gone.
        """
        with self._lock:
            if self._is_closed:
                return
            try:
                self._draw(status)
            except SystemExit as error:  # what rich makes of a broken pipe
                raise BrokenPipeError("nobody reads the output any more") from error

    def _draw(self, status: Row) -> None:
        for event in self._watcher.look(status):
            self._print(event, status)
        if self._live is not None:
            self._live.start()
            self._live.update(self._panel(status, self._console.height), refresh=True)
        self._console.file.flush()

    def _print(self, event: Event, status: Row) -> None:
        now = now_of(status)
        line = Text(f"{now:%H:%M} " if now is not None else "", "dim").append_text(event_line(event))
        if self._live is None:
            self._console.print(line, soft_wrap=True)
        else:  # what is wrong is told in full; the rest stands in the panel too
            is_cut = event.kind not in ("bad", "warning")
            self._console.print(line, no_wrap=is_cut, overflow="ellipsis" if is_cut else None)

    def close(self) -> None:
        """Leave the last frame standing and give the cursor back. Blocks."""
        with self._lock:
            self._is_closed = True
            if self._live is not None:
                with suppress(OSError, SystemExit):  # there is no terminal left to tidy up
                    self._live.stop()


def event_line(event: Event) -> Text:
    mark, style = _MARKS.get(event.kind, ("·", ""))
    line = Text.assemble((f"{mark} ", style), event.line)
    if event.detail:
        line.append(f"  {event.detail}", "dim")
    return line
