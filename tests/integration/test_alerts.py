"""The real program tells a webhook what is wrong, also when it is killed while it does."""

import json
import re
from pathlib import Path

import pytest

from tests.alerts.webhook import TOKEN, Webhook, webhook
from tests.integration.daemon import Daemon, running, wait_until

pytestmark = pytest.mark.timeout(300)

SITE = "site:murmur"


def told(hook: Webhook) -> list[str]:
    """The ids of what was told of the site's breaker, in order."""
    return [
        found for body in hook.bodies for found in re.findall(rf"\(breaker_open {SITE}, id (\S+)\)", body)
    ]


async def wait_until_told(daemon: Daemon, hook: Webhook, count: int) -> None:
    async def is_told() -> bool:
        return len(told(hook)) >= count

    await wait_until(is_told, f"{count} tellings", daemon.said)


async def delivery(daemon: Daemon) -> dict[str, object]:
    found = [one for one in (await daemon.ask("alerts"))["alerts"] if one["name"] == "breaker_open"]
    return dict(found[0]["deliveries"][0]) if found else {}


async def test_an_alert_outlives_a_kill_and_its_address_is_seen_nowhere(state_dir: Path) -> None:
    with webhook() as hook:
        environment = {"ORCHESTRATOR_ALERTS__DESTINATIONS__OPS__URL": hook.url}
        crash = {"ORCHESTRATOR_CRASH_AT": "tell:after", "ORCHESTRATOR_CRASH_BY": "kill"}
        async with running(state_dir, environment={**environment, **crash}) as daemon:
            await daemon.wait_for_mode("ready")
            await daemon.ask("breaker", breaker=SITE, order="open")
            assert await daemon.ended() == -9
            assert len(told(hook)) == 1  # and that is recorded nowhere
        hook.does = 500
        async with running(state_dir, environment=environment) as daemon:
            await daemon.wait_for_mode("degraded")
            await wait_until_told(daemon, hook, 2)
            hook.does = 200
            seen = json.dumps([await daemon.status(), await daemon.ask("alerts")])

            async def is_recorded() -> bool:
                return bool((await delivery(daemon)).get("told"))

            await wait_until(is_recorded, "the destination knows", daemon.said, patience_s=120)
            count = len(told(hook))
            await daemon.ask("breaker", breaker=SITE, order="close")
            await wait_until_told(daemon, hook, count + 1)
            await daemon.ask("drain")
            assert await daemon.ended() == 0
        first, *again, over = told(hook)
        assert set(again) == {first}
        assert over == first.replace("-1", "-over")
        log = (state_dir / "daemon.log").read_text()
        assert "alerts_not_delivered" in log
        assert TOKEN not in log + daemon.output.read_text() + seen
