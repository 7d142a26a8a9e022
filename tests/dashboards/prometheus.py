"""Real Prometheus and Alertmanager on loopback, ended by the test that started them."""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio
import yaml

from tests.dashboards.test_rules import DEPLOY

READY_S = 60.0
END_S = 20.0
LOOPBACK = "127.0.0.1"

Document = dict[str, Any]


def free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus or Alertmanager that answers."""

    address: str

    async def get(self, path: str, **params: str) -> Any:
        """What its API says. AssertionError for a query that it can't take."""
        async with httpx.AsyncClient(base_url=f"http://{self.address}", timeout=30) as http:
            answer = (await http.get(path, params=params)).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expr: str) -> list[Document]:
        """The series that the expression has now."""
        found: list[Document] = (await self.get("/api/v1/query", query=expr))["result"]
        return found

    async def firing(self) -> set[str]:
        alerts = (await self.get("/api/v1/alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@asynccontextmanager
async def prometheus(place: Path, target: str, alertmanager: str = "") -> AsyncIterator[Server]:
    """One that scrapes `target` each second, with the rules and the rest of deploy/prometheus."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "rules" / "*.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager or target]}]}]
    file = place / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"{LOOPBACK}:{free_port()}"
    options = [f"--config.file={file}", f"--storage.tsdb.path={place / 'series'}"]
    async with _running(
        "prometheus", place, address, [*options, f"--web.listen-address={address}"]
    ) as server:
        yield server


@asynccontextmanager
async def alertmanager(place: Path, webhook: str) -> AsyncIterator[Server]:
    """One that sends at once to `webhook`, otherwise as deploy/alertmanager has it."""
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    config["route"]["group_wait"] = config["route"]["group_interval"] = "1s"
    config["receivers"][0]["webhook_configs"][0]["url"] = webhook
    file = place / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"{LOOPBACK}:{free_port()}"
    options = [f"--config.file={file}", f"--storage.path={place / 'told'}", "--cluster.listen-address="]
    listen = f"--web.listen-address={address}"
    async with _running("prometheus-alertmanager", place, address, [*options, listen]) as server:
        yield server


@asynccontextmanager
async def _running(name: str, place: Path, address: str, options: list[str]) -> AsyncIterator[Server]:
    program = shutil.which(name)
    assert program is not None, f"the tests need Debian's package {name}"
    log = place / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen([program, *options], stdout=output, stderr=output, cwd=place)
    try:
        with trio.fail_after(READY_S):
            while not await _is_ready(address):
                assert process.poll() is None, log.read_text()[-2000:]
                await trio.sleep(0.1)
        yield Server(address)
    finally:
        process.terminate()
        process.wait(END_S)


async def _is_ready(address: str) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"http://{address}/-/ready")).status_code == 200
    except httpx.TransportError:
        return False
