"""PostgreSQL's processes: starting ours, waiting for the end, and ending those of an earlier daemon."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import structlog
import trio

from orchestrator.errors import DatabaseError

log = structlog.get_logger("db")

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that the server sees of ours: no PG* variable or locale of the caller changes what it does."""

STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Signal and patience in seconds: a fast shutdown, one without checkpoint, and the end. No commit is lost."""
STOP_TIMEOUT_S = 25.0
"""More than all the patience together."""


def spawn(command: list[str], output: BinaryIO | int) -> "subprocess.Popen[bytes]":
    """Start `command` from this thread, which the parent-death signal is tied to.

    Not trio's own `open_process`: it forks in a worker thread, whose end would end the server. In a session
    of its own, so that Ctrl-C in a terminal reaches us alone and we can still write while we wind up.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
    )


async def exited(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of our child, reap it, and return its exit code."""
    if process.returncode is None:
        with _pidfd(process.pid) as fd:
            await trio.lowlevel.wait_readable(fd)
    return process.wait()


async def run(command: list[str], output: BinaryIO | int) -> int:
    """Run `command` to its end and return its exit code; it is killed and reaped when cancelled."""
    process = spawn(command, output)
    try:
        return await exited(process)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


async def stop(process: "subprocess.Popen[bytes]") -> None:
    """End our server; it is reaped afterwards. Takes less than STOP_TIMEOUT_S."""
    for signum, patience_s in STOP_STEPS:
        process.send_signal(signum)
        with trio.move_on_after(patience_s):
            await exited(process)
            return
        log.warning("postgres_did_not_stop", pid=process.pid, signal=signum.name, waited_s=patience_s)
    log.error("postgres_left_behind", pid=process.pid)


async def end_previous(data: Path) -> None:
    """End what an earlier daemon left running on `data`, and remove traces that would block a start.

    The caller holds the directory's lock, so no living daemon owns these processes. They may be
    shutting down already: the kernel has told them when their daemon died.
    """
    if not (data / "postmaster.pid").exists():
        return  # shut down in order
    if pids := servers_on(data):
        log.warning("earlier_postgres_found", pids=pids, data=str(data))
        await _end(pids, postmaster=_pid_in_file(data), data=data)
    _remove_misleading_pid_file(data)


def servers_on(data: Path) -> list[int]:
    """Process ids of all living PostgreSQL processes that work on `data`, told by their working directory."""
    where = data.resolve()
    return [pid for pid in _process_ids() if _is_server(pid, where)]


async def _end(pids: list[int], postmaster: int | None, data: Path) -> None:
    for signum, patience_s in STOP_STEPS:
        # A fast shutdown is asked of the postmaster alone: SIGINT means something else to its children.
        _signal([pid for pid in pids if pid == postmaster or signum != signal.SIGINT], signum)
        if await _all_gone(pids, patience_s):
            return
        log.warning("earlier_postgres_did_not_stop", signal=signum.name, waited_s=patience_s)
    raise DatabaseError(
        f"an earlier PostgreSQL still runs on {data} and does not stop",
        remedy=f"End it: kill -9 {' '.join(map(str, servers_on(data)))}",
    )


async def _all_gone(pids: list[int], within_s: float) -> bool:
    with ExitStack() as stack, trio.move_on_after(within_s):
        for pid in pids:
            try:
                fd = stack.enter_context(_pidfd(pid))
            except ProcessLookupError:
                continue
            await trio.lowlevel.wait_readable(fd)
        return True
    return False


def _signal(pids: Iterable[int], signum: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue  # it has ended by itself


@contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        trio.lowlevel.notify_closing(fd)
        os.close(fd)


def _process_ids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _is_server(pid: int, data: Path) -> bool:
    process = Path("/proc") / str(pid)
    try:
        # A zombie has neither link.
        program = str((process / "exe").readlink()).removesuffix(" (deleted)")
        return program.endswith("/postgres") and (process / "cwd").readlink() == data
    except OSError:
        return False  # it is gone, or not ours to look at


def _pid_in_file(data: Path) -> int | None:
    try:
        return abs(int((data / "postmaster.pid").read_text().split("\n")[0]))
    except (FileNotFoundError, ValueError):
        return None


def _remove_misleading_pid_file(data: Path) -> None:
    """PostgreSQL takes any process with the noted id for a server: a zombie, or another program.

    Its own guard, the shared memory block, stays in force without the file.
    """
    pid = _pid_in_file(data)
    if pid is not None and (Path("/proc") / str(pid)).exists():
        log.warning("stale_postmaster_pid_removed", pid=pid)
        (data / "postmaster.pid").unlink(missing_ok=True)
