"""Which rows are old, and how they are taken out: a page of a table at a time, by its keys.

A page is a fixed number of rows in the order of an index, whatever becomes of them: so each transaction is
short, also where hardly any row goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.db import lease
from orchestrator.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of one table that go when they are old. The texts are SQL; `r` is the row, `$1` the moment."""

    name: str
    table: str
    age: str
    """The setting of `retention` that says how old."""
    order: str
    """The column of their age: `order` and `key` lead through an index."""
    key: tuple[tuple[str, str], ...]
    """The columns of the primary key, with their types."""
    order_type: str = "timestamptz"
    among: str = "true"
    """What rows of the index are looked at."""
    goes: str = "true"
    """Which of those go."""
    line: str = "to_jsonb(r)"
    """What is archived."""
    times: int = 1
    """So many times the age."""
    keeps_place: bool = False
    """The next run goes on where this one ended: most rows stay, and are not looked at twice."""


# Scalar sub-queries with LIMIT 1, not EXISTS: so they walk an index for each row of the page, whatever the
# planner thinks of the table; as a join they could read all of it for each page.

_NOT_LATEST = """r.started_at < (SELECT n.started_at FROM job_runs n
    WHERE n.job = r.job AND n.ending = r.ending
    AND starts_with(n.trigger, 'asked by ') = starts_with(r.trigger, 'asked by ')
    ORDER BY n.started_at DESC LIMIT 1)"""
"""Of each job, ending and kind of trigger the latest run tells a new daemon what has been: it stays."""
_DONE = "('done', 'nothing_to_do', 'skipped')"


def _has_later_in(unit: str) -> str:
    return f"""(SELECT n.read_at FROM post_metrics n WHERE n.post_id = r.post_id AND n.read_at > r.read_at
        ORDER BY n.read_at LIMIT 1) < date_trunc('{unit}', r.read_at, 'UTC') + interval '1 {unit}'"""  # noqa: S608


_READING = (("post_id", "bigint"), ("read_at", "timestamptz"))

RULES = (
    Rule(
        "runs", "job_runs", "runs_days", "finished_at", (("id", "bigint"),),
        among=f"r.ending IN {_DONE}", goes=_NOT_LATEST,
    ),
    Rule(
        "failed_runs", "job_runs", "failed_days", "finished_at", (("id", "bigint"),),
        among=f"r.ending NOT IN {_DONE}", goes=_NOT_LATEST,
    ),
    Rule(
        "failed_posts", "posts", "failed_days", "state_since", (("id", "bigint"),),
        among="r.state = 'failed'", goes="r.decision IS DISTINCT FROM 'drop'",
    ),
    Rule(
        "readings", "post_metrics", "readings_days", "read_at", _READING,
        goes=_has_later_in("day"), keeps_place=True,
    ),
    Rule(
        "old_readings", "post_metrics", "readings_days", "read_at", _READING,
        goes=_has_later_in("week"), times=8, keeps_place=True,
    ),
    Rule(
        "alerts", "alerts", "failed_days", "cleared_at", (("id", "text"),), among="r.cleared_at IS NOT NULL",
        goes="NOT EXISTS (SELECT FROM alert_deliveries d WHERE d.alert = r.id AND d.over_at IS NULL)",
        line="to_jsonb(r) || jsonb_build_object('deliveries', "
        "(SELECT jsonb_agg(to_jsonb(d)) FROM alert_deliveries d WHERE d.alert = r.id))",
    ),
    Rule(
        "opportunities", "opportunities", "failed_days", "state_since", (("id", "bigint"),),
        among="r.state IN ('answered', 'passed', 'stale')",
    ),
    Rule("peer_posts", "peer_posts", "peers_days", "seen_at",
         (("site", "text"), ("author", "text"), ("reference", "text"))),
    Rule("findings", "findings", "sums_days", "superseded_at", (("id", "bigint"),),
         among="r.superseded_at IS NOT NULL"),
    Rule("models", "models", "sums_days", "state_since", (("version", "bigint"),),
         among="r.state IN ('retired', 'rolled_back')"),
    Rule("attributions", "attributions", "sums_days", "day", (("post_id", "bigint"),), "date"),
    Rule("rollups", "rollups", "sums_days", "day",
         (("account", "text"), ("day", "date"), ("dimension", "text"), ("value", "text")), "date"),
    Rule("daily_counters", "daily_counters", "sums_days", "day",
         (("account", "text"), ("day", "date")), "date"),
    Rule("model_calls", "model_calls", "sums_days", "asked_at", (("id", "bigint"),),
         goes="r.ended_at IS NOT NULL"),
    Rule("model_days", "model_days", "sums_days", "day", (("day", "date"),), "date",
         goes="NOT EXISTS (SELECT FROM model_calls c WHERE c.day = r.day)"),
)  # fmt: skip

