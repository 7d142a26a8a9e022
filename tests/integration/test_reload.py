"""The real daemon reads its settings again: by SIGHUP, and when it is asked on the control socket."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from orchestrator.errors import ControlError
from tests.integration.daemon import Daemon, wait_until

pytestmark = pytest.mark.timeout(300)

SETTINGS = """
[http]
port = 0
[jobs.health_monitor]
every_s = 60
"""
DESTINATION = '[alerts.destinations.ops]\nurl = "json://127.0.0.1:9/canary-of-a-secret"\n'


@asynccontextmanager
async def service(state_dir: Path) -> AsyncIterator[Daemon]:
    """`orchestrator run` on a settings file, without a terminal; killed at the end."""
    settings, output = state_dir / "settings.toml", state_dir / "output"
    settings.write_text(f'state_dir = "{state_dir}"\n{SETTINGS}')
    command = [sys.executable, "-m", "orchestrator", "run", "--config", str(settings)]
    async with trio.open_nursery() as nursery:
        with output.open("a") as file:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    command,
                    stdin=b"",
                    stdout=file,
                    stderr=file,
                    check=False,
                    env=os.environ,
                )
            )
        try:
            yield Daemon(process, state_dir, output)
        finally:
            nursery.cancel_scope.cancel()


async def destinations(daemon: Daemon) -> list[str]:
    return [one["name"] for one in (await daemon.ask("alerts"))["destinations"]]


async def test_settings_change_while_it_runs_and_a_wrong_one_changes_nothing(state_dir: Path) -> None:
    async with service(state_dir) as daemon:
        await daemon.wait_for_mode("degraded")  # there is no account
        settings = state_dir / "settings.toml"
        text = settings.read_text()

        settings.write_text(f'{text}{DESTINATION}[log]\nlevel = "debug"\n')
        daemon.signal(signal.SIGHUP)

        async def is_known() -> bool:
            return await destinations(daemon) == ["ops"]

        await wait_until(is_known, "the destination is known", daemon.said)
        assert "alerts:ops" in [one["name"] for one in (await daemon.ask("breakers"))["breakers"]]

        settings.write_text(text.replace("every_s = 60", "every_s = 5").replace("port = 0", "port = 1"))
        said = (await daemon.ask("reload"))["message"]
        assert said.startswith("Changed: jobs.health_monitor.every_s, log.level. At the next start: ")
        assert "http.port" in said
        assert await destinations(daemon) == ["ops"]

        before = await runs(daemon)

        async def has_run_often() -> bool:
            return await runs(daemon) >= before + 2

        await wait_until(has_run_often, "health_monitor runs every 5 s", daemon.said)

        settings.write_text(f"{text}\n[log]\nlevel = 'loud'\n")
        with pytest.raises(ControlError, match=r"log\.level = 'loud'"):
            await daemon.ask("reload")
        daemon.signal(signal.SIGHUP)

        async def is_refused() -> bool:
            return daemon.output.read_text().count('"settings_refused"') == 2

        await wait_until(is_refused, "the signal is refused too", daemon.said)
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0
        assert "canary-of-a-secret" not in daemon.output.read_text()


async def runs(daemon: Daemon) -> int:
    return sum((await daemon.job("health_monitor")).get("runs", {}).values())
