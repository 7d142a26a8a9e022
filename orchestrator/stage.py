"""The daemon as the demo brings it on: the real one, with settings for a newcomer, and a view of it."""

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import trio

from orchestrator import start
from orchestrator.browser.launcher import is_sandboxed
from orchestrator.clock import Clock
from orchestrator.control.find import SOCKET_NAME, demo_state_dir
from orchestrator.model import PostState
from orchestrator.settings import Settings
from orchestrator.state import ClockMark, read_clock

if TYPE_CHECKING:
    from orchestrator.health.status import House
    from orchestrator.jobs import OwnJob

log = structlog.get_logger("demo")

SITE_NAME = "murmur"
STATUS_EVERY_S = 0.5
HEALTH_EVERY_S, MEMORY_EVERY_S, SETTLE_S, STUCK_S = 10.0, 30.0, 45.0, 180.0
"""In real seconds: what can fail does not fail faster because the clock does."""
OPPORTUNITIES = 30
"""The bundled site's people post less in a day than the target for a large site asks for."""
CLOCK_AHEAD_S = 5.0
"""The clock's mark on disk is this far ahead, in real seconds, so that no restart turns time back."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the demo has prepared."""

    state_dir: Path
    http_port: int
    clock: Clock
    passwords: Mapping[str, str]
    """By account."""
    site_url: str
    is_plain: bool
    load: int
    """Jobs that do nothing but make contexts scarce."""


def check(scene: Scene) -> None:
    """Refuse settings and jobs that can't be. Raises SettingsError."""
    from orchestrator import wiring

    wiring.check_jobs(Settings.load(defaults=_defaults(scene)))


def play(scene: Scene) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises an OrchestratorError when it can't go on."""
    settings = Settings.load(defaults=_defaults(scene))
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - the log's stream for the rest of the process
    view = _View(scene)
    start.run(settings, view.show, nowhere, partial(_more_jobs, scene))
    count = "" if view.posts is None else f"; posts published: {view.posts}"
    _say(f"ended{count}. The same command goes on from here: {scene.state_dir}")


def _more_jobs(scene: Scene) -> tuple["OwnJob", ...]:
    from orchestrator.readers import readers

    return readers(scene.load, scene.clock.speed)


def _defaults(scene: Scene) -> dict[str, Any]:
    """Settings below the user's own, so that environment and file change the demo too."""
    state_dir, clock = scene.state_dir, scene.clock
    return {
        "state_dir": state_dir,
        "http": {"port": scene.http_port},
        "clock": {
            "speed": clock.speed,
            "real_epoch": clock.real_epoch,
            "shown_epoch": clock.shown_epoch,
        },
        "sites": {SITE_NAME: {"profile": "microblog", "base_url": scene.site_url}},
        "accounts": [
            {"name": name, "site": SITE_NAME, "username": name, "password": password, "posts_per_day": 24}
            for name, password in scene.passwords.items()
        ],
        "posting": {"settle_s": SETTLE_S, "stuck_s": STUCK_S},
        "content": {"horizon_h": 6, "queue_target": 4},
        "learning": {"settle_h": 3},
        "opportunities": {"target": OPPORTUNITIES},
        "jobs": {
            "health_monitor": {"every_s": HEALTH_EVERY_S * clock.speed},
            "memory_keeper": {"every_s": MEMORY_EVERY_S * clock.speed},
        },
        "log": {"file": state_dir / "daemon.log", "format": "console"},
    }


class _View:
    """The live view; `posts` is how many it last knew to be published, None before the database is there."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.posts: int | None = None

    async def show(self, house: "House") -> None:
        """Keep the view fed, and the clock's mark."""
        from orchestrator.health.status import read_live, read_status
        from orchestrator.terminal.live import show_live

        if not is_sandboxed():
            _say("Chromium's sandbox is off, since this is root; an ordinary user has it")
        if self._scene.state_dir != demo_state_dir(os.environ):
            _say(f"talk to it with: {program()} ctl --socket {self._scene.state_dir / SOCKET_NAME} status")
        house.links = {"site": self._scene.site_url, **house.links}
        status = _with_page(read_live(house), house.page)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_clock, house.clock, self._scene.state_dir)
            nursery.start_soon(partial(show_live, lambda: status, is_plain=self._scene.is_plain))
            while True:
                status = _with_page(await read_status(house), house.page)
                self.posts = status.get("posts", {}).get(PostState.PUBLISHED, self.posts)
                await trio.sleep(STATUS_EVERY_S)


def _with_page(status: dict[str, Any], page: str) -> dict[str, Any]:
    """The status as whoever started us sees it: the page's address carries the token of the API."""
    return {**status, "links": {"page": page, **status["links"]}}


def program() -> str:
    """What to type for `orchestrator` in this shell: make's is not on PATH."""
    if shutil.which("orchestrator") is not None:
        return "orchestrator"
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return f"{sys.executable} -m orchestrator" if is_module else sys.argv[0]


def _say(line: str) -> None:
    from rich.console import Console

    with suppress(OSError, SystemExit):  # nobody reads any more; rich makes a SystemExit of that
        Console(highlight=False).print(line, soft_wrap=True, markup=False)


async def _keep_clock(clock: Clock, state_dir: Path) -> None:
    """Note now and then how far the clock has come, and its speed; on a full disk the old mark stays."""
    before = read_clock(state_dir)
    is_same = before is not None and before.speed == clock.speed
    since = before.since if before is not None and is_same else clock.shown_epoch
    while True:
        mark = ClockMark(clock.timestamp() + 2 * CLOCK_AHEAD_S * clock.speed, clock.speed, since)
        try:
            await trio.to_thread.run_sync(mark.write, state_dir)
        except OSError as error:
            log.warning("clock_not_kept", path=str(state_dir), error=error.strerror)
        await trio.sleep(CLOCK_AHEAD_S)
