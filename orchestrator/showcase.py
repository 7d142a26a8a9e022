"""`orchestrator demo`: the daemon with the bundled site beside it, a fast clock, and a view of it all.

What a newcomer would have to set up is made here: accounts with passwords, the site's process, and the
numbers of the clock that both share. `stage` then brings on the daemon; it is imported while the site
starts, so nothing heavy is imported here.
"""

import errno
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import NoReturn

from orchestrator.clock import Clock
from orchestrator.errors import AddressInUseError, SiteStartError
from orchestrator.state import hold_state_dir, read_clock, write_whole

ACCOUNT_NAMES = ("ada", "grace", "linus", "margaret", "alan", "barbara", "dennis", "frances")
JOBS = "orchestrator.jobs"
"""The entry points of packages with jobs: `jobs.packages` looks for them."""
SITE_START_S = 15.0
SITE_END_S = 5.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says."""

    state_dir: Path
    http_port: int = 8700
    site_port: int = 8701
    speed: float = 240.0
    accounts: int = 2
    is_plain: bool = False
    load: int = 0


def run_demo(options: DemoOptions) -> None:
    """Run until SIGTERM or SIGINT. Raises an OrchestratorError when it can't go on."""
    state_dir = options.state_dir.absolute()
    if _has_more_than_ours():
        with _ended_in_order():
            _check(options, state_dir)
    with hold_state_dir(state_dir):
        pass  # it is free: what follows won't touch another daemon's files; `start.run` holds it for good
    clock = _clock(state_dir, options.speed)
    passwords = _passwords(state_dir / "accounts.json", _names(options))
    with _ended_in_order(), _site(options, state_dir, clock) as process:
        from orchestrator.stage import Scene, play  # takes about as long as the site's own start

        site_url = _wait_for_site(process, state_dir / "site.log", options.site_port)
        scene = Scene(
            state_dir, options.http_port, clock, passwords, site_url, options.is_plain, options.load
        )
        play(scene)


def _has_more_than_ours() -> bool:
    """Whether anybody has added jobs or settings: without them there is nothing that could be refused."""
    return bool(entry_points(group=JOBS)) or any(name.startswith("ORCHESTRATOR_") for name in os.environ)


def _check(options: DemoOptions, state_dir: Path) -> None:
    """Refuse jobs that can't be before the site starts and the state directory is made."""
    from orchestrator.stage import Scene, check

    clock, passwords = Clock(options.speed, time.time(), time.time()), dict.fromkeys(_names(options), "?")
    site_url = f"http://127.0.0.1:{options.site_port}"
    check(Scene(state_dir, options.http_port, clock, passwords, site_url, options.is_plain, options.load))


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGINT end the block with exit code 0; a daemon that runs in it hears them itself."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


# ── what the daemon and the site share ──────────────────────────────────────────────────────────


def _clock(state_dir: Path, speed: float) -> Clock:
    """A clock that goes on where the last demo's stopped, and is never put back."""
    now, mark = time.time(), read_clock(state_dir)
    return Clock(speed, now, now if mark is None else max(mark.shown, now))


def _names(options: DemoOptions) -> list[str]:
    """The accounts' names."""
    count = options.accounts
    return [*ACCOUNT_NAMES, *(f"author{n}" for n in range(len(ACCOUNT_NAMES) + 1, count + 1))][:count]


def _passwords(path: Path, wanted: list[str]) -> dict[str, str]:
    """The accounts' passwords, made once and kept."""
    try:
        kept = {entry["name"]: entry["password"] for entry in json.loads(path.read_text())}
    except FileNotFoundError:
        kept = {}
    for name in wanted:
        kept.setdefault(name, secrets.token_urlsafe(12))
    entries = [{"name": name, "password": password} for name, password in kept.items()]
    write_whole(path, json.dumps(entries, indent=1))
    return {name: kept[name] for name in wanted}


# ── the site ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _site(options: DemoOptions, state_dir: Path, clock: Clock) -> Iterator["subprocess.Popen[str]"]:
    """The bundled site, starting, in a process of its own, which ends with ours however that ends."""
    token = state_dir / "site-admin-token"
    if not token.exists():
        write_whole(token, secrets.token_urlsafe(24))
    command = [
        *(sys.executable, "-m", "orchestrator.demo", "--port", str(options.site_port)),
        *("--data", str(state_dir / "site"), "--admin-token-file", str(token)),
        *("--clock", f"{clock.speed},{clock.real_epoch},{clock.shown_epoch}"),
        *("--accounts-file", str(state_dir / "accounts.json"), "--die-with-parent", str(os.getpid())),
    ]
    with (state_dir / "site.log").open("a") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for the daemon; the site ends after it
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(SITE_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_site(process: "subprocess.Popen[str]", errors: Path, port: int) -> str:
    """The address that the site prints when it listens."""
    assert process.stdout is not None
    is_readable, _, _ = select.select([process.stdout], [], [], SITE_START_S)
    line = process.stdout.readline().split() if is_readable else []
    if line[:1] == ["ready"]:
        return line[1].rstrip("/")
    last = errors.read_text().strip().splitlines()[-1:]
    why = last[0] if last else "no word within time"
    if os.strerror(errno.EADDRINUSE) in why:
        raise AddressInUseError(
            f"port {port} of the bundled site is in use",
            remedy=f'Choose another: make run ARGS="--site-port {port + 1}"',
        )
    raise SiteStartError(f"the bundled site did not start: {why}", remedy=f"See {errors}")