BOUNDED = {
    "account_states": "one row for each account",
    "added_accounts": "one row for each account",
    "account_troubles": "four rows for each account",
    "account_figures": "100 rows for each account",
    "alert_deliveries": "they go with their alert",
    "arms": "one row for each value of a choice",
    "breaker_orders": "one row for each outside party",
    "daemon_lease": "one row",
    "disabled_accounts": "one row for each account",
    "notes": "one row for each key of a job",
    "outcomes": "one small row a post, as long as the post",
    "paces": "one row for each account",
    "paused_jobs": "one row for each job",
    "peers": "500 rows for each site",
    "posts": "what was published is kept for good: so a post is recognised, and none goes out twice",
    "predictions": "two small rows a post at most, as long as the post and the model",
    "prepared_posts": "the pool: twenty rows at most",
    "schema_migrations": "one row for each migration",
    "sessions": "one row for each account",
}
"""The tables without a rule, and what bounds them."""


@dataclass(frozen=True, slots=True)
class Page:
    """So much of a table as was looked at in one go."""

    lines: list[str]
    """The rows that are to go, each as JSON."""
    keys: list[tuple[Any, ...]]
    """Theirs."""
    place: tuple[Any, ...] | None
    """Where the page ended; None: it was the last one."""


def cutoff(rule: Rule, days: int, now: datetime) -> Any:
    """What is older goes: a moment, or a day."""
    moment = now - timedelta(days=days * rule.times)
    return moment.date() if rule.order_type == "date" else moment


async def page(
    connection: Connection, rule: Rule, before: Any, place: tuple[Any, ...] | None, size: int
) -> Page:
    """The next `size` rows older than `before`, beyond `place`: which of them go."""
    columns = [rule.order, *(name for name, _ in rule.key if name != rule.order)]
    types = [rule.order_type, *(kind for name, kind in rule.key if name != rule.order)]
    listed = ", ".join(f"r.{name}" for name in columns)
    marks = ", ".join(f"${number}::{kind}" for number, kind in enumerate(types, start=3))
    beyond = f"AND ({listed}) > ({marks})" if place is not None else ""
    rows = await connection.fetch(
        f"""
        SELECT {listed}, CASE WHEN {rule.goes} THEN ({rule.line})::text END AS line
        FROM {rule.table} r WHERE {rule.among} AND r.{rule.order} < $1 {beyond}
        ORDER BY {listed} LIMIT $2
        """,  # noqa: S608 - constants
        before,
        size,
        *(place or ()),
    )
    going = [row for row in rows if row["line"] is not None]
    end = tuple(rows[-1][name] for name in columns) if len(rows) == size else None
    return Page(
        [row["line"] for row in going],
        [tuple(row[name] for name, _ in rule.key) for row in going],
        end,
    )


async def drop(
    connection: Connection, rule: Rule, keys: Sequence[tuple[Any, ...]], before: Any, fence: int
) -> int:
    """Delete the rows with these keys that are still to go; how many."""
    await lease.check(connection, fence)
    arrays = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(rule.key, start=2))
    same = " AND ".join(f"t.{name} = k.{name}" for name, _ in rule.key)
    names = ", ".join(name for name, _ in rule.key)
    # OFFSET 0: each row is looked up by its key before anything else is asked of it.
    done: str = await connection.execute(
        f"""
        DELETE FROM {rule.table} gone USING (
            SELECT r.place FROM unnest({arrays}) AS k ({names})
            CROSS JOIN LATERAL (SELECT t.ctid AS place, t.* FROM {rule.table} t WHERE {same} OFFSET 0) r
            WHERE {rule.among} AND r.{rule.order} < $1 AND {rule.goes}
        ) old
        WHERE gone.ctid = old.place
        """,  # noqa: S608 - constants
        before,
        *([key[number] for key in keys] for number in range(len(rule.key))),
    )
    return int(done.rpartition(" ")[2])
