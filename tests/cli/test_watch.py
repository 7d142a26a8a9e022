"""`orchestrator ctl watch` as a process: it shows the feed, and its end is quiet however it comes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from orchestrator.control import protocol
from orchestrator.web.feed.document import make_document
from tests.web.conftest import Served
from tests.web.feed.test_document import status

pytestmark = pytest.mark.timeout(120)


def a_document(**more: Any) -> dict[str, Any]:
    now = time.time()
    told = {"summary": "All is well.", "links": {"site": "http://127.0.0.1:1/"}, **more}
    clock = {"speed": 1.0, "real_epoch": now, "shown_epoch": now}
    return make_document(status(**told), now) | {"clock": clock}


@pytest.fixture
async def house(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[tuple[Served, Path]]:
    """A feed, and the control socket that says where it is."""
    served, path = Served(), tmp_path / "c.sock"
    served.document = a_document()
    served.port = await nursery.start(served.serve)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            if await stream.receive_some():
                await stream.send_all(protocol.frame({"ok": True, "result": {"url": served.address}}))

    with trio.socket.socket(trio.socket.AF_UNIX) as socket:
        await socket.bind(str(path))
        socket.listen()
        nursery.start_soon(partial(trio.serve_listeners, answer, [trio.SocketListener(socket)]))
        yield served, path
        nursery.cancel_scope.cancel()


async def started(nursery: trio.Nursery, path: Path, *args: str) -> trio.Process:
    command = [sys.executable, "-m", "orchestrator", "ctl", "--socket", str(path), "watch", *args]
    pipe = subprocess.PIPE
    run = partial(trio.run_process, command, stdout=pipe, stderr=pipe, check=False)
    process: trio.Process = await nursery.start(run)
    return process


class Lines:
    """What a process writes, line by line."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._begun = b""

    async def next(self) -> str:
        with trio.fail_after(60):
            while b"\n" not in self._begun:
                more = await self._stream.receive_some()
                assert more, "it has ended"
                self._begun += more
        line, _, self._begun = self._begun.partition(b"\n")
        return line.decode()


async def ended(process: trio.Process) -> tuple[int, bytes]:
    """The exit code, and what was said of errors."""
    assert process.stderr is not None
    with trio.fail_after(60):
        code = await process.wait()
        return code, b"".join([chunk async for chunk in process.stderr])


async def test_each_change_is_a_line_of_json_and_ctrl_c_ends_it_without_a_word(
    house: tuple[Served, Path], nursery: trio.Nursery
) -> None:
    served, path = house
    process = await started(nursery, path, "--json")
    lines = Lines(process)
    first = json.loads(await lines.next())
    assert first["document"] == served.document
    await served.become(mode="degraded")
    second = json.loads(await lines.next())
    assert (second["document"]["mode"], second["n"]) == ("degraded", first["n"] + 1)
    process.send_signal(signal.SIGINT)
    assert await ended(process) == (0, b"")


async def test_without_a_screen_what_happens_is_a_line_each(
    house: tuple[Served, Path], nursery: trio.Nursery
) -> None:
    served, path = house
    process = await started(nursery, path)
    lines = Lines(process)
    assert (await lines.next())[6:] == "● ready"
    assert "site: http://127.0.0.1:1/" in await lines.next()
    problem = {"what": "disk is down", "since": None, "remedy": "Make room"}
    await served.become(problems=[problem])
    assert (await lines.next())[6:] == "✗ disk is down  → Make room"
    process.send_signal(signal.SIGINT)
    assert await ended(process) == (0, b"")


async def test_a_reader_that_has_gone_ends_it(house: tuple[Served, Path], nursery: trio.Nursery) -> None:
    served, path = house
    process = await started(nursery, path, "--json")
    await Lines(process).next()
    assert process.stdout is not None
    await process.stdout.aclose()
    await served.become(mode="degraded")
    assert await ended(process) == (0, b"")
