"""`orchestrator ctl watch`: the live feed in a terminal."""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio
import typer

from orchestrator.cli.parts import Daemon, a_console
from orchestrator.log import configure, unconfigure
from orchestrator.settings import LogSettings
from orchestrator.terminal.live import show_live
from orchestrator.terminal.watch import lost, render_watch
from orchestrator.terminal.words import Row
from orchestrator.web.feed.client import Ear
from orchestrator.web.feed.document import as_status


def watch(daemon: Daemon, *, is_json: bool) -> None:
    """Show the daemon until SIGINT or SIGTERM, or until nobody reads it any more.

    Raises ControlError when there is nothing to listen to.
    """
    with Path(os.devnull).open("w") as nowhere:  # what is wrong is seen
        configure(LogSettings(), nowhere)
        try:
            trio.run(_until_ended, partial(_print_lines if is_json else _show, daemon))
        finally:
            unconfigure()


async def _until_ended(show: Callable[[], Awaitable[None]]) -> None:
    """`show`, which a signal ends in order: the terminal has its cursor back then."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await show()
            nursery.cancel_scope.cancel()


async def _address(daemon: Daemon) -> str:
    answer = await trio.to_thread.run_sync(partial(daemon.ask, "page"), abandon_on_cancel=True)
    return str(answer["url"])


async def _show(daemon: Daemon) -> None:
    """The picture, or what happens, a line each."""
    has_come = trio.Event()
    ear = Ear(partial(_address, daemon), has_come.set)

    def read() -> Row:
        assert ear.document is not None
        status = as_status(ear.document, ear.now())
        return status if ear.is_live else lost(status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ear.run)
        await has_come.wait()
        await show_live(read, console=a_console(), panel=render_watch)
        nursery.cancel_scope.cancel()


async def _print_lines(daemon: Daemon) -> None:
    """A JSON document a line: the whole one, each time that something has changed."""
    written = (0, "")

    def write() -> None:
        nonlocal written
        if not ear.is_live or (ear.number, ear.life) == written:
            return
        written = (ear.number, ear.life)
        line = {"n": ear.number, "at": round(ear.now(), 3), "document": ear.document}
        typer.echo(json.dumps(line, ensure_ascii=False))

    ear = Ear(partial(_address, daemon), write)
    try:
        await ear.run()
    except* BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end would try to write again
