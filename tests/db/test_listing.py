"""What a page of a long list costs: the same at any depth, whatever is asked for."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.db import listing
from orchestrator.db.listing import Key, Listing
from orchestrator.db.pool import Connection, Database
from tests import rows
from tests.db.test_query_plans import ROWS, Spy
from tests.rows import NOON

LIMIT = 50
MOST_BLOCKS = 600
"""Of 8 KB, each looked at for one page: a few for each row and the way through an index."""

FILL = (
    """
    INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at, created_at,
                       state_since, fence, published_at, reference, in_reply_to)
    SELECT 'account' || n % 50, 'text ' || n, md5(n::text), state, 'topic', 'tip', 1, 'a file', $1, $1, $1, 1,
           CASE WHEN state = 'published' THEN $1::timestamptz END,
           CASE WHEN state = 'published' THEN 'r' || n END, CASE WHEN n % 20 = 0 THEN 'p' || n END
    FROM (SELECT n, CASE WHEN n <= $2::int / 3 THEN 'failed' WHEN n % 500 = 0 THEN 'draft'
                         WHEN n > $2::int - 300 THEN 'queued' ELSE 'published' END AS state
          FROM generate_series(1, $2::int) n) made
    """,
    """
    INSERT INTO job_runs (job, trigger, attempt, fence, started_at, finished_at, ending)
    SELECT 'job' || n % 26, 'schedule', 1, 1, at, at,
           CASE WHEN n <= $2::int / 3 THEN 'skipped' WHEN n % 100 = 0 THEN 'given_up' ELSE 'done' END
    FROM (SELECT n, $1::timestamptz + n * interval '30 seconds' AS at FROM generate_series(1, $2::int) n) made
    """,
    """
    INSERT INTO alerts SELECT 'a' || n, 'kind' || n % 30, 's' || n, 'warning', 'what', 'remedy', at, at,
                              CASE WHEN n % 1000 > 0 AND n < $2::int * 0.8 THEN at END
    FROM (SELECT n, $1::timestamptz + n / 3 * interval '1 minute' AS at
          FROM generate_series(1, $2::int) n) made
    """,
    """
    INSERT INTO models (scope, kind, trained_at, from_at, to_at, posts, error, mean_error, parameters, state,
                        state_since, why)
    SELECT CASE WHEN n <= $2::int / 3 THEN 'old' ELSE 'site' || n % 50 END, 'ridge', $1, $1, $1, 9, 1, 1,
           '{}', 'retired', $1, 'why' FROM generate_series(1, $2::int) n
    """,
    """
    INSERT INTO opportunities (site, reference, author, text, posted_at, seen_at, relevance, topic, state,
                               state_since, why)
    SELECT 'site' || n % 5, 'r' || n, 'bert', 'hm', $1, $1, 0.5, 'bread',
           CASE WHEN n <= $2::int / 3 THEN 'answered' WHEN n % 500 = 0 THEN 'open' ELSE 'stale' END, $1, 'why'
    FROM generate_series(1, $2::int) n
    """,
)
"""A third is of one state or ending, all of them old: the planner thinks that they are everywhere."""
TABLES = "posts, job_runs, alerts, models, opportunities"

FILTERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "posts": {"state": ("published", "failed", "draft", "ambiguous"), "account": ("account7", "nobody")},
    "replies": {"state": ("published", "failed", "queued"), "account": ("account0", "account7")},
    "drafts": {"account": ("account0", "nobody")},
    "runs": {"job": ("job7", "nothing"), "ending": ("done", "skipped", "given_up", "interrupted")},
    "alerts": {"name": ("kind7", "nothing"), "is_over": (True, False)},
    "models": {"site": ("old", "site7", "nowhere")},
    "opportunities": {"site": ("site3", "nowhere"), "state": ("answered", "open", "drafted")},
}


def combinations(wanted: Listing) -> list[dict[str, Any]]:
    """Every set of filters, with every value, none at all among them."""
    found = []
    names = FILTERS[wanted.name]
    for values in itertools.product(*((None, *choices) for choices in names.values())):
        chosen = zip(names, values, strict=True)
        found.append({name: value for name, value in chosen if value is not None})
    return found


def blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def passed_over(plan: dict[str, Any]) -> int:
    """Rows that were read and not wanted."""
    own = int(plan.get("Rows Removed by Filter", 0)) * int(plan["Actual Loops"])
    return own + sum(passed_over(part) for part in plan.get("Plans", ()))


async def cost(
    connection: Connection, wanted: Listing, filters: dict[str, Any], beyond: Key | None
) -> tuple[int, int]:
    """Blocks that were looked at, and rows that were passed over."""
    spy = Spy(connection)
    await listing.page(spy, wanted, filters, beyond, LIMIT)  # type: ignore[arg-type]
    [(query, args)] = spy.asked
    raw = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *args)
    [whole] = json.loads(raw) if isinstance(raw, str) else raw
    return blocks(whole["Plan"]), passed_over(whole["Plan"])


def depths(wanted: Listing) -> list[Key | None]:
    """No cursor, and cursors in the middle and near the end of the list."""
    if wanted is listing.ALERTS:
        return [None, *((NOON + timedelta(minutes=at), "a5") for at in (ROWS / 3 / 2, ROWS / 3 / 50))]
    return [None, (ROWS // 2,), (ROWS // 50,)]


@pytest.fixture
async def filled(database: Database) -> AsyncIterator[Database]:
    async def fill(connection: Connection) -> None:
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
        for statement in FILL:
            await connection.execute(statement, NOON, ROWS, timeout=1200)

    await database.run(fill, limit_s=1200)
    await rows.execute(database, f"ANALYZE {TABLES}")
    yield database
    await rows.execute(database, f"TRUNCATE {TABLES} CASCADE")


@pytest.mark.timeout(1500)
async def test_a_page_costs_the_same_at_any_depth_with_any_filter(filled: Database) -> None:
    costly = {}
    for wanted in listing.LISTINGS:
        for filters in combinations(wanted):
            for beyond in depths(wanted):
                found = await filled.run(cost, wanted, filters, beyond)
                if found[0] > MOST_BLOCKS:
                    costly[f"{wanted.name} {filters} beyond {beyond}"] = found[0]
    assert costly == {}
    for is_over in (True, False):  # the newest are all open: none of them is read for those that are over
        _, others = await filled.run(cost, listing.ALERTS, {"is_over": is_over}, None)
        assert others == 0


async def test_every_filter_is_looked_at() -> None:
    assert {one.name: set(one.filters) for one in listing.LISTINGS} == {
        name: set(filters) for name, filters in FILTERS.items()
    }
