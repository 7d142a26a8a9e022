"""What the dashboards and alerts ask, asked of a real Prometheus that scrapes the real daemon at work."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dashboards.__main__ import BOARDS
from tests.dashboards.prometheus import LOOPBACK, Document, Server, alertmanager, prometheus
from tests.dashboards.test_boards import panels
from tests.dashboards.test_rules import rules
from tests.integration.daemon import WITH_READERS, Daemon, running, wait_until

pytestmark = pytest.mark.timeout(600)
"""It starts the whole house, which takes seconds, on a machine that may be busy."""

NOTHING_TO_SHOW = {
    # what needs a thing that this house does not have, or days
    ("orchestrator-posting", "Error of the models"): "no model has been judged yet",
    ("orchestrator-posting", "Tier"): "no language model",
    ("orchestrator-resources", "Messages to people"): "no destination",
}
OF_HASTE = {"OrchestratorQueueLong", "OrchestratorPostLate"}
"""Alerts that a clock 1,200 times as fast makes true now and then: a quarter of an hour is a second there."""
SCRAPES = "12s"
"""What `$__rate_interval` is here."""


def expressions() -> list[tuple[str, str, str]]:
    """Dashboard, panel and expression, with the variables filled in as Grafana does it."""
    return [
        (board.uid, panel["title"], target["expr"].replace("=~'$instance'", "=~'.*'"))
        for board in BOARDS
        for panel in panels(board)
        for target in panel["targets"]
    ]


async def address_of(daemon: Daemon) -> str:
    return str(urlsplit((await daemon.status())["links"]["health"]).netloc)


async def test_each_panel_shows_something_of_a_daemon_at_work(state_dir: Path, tmp_path: Path) -> None:
    environment = {**WITH_READERS, "ORCHESTRATOR_PREDICTOR__MIN_POSTS": "20"}  # so that a model comes soon
    async with running(state_dir, environment=environment) as daemon:
        await daemon.wait_for_mode("ready")
        async with prometheus(tmp_path, await address_of(daemon)) as server:
            missing = expressions()

            async def all_show_something() -> bool:
                nonlocal missing
                missing = [one for one in missing if not await shows(server, one[2])]
                return {one[:2] for one in missing} <= set(NOTHING_TO_SHOW)

            await wait_until(all_show_something, "each panel shows something", lambda: missing, 400)
            for rule in rules():
                await server.query(rule["expr"])  # it can be asked
            assert await server.firing() <= OF_HASTE
            [count] = await server.query('count({__name__=~"orchestrator_.+"})')
            print(f"{count['value'][1]} series")  # noqa: T201 - pytest -rP shows it
            assert int(count["value"][1]) < 1000


async def shows(server: Server, expr: str) -> bool:
    """Whether the expression has a value that is a number."""
    found = await server.query(expr.replace("$__rate_interval", SCRAPES))
    return any(re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", one["value"][1]) for one in found)


async def test_a_fault_reaches_a_person_through_alertmanager(state_dir: Path, tmp_path: Path) -> None:
    """The site is gone, its breaker opens, Prometheus sees it, Alertmanager tells a webhook."""
    told: list[Document] = []

    class Person(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = ThreadingHTTPServer((LOOPBACK, 0), Person)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        webhook = f"http://{LOOPBACK}:{receiver.server_port}/"
        async with running(state_dir) as daemon, alertmanager(tmp_path, webhook) as manager:
            await daemon.wait_for_mode("ready")
            async with prometheus(tmp_path, await address_of(daemon), manager.address):
                await daemon.set_faults(error_500={"rate": 1})

                async def is_told() -> bool:
                    names = {alert["labels"]["alertname"] for message in told for alert in message["alerts"]}
                    return "OrchestratorBreakerOpen" in names

                await wait_until(is_told, "a person is told", lambda: (told, daemon.said()), 120)
    finally:
        receiver.shutdown()
        receiver.server_close()
    alerts = [alert for message in told for alert in message["alerts"]]
    [breaker] = {
        a["labels"]["breaker"] for a in alerts if a["labels"]["alertname"] == "OrchestratorBreakerOpen"
    }
    assert breaker.startswith("site:")
