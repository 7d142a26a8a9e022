"""How long Prometheus waits for an answer of a daemon at work."""

import time
from http.client import HTTPConnection
from pathlib import Path

from bench.daemon import Daemon, running_demo
from bench.figure import Aim, Figure, Report, spread

ACCOUNTS = 20
WARM_UP_S = 30.0
EVERY_S = 1.0
SCRAPES = 20
AIM = Aim(50, "ms")


def measure(directory: Path, rounds: int) -> Report:
    state_dir = directory / "state"
    state_dir.mkdir(mode=0o755)
    with running_demo(state_dir, "--accounts", str(ACCOUNTS)) as daemon:
        time.sleep(WARM_UP_S)
        taken, series, size = [], 0, 0
        for _ in range(rounds * SCRAPES):
            time.sleep(EVERY_S)
            took_s, text = _scrape(daemon)
            taken.append(took_s)
            series = max(series, sum(not line.startswith(b"#") for line in text.splitlines()))
            size = max(size, len(text))
    figure = Figure(
        f"/metrics of the demo with {ACCOUNTS} accounts at work, the longest",
        1000 * max(taken),
        f"{spread(taken, 1000, 1)} ms, {series} series, {size / 1000:.0f} kB",
        aim=AIM,
        unit="ms",
        decimals=1,
    )
    return Report([figure], [f"metrics: {len(taken)} scrapes"])


def _scrape(daemon: Daemon) -> tuple[float, bytes]:
    connection = HTTPConnection("127.0.0.1", daemon.http_port, timeout=10)
    started_at = time.monotonic()
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read()
    finally:
        connection.close()
    return time.monotonic() - started_at, text
