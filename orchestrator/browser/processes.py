"""The browser's and the driver's processes: are they alive, what do they weigh, are some left over.

Processes are recognised by our own temporary directory, never by name: a browser that another program
runs is never touched.
"""

import os
import select
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import structlog

log = structlog.get_logger("browser.processes")

SESSIONS_FILE = "sessions"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GONE = (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, FileNotFoundError)


@dataclass(slots=True)
class WatchedProcess:
    """A process held by a descriptor, so that its number is never mistaken for a later one's."""

    pid: int
    descriptor: int = field(init=False)
    name: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.descriptor = os.pidfd_open(self.pid)
        with suppress(*GONE):
            self.name = psutil.Process(self.pid).name()

    @property
    def is_alive(self) -> bool:
        if self.descriptor < 0:
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return not poll.poll(0)

    def kill(self) -> None:
        if self.descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def kill_session(leader: WatchedProcess) -> None:
    """Kill a browser, which may be gone already, and all that is left of its session."""
    leader.kill()
    for process in psutil.process_iter():
        with suppress(*GONE):
            # By name too: when nothing is left of the session, its number may be another program's.
            if os.getsid(process.pid) == leader.pid and process.name() == leader.name:
                process.kill()


def browser_family(browser: int) -> Iterator[int]:
    """A browser's process id and those of its descendants, read from /proc alone: a millisecond."""
    yield browser
    with suppress(*GONE):
        for thread in os.scandir(f"/proc/{browser}/task"):
            with suppress(*GONE):
                for child in Path(thread.path, "children").read_text().split():
                    yield from browser_family(int(child))


def resident_bytes(pid: int) -> int:
    """Memory of one process, shared pages in full; 0 when it is gone.

    What may be asked of every process: a sandboxed renderer does not show its pages to other ordinary ones.
    """
    with suppress(*GONE):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return 0


def children(pid: int) -> dict[int, list[str]]:
    """The live children of a process, with their command lines."""
    found: dict[int, list[str]] = {}
    with suppress(*GONE):
        for child in psutil.Process(pid).children():
            with suppress(*GONE):
                found[child.pid] = child.cmdline()
    return found


def memory_bytes(pid: int) -> int:
    """Memory of a process and its descendants, shared pages in proportion; 0 when it is gone."""
    total = 0
    with suppress(*GONE):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(*GONE):
                total += process.memory_full_info().pss
    return total


def remember_session(directory: Path, pid: int) -> None:
    """Note the session of a browser, so that `sweep` finds its children even when it is gone itself."""
    with (directory / SESSIONS_FILE).open("a") as notes, suppress(*GONE):
        notes.write(f"{_place()} {os.getsid(pid)} {psutil.Process(pid).name()}\n")


def _place() -> str:
    """This boot and process namespace: within them a session's number stays taken while it has members."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def sweep(directory: Path) -> int:
    """Kill every process that works in `directory`, with its descendants; returns how many.

    For what an earlier run left: a stopped browser, say, that could not see its driver end.
    """
    leftovers = list(_leftovers(directory))
    for process in leftovers:
        with suppress(*GONE):
            log.warning("leftover_process_killed", pid=process.pid, name=process.name())
            process.kill()
    psutil.wait_procs(leftovers, timeout=2)
    return len(leftovers)


def make_empty(directory: Path) -> None:
    """Make the directory anew, for our eyes only; what an earlier run left of it is cleared."""
    remove(directory)
    directory.mkdir(mode=0o700, parents=True)


def clear(directory: Path) -> None:
    """Clear what a driver that is gone has left in its directory: files, and processes that still stand.

    What can't be cleared, on a full disk say, is left to the next time.
    """
    try:
        if any(directory.iterdir()):
            psutil.wait_procs(
                list(_leftovers(directory)), timeout=2
            )  # what was killed just now is on its way
            sweep(directory)
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        log.warning("browser_directory_not_cleared", error=str(error))


def remove(directory: Path) -> None:
    """Remove the directory, and end all that works in it."""
    if directory.exists():
        sweep(directory)
        shutil.rmtree(directory)


def _leftovers(directory: Path) -> Iterator[psutil.Process]:
    own_tree = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    sessions = set(_remembered_sessions(directory))
    seen: set[int] = set(own_tree)
    for process in psutil.process_iter():
        with suppress(*GONE):
            if process.pid not in seen and _belongs(process, directory, sessions):
                for found in (process, *process.children(recursive=True)):
                    if found.pid not in seen and found.status() != psutil.STATUS_ZOMBIE:
                        seen.add(found.pid)
                        yield found


def _belongs(process: psutil.Process, directory: Path, sessions: set[tuple[int, str]]) -> bool:
    arguments = process.cmdline()
    if any(_names(argument, directory) for argument in arguments[1:]):
        return True
    if (os.getsid(process.pid), process.name()) in sessions:
        return True
    return "run-driver" in arguments and process.environ().get("TMPDIR") == str(directory)


def _names(argument: str, directory: Path) -> bool:
    """Whether an argument, or the value in `--switch=value`, is `directory` or lies in it."""
    value = argument.partition("=")[2] if argument.startswith("--") else argument
    return value == str(directory) or value.startswith(f"{directory}/")


def _remembered_sessions(directory: Path) -> Iterable[tuple[int, str]]:
    with suppress(FileNotFoundError):
        for line in (directory / SESSIONS_FILE).read_text().splitlines():
            place, session, name = line.split(" ", 2)
            if place == _place():
                yield int(session), name
