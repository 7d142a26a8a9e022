import io
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from rich.console import Console
from structlog.testing import capture_logs

from orchestrator.terminal import live, show_live
from tests.terminal.document import at, busy, post


class Screen(io.StringIO):
    """A file that says when a text was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[str, trio.Event, trio.lowlevel.TrioToken]] = []

    def write(self, text: str) -> int:
        length = super().write(text)
        for wanted, event, token in self._waiting:
            if wanted in self.getvalue():
                token.run_sync_soon(event.set)
        return length

    async def wait_for(self, text: str) -> None:
        event = trio.Event()
        self._waiting.append((text, event, trio.lowlevel.current_trio_token()))
        if text not in self.getvalue():
            await event.wait()


def view(read: Callable[[], Any], screen: io.StringIO, *, is_terminal: bool, **options: Any) -> Any:
    console = Console(file=screen, force_terminal=is_terminal, width=100, height=40)
    return partial(show_live, read, console=console, refresh_s=0.001, **options)


async def test_without_a_terminal_events_are_whole_lines_and_nothing_else(nursery: trio.Nursery) -> None:
    screen, document = Screen(), busy(recent_posts=[])
    nursery.start_soon(view(lambda: document, screen, is_terminal=False))
    await screen.wait_for("ready")
    long = "a long text " * 20
    document = busy(recent_posts=[post(16, text=long, published_at=at("14:33"))])
    await screen.wait_for("published ref16")
    assert screen.getvalue().splitlines() == [
        "14:32 ● ready  database 0.21 s · browser 0.94 s",
        f"14:32 ▸ published ref16 by ada: {long.strip()}  queues · short list · 09:00",
    ]


async def test_in_a_terminal_the_panel_is_drawn_and_the_cursor_given_back_at_the_end() -> None:
    screen = Screen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(view(busy, screen, is_terminal=True))
        await screen.wait_for("Learned from")
        nursery.cancel_scope.cancel()
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert screen.getvalue().rindex(show) > screen.getvalue().rindex(hide)


async def test_plain_is_plain_in_a_terminal_too(nursery: trio.Nursery) -> None:
    screen = Screen()
    nursery.start_soon(view(busy, screen, is_terminal=True, is_plain=True))
    await screen.wait_for("ready")
    assert "Contexts" not in screen.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("error", [BrokenPipeError("gone"), OSError(5, "Input/output error")])
async def test_a_terminal_that_is_gone_ends_the_view_and_not_the_daemon(
    is_terminal: bool, error: OSError
) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise error

    with capture_logs() as logs:
        await view(busy, Gone(), is_terminal=is_terminal)()
    assert [entry["event"] for entry in logs] == ["terminal_gone"]


async def test_a_bug_in_the_view_is_logged_and_ends_the_view_alone() -> None:
    def read() -> Any:
        raise ZeroDivisionError

    with capture_logs() as logs:
        await view(read, Screen(), is_terminal=False)()
    assert [entry["event"] for entry in logs] == ["live_view_failed"]


@pytest.mark.parametrize("is_terminal", [True, False])
async def test_a_terminal_that_is_stopped_holds_up_neither_the_loop_nor_the_end(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LAST_FRAME_S", 0.01)
    may_go_on, is_blocked = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            token.run_sync_soon(is_blocked.set)
            may_go_on.wait()
            return super().write(text)

    try:
        with capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(view(busy, Stopped(), is_terminal=is_terminal))
                await is_blocked.wait()
                nursery.cancel_scope.cancel()
    finally:
        may_go_on.set()
    assert logs == []
