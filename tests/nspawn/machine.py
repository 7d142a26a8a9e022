"""A machine with a real systemd: a container of systemd-nspawn whose network is loopback alone."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

PATIENCE_S = 240.0
"""How long something may take: a limit for faults, not a figure."""
POLL_S = 0.2
NAMESPACES = ("-m", "-p", "-i", "-u", "-n", "-C", "-r", "-w")


@dataclass(frozen=True)
class Machine:
    """`leader` is its first process, as it is numbered outside."""

    root: Path
    leader: int

    def ask(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, whatever comes of it."""
        inside = ["nsenter", "-t", str(self.leader), *NAMESPACES, "--"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8"]
        return subprocess.run(
            [*inside, *clean, *command], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def run(self, *command: str) -> str:
        """Run a command inside that must succeed; what it said."""
        done = self.ask(*command)
        assert done.returncode == 0, f"{command}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def show(self, name: str, unit: str = "orchestrator.service") -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "-p", name, "--value", unit).strip()

    def processes(self, user: str = "orchestrator") -> dict[int, str]:
        """The command lines of a user's processes."""
        found = self.ask("ps", "-ww", "-u", user, "-o", "pid=,args=").stdout.splitlines()
        return {int(line.split()[0]): line.split(maxsplit=1)[1] for line in found}

    def journal(self, since: str = "") -> str:
        """What the daemon and systemd said of it, after the cursor."""
        after = [f"--after-cursor={since}"] if since else []
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", "orchestrator", *after)

    def cursor(self) -> str:
        said = self.run("journalctl", "--no-pager", "-n", "0", "--show-cursor")
        return said.rpartition("cursor: ")[2].strip()


def until(condition: Callable[[], T], what: str, explain: Callable[[], object] = str) -> T:
    """Ask until the answer is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}. {answer} {explain()}"
        time.sleep(POLL_S)
    return answer


@contextmanager
def boot(root: Path) -> Iterator[Machine]:
    """Boot it, and power it off at the end."""
    command = [
        *("systemd-nspawn", "-q", "-D", str(root), "--register=no", "--keep-unit", "--private-network"),
        *("--console=pipe", "--capability=all", "--system-call-filter=bpf", "-b"),
    ]
    environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with (root.parent / "console").open("w") as console:
        container = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
        )
    try:
        machine = Machine(root, until(lambda: _leader(container), "there is a first process"))
        until(lambda: _is_up(machine), "systemd is up", lambda: machine.ask("systemctl", "--failed").stdout)
        yield machine
    finally:
        _end(container)


def _leader(container: "subprocess.Popen[bytes]") -> int:
    assert container.poll() is None, "systemd-nspawn has ended; its console says why"
    return next((child.pid for child in psutil.Process(container.pid).children()), 0)


def _is_up(machine: Machine) -> bool:
    return machine.ask("systemctl", "is-system-running").stdout.strip() == "running"


def _end(container: "subprocess.Popen[bytes]") -> None:
    """SIGTERM has the container power itself off."""
    family = psutil.Process(container.pid).children(recursive=True)
    container.terminate()
    try:
        container.wait(60)
    except subprocess.TimeoutExpired:
        for process in family:
            process.kill()
        container.kill()
        container.wait()
