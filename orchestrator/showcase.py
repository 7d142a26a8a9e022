"""`orchestrator demo`: the daemon with the bundled site beside it, a fast clock, and a view of it all.

The daemon is the real one, with real settings; only what a newcomer would have to set up is made here:
accounts with passwords, the site's process, and the numbers of the clock that both share.
"""

import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from orchestrator import app
from orchestrator.clock import Clock
from orchestrator.errors import SiteStartError, StateDirectoryError
from orchestrator.health.status import House, read_live, read_status
from orchestrator.settings import Settings
from orchestrator.state import hold_state_dir
from orchestrator.terminal.live import show_live

SITE_NAME = "murmur"
ACCOUNT_NAMES = ("ada", "grace", "linus", "margaret", "alan", "barbara", "dennis", "frances")
SITE_START_S = 15.0
SITE_END_S = 5.0
STATUS_EVERY_S = 0.5
HEALTH_EVERY_S, SETTLE_S, STUCK_S = 10.0, 5.0, 120.0
"""In real seconds: what can fail does not fail faster because the clock does."""
CLOCK_AHEAD_S = 5.0
"""The clock's mark on disk is this far ahead, in real seconds, so that no restart turns time back."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says."""

    state_dir: Path
    http_port: int = 8700
    site_port: int = 8701
    speed: float = 240.0
    accounts: int = 2
    is_plain: bool = False


def run_demo(options: DemoOptions) -> None:
    """Run until SIGTERM or SIGINT. Raises an OrchestratorError when it can't go on."""
    state_dir = options.state_dir.absolute()
    with hold_state_dir(state_dir):
        pass  # it is free: what follows won't touch another daemon's files; `app.run` holds it for good
    clock = _clock(state_dir / "clock", options.speed)
    passwords = _passwords(state_dir / "accounts.json", options.accounts)
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - the log's stream for the rest of the process
    with _site(options, state_dir, clock) as site_url:
        settings = Settings.load(defaults=_defaults(options, state_dir, clock, passwords, site_url))

        async def face(house: House) -> None:
            await _show(house, options, state_dir, site_url)

        app.run(settings, face, log_stream=nowhere)


def _defaults(
    options: DemoOptions, state_dir: Path, clock: Clock, passwords: dict[str, str], site_url: str
) -> dict[str, Any]:
    """Settings below the user's own, so that environment and file change the demo too."""
    return {
        "state_dir": state_dir,
        "http": {"port": options.http_port},
        "clock": {
            "speed": clock.speed,
            "real_epoch": clock.real_epoch,
            "shown_epoch": clock.shown_epoch,
        },
        "sites": {SITE_NAME: {"profile": "microblog", "base_url": site_url}},
        "accounts": [
            {"name": name, "site": SITE_NAME, "username": name, "password": password, "posts_per_day": 24}
            for name, password in passwords.items()
        ],
        "posting": {"settle_s": SETTLE_S * clock.speed, "stuck_s": STUCK_S * clock.speed},
        "content": {"horizon_h": 6, "queue_target": 4},
        "learning": {"settle_h": 3},
        "jobs": {"health_monitor": {"every_s": HEALTH_EVERY_S * clock.speed}},
        "log": {"file": state_dir / "daemon.log", "format": "console"},
    }


# ── what the daemon and the site share ──────────────────────────────────────────────────────────


def _clock(path: Path, speed: float) -> Clock:
    """A clock that goes on where the last demo's stopped, and is never put back."""
    now = time.time()
    try:
        shown = float(path.read_text())
    except FileNotFoundError:
        shown = now
    except ValueError as error:
        raise StateDirectoryError(f"{path} is no clock: {error}", remedy="Delete it.") from error
    return Clock(speed, now, max(shown, now))


async def _keep_clock(clock: Clock, path: Path) -> None:
    """Note now and then how far the clock has come."""
    while True:
        mark = clock.timestamp() + 2 * CLOCK_AHEAD_S * clock.speed
        await trio.Path(path).write_text(f"{mark}\n")
        await trio.sleep(CLOCK_AHEAD_S)


def _passwords(path: Path, count: int) -> dict[str, str]:
    """The accounts' passwords, made once and kept."""
    try:
        kept = {entry["name"]: entry["password"] for entry in json.loads(path.read_text())}
    except FileNotFoundError:
        kept = {}
    wanted = [*ACCOUNT_NAMES, *(f"author{n}" for n in range(len(ACCOUNT_NAMES) + 1, count + 1))][:count]
    for name in wanted:
        kept.setdefault(name, secrets.token_urlsafe(12))
    entries = [{"name": name, "password": password} for name, password in kept.items()]
    _write_secret(path, json.dumps(entries, indent=1))
    return {name: kept[name] for name in wanted}


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


# ── the site ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _site(options: DemoOptions, state_dir: Path, clock: Clock) -> Iterator[str]:
    """The bundled site in a process of its own, which ends with ours however that ends; its address."""
    token = state_dir / "site-admin-token"
    if not token.exists():
        _write_secret(token, secrets.token_urlsafe(24))
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
        yield _wait_for_site(process, state_dir / "site.log", options.site_port)
    finally:
        process.terminate()
        try:
            process.wait(SITE_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_site(process: subprocess.Popen[str], errors: Path, port: int) -> str:
    """The address that the site prints when it listens."""
    assert process.stdout is not None
    is_readable, _, _ = select.select([process.stdout], [], [], SITE_START_S)
    line = process.stdout.readline().split() if is_readable else []
    if line[:1] == ["ready"]:
        return line[1].rstrip("/")
    last = errors.read_text().strip().splitlines()[-1:]
    raise SiteStartError(
        f"the bundled site did not start on port {port}: {last[0] if last else 'no word within time'}",
        remedy=f"See {errors}; another port: --site-port",
    )


# ── the view ────────────────────────────────────────────────────────────────────────────────────


async def _show(house: House, options: DemoOptions, state_dir: Path, site_url: str) -> None:
    """Keep the live view fed, and the clock's mark."""
    house.links = {"site": site_url, **house.links}
    status: dict[str, Any] = read_live(house)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_clock, house.clock, state_dir / "clock")
        nursery.start_soon(partial(show_live, lambda: status, is_plain=options.is_plain))
        while True:
            status = await read_status(house)
            await trio.sleep(STATUS_EVERY_S)
