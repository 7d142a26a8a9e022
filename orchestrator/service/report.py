"""What systemd is told while the daemon lives: ready, how it is, that it goes on.

The watchdog is fed only when trio's loop and asyncio's have turned and no job is stuck. So a daemon that
hangs is ended and started again, and one that merely lacks its database is not.
"""

import time

import structlog
import trio

from orchestrator import aio
from orchestrator.health.status import House, read_live
from orchestrator.model import Mode
from orchestrator.service.manager import Notifier

BEAT_S = 10.0
"""Between two messages at most, and so that three fit into the watchdog's time."""
PATIENCE_BEATS = 3
"""While it starts or drains, systemd shall wait for so many beats more."""
CLOSING_S = 60.0
"""Closing browser, database and threads, each of which has a time limit of its own, takes no longer."""
MAX_STATUS_CHARS = 300

log = structlog.get_logger("service")


class Report:
    """Tells `notifier` of the house.

    `_is_ready` is set when READY=1 was said, which is once; `_status` is what was said last.
    """

    def __init__(self, house: House, notifier: Notifier) -> None:
        self._house = house
        self._notifier = notifier
        watchdog_s = notifier.watchdog_s
        self._beat_s = BEAT_S if watchdog_s is None else min(BEAT_S, watchdog_s / 3)
        self._news = trio.Event()
        self._is_ready = False
        self._is_stuck = False
        self._status = ""

    def nudge(self) -> None:
        """Something has changed that systemd is to know now."""
        self._news.set()

    async def run(self) -> None:
        """Tell, for ever; when cancelled, that the rest is closing."""
        try:
            while True:
                self._news = trio.Event()
                await aio.call(_turn)
                self.tell()
                with trio.move_on_after(self._beat_s):
                    await self._news.wait()
        finally:
            self._notifier.tell(STOPPING=1, STATUS="Closing", EXTEND_TIMEOUT_USEC=_usec(CLOSING_S))

    def tell(self) -> None:
        """Say what is new, and what has to be said again and again."""
        said: dict[str, str | int] = {}
        mode = self._house.modes.mode
        if mode is Mode.DRAINING:
            said["STOPPING"] = 1
        elif not self._is_ready and self._is_up:
            self._is_ready = True
            said["READY"] = 1
        if mode is Mode.DRAINING or not self._is_ready:
            said["EXTEND_TIMEOUT_USEC"] = _usec(PATIENCE_BEATS * self._beat_s)
        if not self._look_for_stuck():
            said["WATCHDOG"] = 1
        status = read_live(self._house)["summary"][:MAX_STATUS_CHARS]
        if status != self._status:
            said["STATUS"] = self._status = status
        if said:
            self._notifier.tell(**said)

    @property
    def _is_up(self) -> bool:
        """Past the gate; or standing by for another daemon, which may take for ever: no boot waits for it."""
        return not self._house.modes.is_starting or bool(self._house.note)

    def _look_for_stuck(self) -> list[str]:
        supervisor = self._house.supervisor
        stuck = supervisor.stuck if supervisor is not None else []
        if bool(stuck) is not self._is_stuck:
            self._is_stuck = bool(stuck)
            log.error("watchdog_not_fed", stuck=stuck) if stuck else log.info("watchdog_fed_again")
        return stuck

    def begin_reload(self) -> None:
        """The settings are being read again; `end_reload` must follow."""
        self._notifier.tell(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def end_reload(self) -> None:
        self._notifier.tell(READY=1)


async def _turn() -> None:
    """Runs on asyncio's side, and so proves that it turns."""


def _usec(seconds: float) -> int:
    return round(seconds * 1e6)
