"""How soon the HTTP API answers with a million rows in a list, at any depth.

The real application and server, the real database, and one client in a process of its own (this module as a
program), which asks one request after the other, as somebody's script does.
"""

import json
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from random import Random
from typing import Any, cast

import trio

from bench.figure import Aim, Figure, Report
from orchestrator.actors.actor import Surroundings
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Allocator
from orchestrator.cache.parts import in_process
from orchestrator.clock import Clock
from orchestrator.control.verbs import asker, verbs_of
from orchestrator.db.pool import Connection, Database
from orchestrator.health.checks import Checks
from orchestrator.health.modes import Modes
from orchestrator.health.status import House
from orchestrator.metrics import Metrics
from orchestrator.settings import AllocatorSettings
from orchestrator.settings.cache import CacheSettings
from orchestrator.web.api import make_app
from orchestrator.web.guard import Token
from orchestrator.web.serve import serve_http
from orchestrator.web.v1.cursor import Cursors
from orchestrator.web.v1.routes import CURSORS, make_routes

AIM = Aim(20, "ms")
ROWS = 1_000_000
REQUESTS = 300
"""Of each list and depth."""
FILL_LIMIT_S = 1800.0
DEPTHS = {"first page": None, "middle": ROWS // 2, "last pages": ROWS // 50}
LISTS: dict[str, dict[str, str]] = {
    "/posts": {},
    "/posts?state=published&account=account7": {"state": "published", "account": "account7"},
    "/runs": {},
    "/runs?job=job7&ending=given_up": {"job": "job7", "ending": "given_up"},
}
FILL = (
    """
    INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at, created_at,
                       state_since, fence, published_at, reference)
    SELECT 'account' || n % 100, repeat('word ', 40), md5(n::text), 'published', 'topic', 'tip', 1, 'a file',
           now(), now(), now(), 1, now(), 'r' || n FROM generate_series(1, $1::int) n
    """,
    """
    INSERT INTO job_runs (job, trigger, attempt, fence, started_at, finished_at, ending, detail)
    SELECT 'job' || n % 26, 'schedule', 1, 1, now(), now(),
           CASE WHEN n % 5 = 0 THEN 'given_up' ELSE 'done' END, '30 pages read'
    FROM generate_series(1, $1::int) n
    """,
    "ANALYZE posts, job_runs",
)


async def measure(database: Database) -> Report:
    """The 95th percentile of each list, at its slowest depth."""
    await database.run(_fill, limit_s=FILL_LIMIT_S)
    house, token = _house(database), Token("bench")
    ask = asker(verbs_of(house, lambda _who: None), "api")
    app = make_app(
        look=lambda: (True, {}),
        metrics=bytes,
        more=make_routes(house, ask, token, is_open_to_read=True),
    )
    figures = []
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_http, app, "127.0.0.1", 0)
        for path, filters in LISTS.items():
            taken = await _look(port, path, filters, Cursors(token.derived(CURSORS)))
            slowest = max(_percentile(times, 0.95) for times in taken.values())
            each = ", ".join(
                f"{depth} {_percentile(times, 0.5):.1f}/{_percentile(times, 0.95):.1f}"
                for depth, times in taken.items()
            )
            what = f"API: GET {path}, 50 of a million rows, 95th percentile at the slowest depth"
            figures.append(Figure(what, slowest, f"{each} (median/95th, ms)", "", AIM, "ms", 1))
        nursery.cancel_scope.cancel()
    note = f"API: {ROWS:,} posts and runs, {REQUESTS} requests of each list and depth, one after the other"
    return Report(figures, [note])


async def _look(
    port: int, path: str, filters: dict[str, str], cursors: Cursors
) -> dict[str, Sequence[float]]:
    """Milliseconds of each request, by depth."""
    name, rng = path.partition("?")[0].removeprefix("/"), Random(1)
    taken: dict[str, Sequence[float]] = {}
    for depth, row in DEPTHS.items():
        paths = []
        for _ in range(REQUESTS):
            paths.append(f"/api/v1{path}")
            if row is not None:
                cursor = cursors.seal(name, filters, (row + rng.randrange(500),))
                paths[-1] += f"{'&' if '?' in path else '?'}cursor={cursor}"
        command = [sys.executable, "-m", "bench.api", str(port)]
        done = await trio.run_process(command, stdin=json.dumps(paths).encode(), capture_stdout=True)
        taken[depth] = cast("list[float]", json.loads(done.stdout))
    return taken


async def _fill(connection: Connection) -> None:
    await connection.execute("SET LOCAL statement_timeout = 0")
    for statement in FILL:
        args = (ROWS,) if "$1" in statement else ()
        await connection.execute(statement, *args, timeout=FILL_LIMIT_S)


def _house(database: Database) -> House:
    """A house that has the database, and no jobs."""
    clock, metrics = Clock(), Metrics()
    checks = Checks(clock, metrics)
    cache = in_process(CacheSettings(), clock, metrics)
    house = House(clock, checks, Modes(checks, metrics), Allocator(AllocatorSettings()), cache)
    house.database = database
    house.supervisor = Supervisor([], metrics, cast("Surroundings", None))
    return house


def _percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


# ── the client ──────────────────────────────────────────────────────────────────────────────────


def main(port: int, paths: Sequence[str]) -> list[float]:
    """Ask for each path; milliseconds until the whole answer was there."""
    connection, taken = HTTPConnection("127.0.0.1", port, timeout=60), list[float]()
    for path in paths:
        started_at = time.perf_counter()
        try:
            items = _get(connection, path)
        except (OSError, HTTPException):  # a connection has a minute
            connection.close()
            started_at = time.perf_counter()
            items = _get(connection, path)
        taken.append((time.perf_counter() - started_at) * 1000)
        if len(items) != 50:
            raise SystemExit(f"{path}: {len(items)} rows")
    return taken


def _get(connection: HTTPConnection, path: str) -> list[Any]:
    connection.request("GET", path)
    found: list[Any] = json.loads(connection.getresponse().read())["items"]
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), json.load(sys.stdin))))
