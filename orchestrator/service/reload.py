"""Reads the settings again while the daemon runs: what can change then does, the rest is named and stays."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from orchestrator.errors import SettingsError
from orchestrator.service.report import Report
from orchestrator.settings import Settings
from orchestrator.settings.live import combine, compare

log = structlog.get_logger("service")


async def follow(asked: trio.MemoryReceiveChannel[None], reload: Callable[[str], Awaitable[str]]) -> None:
    """Read the settings again whenever a SIGHUP asks for it. Nothing that goes wrong then ends the daemon."""
    async for _ in asked:
        try:
            await reload("SIGHUP")
        except SettingsError:
            pass  # it is in the log, and nothing has changed
        except Exception:
            log.exception("settings_not_reloaded", by="SIGHUP")


class Reload:
    """One reload at a time. `adopt` puts settings into effect whole, or raises SettingsError."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        adopt: Callable[[Settings], Awaitable[None]],
        report: Report | None,
    ) -> None:
        self._settings = settings
        self._read = read
        self._adopt = adopt
        self._report = report
        self._lock = trio.Lock()

    async def run(self, who: str) -> str:
        """What has changed, in words. Raises SettingsError, and then nothing has."""
        async with self._lock:
            if self._report is not None:
                self._report.begin_reload()
            try:
                return await self._run(who)
            except SettingsError as error:
                log.error("settings_refused", by=who, error=str(error))
                raise
            finally:
                if self._report is not None:
                    self._report.end_reload()

    async def _run(self, who: str) -> str:
        new = await trio.to_thread.run_sync(self._read)
        change = compare(self._settings, new)
        if change.live:
            settings = combine(self._settings, new)
            await self._adopt(settings)
            self._settings = settings
        log.info("settings_reloaded", by=who, changed=change.live, at_the_next_start=change.kept)
        said = [f"Changed: {', '.join(change.live)}."] if change.live else ["Nothing has changed now."]
        said += [f"At the next start: {', '.join(change.kept)}."] if change.kept else []
        return " ".join(said)
