"""The database's queries at size: each walks an index (B1, E5). `make queries` asks a million rows."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest

from orchestrator.db import (
    comparison,
    decisions,
    findings,
    learned,
    measurements,
    models,
    opportunities,
    pace,
    peers,
    post_figures,
    posts,
    reply_drafts,
    retention,
    rollups,
    runs,
    settled_replies,
)
from orchestrator.db.opportunities import Found, Opportunity, OpportunityState
from orchestrator.db.pool import Connection, Database
from orchestrator.db.reply_drafts import Limits
from orchestrator.model import PostState
from tests import rows
from tests.rows import NOON

ROWS = int(os.environ.get("ROWS", "20000"))
LARGE = (
    "posts",
    "post_metrics",
    "job_runs",
    "attributions",
    "rollups",
    "outcomes",
    "peer_posts",
    "peers",
    "opportunities",
)

FILL = (
    """
    INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at, created_at,
                       state_since, fence, published_at, reference, measured_at, learned_at, attributed_at)
    SELECT 'account' || n % 100, 'text ' || n, md5(n::text),
           CASE WHEN n % 1000 = 0 THEN 'queued' WHEN n % 1000 = 1 THEN 'failed'
                WHEN n % 1000 = 2 THEN 'ambiguous' ELSE 'published' END,
           'topic' || n % 5, 'tip', n % 24, 'a file', at, at, at, 1,
           CASE WHEN n % 1000 > 2 THEN at END, CASE WHEN n % 1000 > 2 THEN 'r' || n END,
           CASE WHEN n % 1000 > 2 AND n % 500 <> 3 THEN $1::timestamptz - n % 1440 * interval '1 minute' END,
           CASE WHEN n % 500 <> 4 THEN at END, CASE WHEN n % 500 <> 4 THEN at END
    FROM (SELECT n, $1::timestamptz - n * interval '5 minutes' AS at FROM generate_series(1, $2::int) n) made
    """,
    """
    INSERT INTO post_metrics SELECT id, published_at + interval '7 hours', 3, 1, 90 FROM posts
    WHERE published_at IS NOT NULL AND $1::timestamptz IS NOT NULL AND $2::int > 0
    """,
    """
    INSERT INTO job_runs (job, trigger, attempt, fence, started_at, finished_at, ending)
    SELECT 'job' || n % 26, 'schedule', 1, 1, at, at, CASE WHEN n % 100 = 0 THEN 'given_up' ELSE 'done' END
    FROM (SELECT n, $1::timestamptz - n * interval '30 seconds' AS at FROM generate_series(1, $2::int) n) made
    """,
    """
    INSERT INTO attributions
    SELECT id, account, published_at::date, hour, topic, format, 'statement', 'under 80', 3, 1, 90, 0.5,
           published_at
    FROM posts WHERE published_at IS NOT NULL AND $1::timestamptz IS NOT NULL AND $2::int > 0
    """,
    """
    INSERT INTO outcomes SELECT id, 'murmur', 0.5, 3, 1, 90, published_at FROM posts
    WHERE published_at IS NOT NULL AND $1::timestamptz IS NOT NULL AND $2::int > 0
    """,
    """
    INSERT INTO rollups SELECT 'account' || n % 100, ($1::timestamptz - n / 500 * interval '1 day')::date,
                               'topic', 'topic' || n, 1, 3, 1, 90, 0.5, 0.25
    FROM generate_series(1, $2::int) n
    """,
    """
    INSERT INTO peer_posts SELECT 'site' || n % 10, 'author' || n % 300, 'r' || n, 'text', 3, 1, NULL, NULL,
                                  $1::timestamptz - n * interval '1 minute'
    FROM generate_series(1, $2::int) n
    """,
    """
    INSERT INTO peers SELECT 'site' || n % 10, 'author' || n, 'bread', n % 77, $1, $1, NULL
    FROM generate_series(1, $2::int) n
    """,
    """
    INSERT INTO opportunities (site, reference, author, text, posted_at, seen_at, relevance, topic, state,
                               state_since, why)
    SELECT 'site' || n % 10, 'r' || n, 'author' || n % 300, 'text', at, at, n % 100 / 100.0, 'topic1',
           CASE WHEN n <= 300 THEN 'open' WHEN n % 3 = 0 THEN 'answered' ELSE 'stale' END, at, ''
    FROM (SELECT n, $1::timestamptz - n * interval '1 minute' AS at FROM generate_series(1, $2::int) n) made
    """,
    """
    INSERT INTO findings (kind, site, account, subject, statement, effect, low, high, posts, since, looked_at)
    SELECT 'format', 'murmur', 'account' || n % 100, 'tip' || n, '', 0.1, 0, 0.2, 40, $1, $1
    FROM generate_series(1, $2::int / 20) n
    """,
)

ACCOUNT, TWO = "account7", ["account7", "account8"]
DAY = (NOON - timedelta(days=1)).date()
ONE = Opportunity(
    7, "site1", Found("r7", "author7", "", NOON, 1, 0, None, 0.5, "topic1", ""), NOON, OpportunityState.OPEN
)
Ask = Callable[[Connection], Awaitable[object]]

FREQUENT: dict[str, Ask] = {
    "posts.expected": lambda c: posts.expected(c, TWO, NOON, 100),
    "posts.recent_texts": lambda c: posts.recent_texts(c, TWO, 500),
    "posts.known_references": lambda c: posts.known_references(c, ACCOUNT, ["r7", "r107"]),
    "posts.has_published": lambda c: posts.has_published(c, ACCOUNT),
    "posts.counted": lambda c: posts.counted(c, ACCOUNT, DAY),
    "post_figures.in_doubt": lambda c: post_figures.in_doubt(c, TWO),
    "post_figures.oldest_due": lambda c: post_figures.oldest_due(c, TWO, NOON),
    "post_figures.recent": lambda c: post_figures.recent(c, 12),
    "decisions.listed": lambda c: decisions.listed(c, None, None, 20),
    "decisions.find": lambda c: decisions.find(c, 7),
    "measurements.turns": lambda c: measurements.turns(c, TWO),
    "measurements.due": lambda c: measurements.due(c, ACCOUNT, NOON, 100),
    "learned.histories": lambda c: learned.histories(c, TWO, 50),
    "learned.candidates": lambda c: learned.candidates(c, TWO, timedelta(hours=6), 10, 100),
    "models.settled": lambda c: models.settled(c, "murmur", 100),
    "models.in_use": lambda c: models.in_use(c, "murmur"),
    "models.said": lambda c: models.said(c, 1, 200),
    "models.rolled_back": lambda c: models.rolled_back(c, NOON, 10),
    "models.count_since": lambda c: models.count_since(c, "murmur", NOON - timedelta(days=1), 50),
    "rollups.settled": lambda c: rollups.settled(c, TWO, timedelta(hours=6), 10, 100),
    "rollups.histories": lambda c: rollups.histories(c, TWO, 50),
    "rollups.sums": lambda c: rollups.sums(c, TWO, DAY),
    "rollups.totals": lambda c: rollups.totals(c, TWO, DAY),
    "peers.recent": lambda c: peers.recent(c, "site1", NOON - timedelta(hours=5), 100),
    "peers.ours": lambda c: peers.ours(c, [ACCOUNT], DAY, 100),
    "peers.best": lambda c: peers.best(c, "site1", 50, 5),
    "findings.effects": lambda c: findings.effects(c, "murmur", ("format",)),
    "findings.standing": lambda c: findings.standing(c, ["murmur"], ACCOUNT, 100),
    "pace.paces": lambda c: pace.paces(c, TWO),
    "pace.taken": lambda c: pace.taken(c, TWO, NOON - timedelta(days=1), 500),
    "opportunities.best": lambda c: opportunities.best(c, "site1", 300),
    "opportunities.count_open": lambda c: opportunities.count_open(c, ["site1", "site2"]),
    "opportunities.addressed": lambda c: opportunities.addressed(c, "site1", NOON - timedelta(days=1), 100),
    "opportunities.drafts": lambda c: opportunities.drafts(c, TWO),
    "opportunities.reply_texts": lambda c: opportunities.reply_texts(c, TWO, 200),
    "reply_drafts.stale": lambda c: reply_drafts.stale(c, "site1", PostState.DRAFT, NOON),
    "reply_drafts.targets": lambda c: reply_drafts.targets(c, "site1", 500),
    "reply_drafts.may_be_answered": lambda c: reply_drafts.may_be_answered(c, ONE, Limits(TWO, NOON)),
    "settled_replies.settled": lambda c: settled_replies.settled(c, "site1", TWO, timedelta(hours=6), 10),
    "comparison.by_fingerprint": lambda c: comparison.by_fingerprint(c, ACCOUNT, ["a", "b"]),
    "comparison.in_flight": lambda c: comparison.in_flight(c, ACCOUNT),
    "runs.histories": lambda c: runs.histories(c, ["job1", "job2"]),
    "runs.paused": runs.paused,
}
"""What is asked each minute or oftener, or for a person who waits."""


class Spy:
    """A connection that remembers what it was asked."""

    def __init__(self, real: Connection) -> None:
        self._real = real
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        async def ask(query: str, *args: Any) -> Any:
            self.asked.append((query, args))
            return await method(query, *args)

        return ask


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from one end to the other."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


async def plans(connection: Connection, ask: Ask) -> list[dict[str, Any]]:
    spy = Spy(connection)
    await ask(cast("Connection", spy))
    found = []
    for query, args in spy.asked:
        raw = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *args)
        [whole] = json.loads(raw) if isinstance(raw, str) else raw
        found.append(whole["Plan"])
    return found


@pytest.fixture
async def filled(database: Database) -> AsyncIterator[Database]:
    """`ROWS` rows in each large table."""

    async def fill(connection: Connection) -> None:
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("TRUNCATE posts RESTART IDENTITY CASCADE")  # post 7 is one of these
        for statement in FILL:
            await connection.execute(statement, NOON, ROWS, timeout=1200)
        await connection.execute("ANALYZE")

    await database.run(fill, limit_s=1200)
    yield database
    for table in LARGE:
        await rows.execute(database, f"TRUNCATE {table} CASCADE")


@pytest.mark.timeout(1500)
async def test_no_frequent_query_reads_a_large_table_from_one_end_to_the_other(filled: Database) -> None:
    wrong = []
    for name, ask in FREQUENT.items():
        for plan in await filled.run(plans, ask):
            wrong += [f"{name}: {table}" for table in scans(plan) if table in LARGE]
    for rule in retention.RULES:
        before = retention.cutoff(rule, 7, NOON)

        async def ask(connection: Connection, rule: retention.Rule = rule, before: Any = before) -> object:
            return await retention.page(connection, rule, before, None, 100)

        for plan in await filled.run(plans, ask):
            wrong += [f"retention.{rule.name}: {table}" for table in scans(plan) if table in LARGE]
    assert wrong == []


async def test_a_query_without_an_index_is_found(filled: Database) -> None:
    async def ask(connection: Connection) -> object:
        return await connection.fetch("SELECT id FROM posts WHERE source = $1 LIMIT 10", "nobody")

    [plan] = await filled.run(plans, ask)
    assert list(scans(plan)) == ["posts"]
