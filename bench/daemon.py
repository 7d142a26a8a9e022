"""The real program in a process of its own, for the figures that look at it from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.ports import free_port

START_LIMIT_S = 120.0
END_LIMIT_S = 60.0
LOOK_EVERY_S = 0.005
LOG_NAME = "daemon.log"
OUTPUT_NAME = "daemon.out"
READY = b'"event": "ready"'
LOG_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that is ready."""

    process: "subprocess.Popen[bytes]"
    http_port: int
    ready_after_s: float
    """From the start of its process to a `/readyz` that says yes."""


@contextmanager
def running_demo(state_dir: Path, *options: str) -> Iterator[Daemon]:
    """`orchestrator demo` on `state_dir`, ready when entered, drained and gone at the end."""
    http_port = free_port()
    command = [
        *(str(Path(sys.executable).with_name("orchestrator")), "demo", "--plain"),
        *("--state-dir", str(state_dir), "--http-port", str(http_port), "--site-port", "0"),
        *options,
    ]
    with _running(command, state_dir, http_port) as daemon:
        yield daemon


@contextmanager
def running_daemon(config: Path, state_dir: Path) -> Iterator[Daemon]:
    """The same for `orchestrator run`; the settings log to LOG_NAME in the state directory."""
    http_port = free_port()
    command = [str(Path(sys.executable).with_name("orchestrator")), "run", "--config", str(config)]
    with _running(command, state_dir, http_port, {"ORCHESTRATOR_HTTP__PORT": str(http_port)}) as daemon:
        yield daemon


@contextmanager
def _running(
    command: list[str], state_dir: Path, http_port: int, more: Mapping[str, str] | None = None
) -> Iterator[Daemon]:
    log_size = _size(state_dir / LOG_NAME)
    with (state_dir.parent / OUTPUT_NAME).open("wb") as output:
        started_at = time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**user_environment(), **(more or {})},
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, http_port, state_dir, log_size)
            yield Daemon(process, http_port, time.monotonic() - started_at)
        finally:
            _end(process)


def user_environment() -> dict[str, str]:
    """Our environment less what keeps Python from storing compiled modules, which users have."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, state_dir: Path, log_size: int) -> None:
    """Wait for the daemon's own word in its log, then ask it: to ask all the time would slow it down."""
    give_up_at = time.monotonic() + START_LIMIT_S
    log = state_dir / LOG_NAME
    while not (_size(log) > log_size and READY in log.read_bytes()[log_size:] and is_ready(port)):
        if process.poll() is not None or time.monotonic() > give_up_at:
            said = (state_dir.parent / OUTPUT_NAME).read_text(errors="replace").splitlines()
            raise RuntimeError("the daemon is not ready: " + " | ".join(said[-LOG_LINES_SHOWN:]))
        time.sleep(LOOK_EVERY_S)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
