"""The site as a program: start, ready line, signals, the death of its parent, what it refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from tests.demo.harness import TOKEN, Visitor

LAUNCHER = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), end="", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    accounts, token = tmp_path / "accounts.json", tmp_path / "token"
    accounts.write_text(json.dumps([{"name": "ada", "password": "pass-of-ada", "display_name": "Ada Green"}]))
    token.write_text(f"{TOKEN}\n")
    options = ["--port", "0", "--data", str(tmp_path / "data"), "--admin-token-file", str(token)]
    options += ["--accounts-file", str(accounts), "--clock", "60,1700000000,1777896000"]
    return [sys.executable, "-m", "orchestrator.demo", *options]


async def line_of(process: trio.Process) -> str:
    """The first line on the process's stdout."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        chunk = await process.stdout.receive_some(1)
        assert chunk, f"ended with {line!r}"
        line += chunk
    return line.decode().rstrip()


@asynccontextmanager
async def running(arguments: list[str]) -> AsyncIterator[tuple[trio.Process, str]]:
    """The program and its address; killed at the end if it is still there."""
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, arguments, stdout=subprocess.PIPE, check=False)
        process: trio.Process = await nursery.start(start)
        yield process, (await line_of(process)).removeprefix("ready ")
        nursery.cancel_scope.cancel()


async def test_it_says_where_it_listens_and_serves_there(arguments: list[str]) -> None:
    async with running(arguments) as (_, address), httpx.AsyncClient(base_url=address) as http:
        assert address.startswith("http://127.0.0.1:")
        visitor = Visitor(http)
        assert (await visitor.sign_in()).status_code == 303
        await visitor.published("hello")
        assert await visitor.ledger_texts() == ["hello"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_0_at_a_signal_even_with_a_connection_open(
    arguments: list[str], number: signal.Signals
) -> None:
    async with running(arguments) as (process, address), httpx.AsyncClient(base_url=address) as http:
        await http.get("/healthz")
        process.send_signal(number)
        assert await process.wait() == 0


async def test_what_was_accepted_is_there_after_a_kill(arguments: list[str]) -> None:
    async with running(arguments) as (process, address), httpx.AsyncClient(base_url=address) as http:
        visitor = Visitor(http)
        await visitor.sign_in()
        reference = await visitor.published("kept")
        process.kill()
        await process.wait()
    async with running(arguments) as (_, address), httpx.AsyncClient(base_url=address) as http:
        assert (await Visitor(http).get(f"/post/{reference}")).one(".text").text == "kept"
        assert await Visitor(http).ledger_texts() == ["kept"]


async def ended(pidfd: int) -> None:
    await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)


async def test_it_ends_when_its_parent_is_killed(arguments: list[str]) -> None:
    command = [sys.executable, "-c", LAUNCHER, *arguments, "--die-with-parent"]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pid, word, address = (await line_of(process)).split()
    assert word == "ready"
    pidfd = os.pidfd_open(int(pid))
    process.kill()
    await process.wait()
    await ended(pidfd)
    async with httpx.AsyncClient(base_url=address) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/healthz")


async def run_to_end(arguments: list[str]) -> "subprocess.CompletedProcess[bytes]":
    return await trio.run_process(arguments, capture_stdout=True, capture_stderr=True, check=False)


async def test_it_ends_at_once_when_the_parent_it_was_told_of_is_gone(arguments: list[str]) -> None:
    result = await run_to_end([*arguments, "--die-with-parent", "999999999"])
    assert (result.returncode, result.stdout) == (0, b"")


async def test_a_port_in_use_is_one_clear_line(arguments: list[str], tmp_path: Path) -> None:
    async with running(arguments) as (_, address):
        port = address.rpartition(":")[2]
        other = [*arguments, "--port", port, "--data", str(tmp_path / "other")]
        result = await run_to_end(other)
    assert result.returncode == 2
    [line] = result.stderr.decode().splitlines()
    assert f"can't listen on 127.0.0.1:{port}" in line
    assert "take another --port" in line


async def test_a_second_site_on_the_same_data_is_one_clear_line(arguments: list[str]) -> None:
    async with running(arguments):
        result = await run_to_end(arguments)
    assert result.returncode == 2
    [line] = result.stderr.decode().splitlines()
    assert "in use by another site" in line


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--clock", "fast"], "expected SPEED,REAL_EPOCH,SHOWN_EPOCH"),
        (["--clock", "0,1,1"], "the speed must be positive"),
        (["--clock", "nan,1,1"], "the speed must be positive"),
        (["--account", "ada"], "expected NAME:PASSWORD"),
        (["--account", "a b:pw"], "a name has 1 to 30"),
        (["--account", "ada:"], "the password is missing"),
        (["--accounts-file", "/nonexistent"], "can't be read"),
        (["--admin-token-file", "/dev/null"], "expected a token"),
        (["--data", "/dev/null/x"], "can't be used"),
    ],
)
async def test_a_wrong_option_is_one_clear_line(
    arguments: list[str], options: list[str], reason: str
) -> None:
    result = await run_to_end([*arguments, *options])
    assert result.returncode == 2
    [line] = result.stderr.decode().splitlines()
    assert line.startswith("murmur: ")
    assert reason in line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("{}", "expected a list"),
        ('["ada"]', "entry 1: expected an object"),
        ('[{"name": "ada"}]', "entry 1: expected an object"),
        ('[{"name": "ada", "password": "p", "colour": 1}]', "entry 1: expected an object"),
        ('[{"name": "ada", "password": 1}]', "entry 1: the password is missing"),
        ('[{"name": "ada", "password": "p", "display_name": 1}]', "display_name is not a text"),
    ],
)
async def test_a_broken_file_of_accounts_is_one_clear_line(
    arguments: list[str], tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "accounts.json").write_text(content)
    result = await run_to_end(arguments)
    assert result.returncode == 2
    [line] = result.stderr.decode().splitlines()
    assert reason in line


async def test_a_database_that_is_no_database_is_one_clear_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "murmur.sqlite3").write_bytes(b"not a database, but long enough to be one" * 50)
    result = await run_to_end(arguments)
    assert result.returncode == 2
    [line] = result.stderr.decode().splitlines()
    assert "can't be used: file is not a database" in line
