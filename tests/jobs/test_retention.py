"""Retention: what goes and what stays, that nothing goes unarchived, and that nobody waits for it."""

import gzip
import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from orchestrator.db import notes, runs
from orchestrator.db.pool import Database
from orchestrator.db.retention import BOUNDED, RULES
from orchestrator.errors import DatabaseUnavailableError, FenceLostError
from orchestrator.jobs import retention as job
from orchestrator.jobs.retention import retain
from orchestrator.model import Ending, Outcome, PostState
from orchestrator.testing.house import settings_for
from tests import rows
from tests.fakes_db import raising
from tests.jobs.house import House, make_house, new_fence

DATABASE_DOCUMENT = Path(__file__).parents[2] / "docs" / "database.md"


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    return make_house(database, await new_fence(database), settings_for(state_dir=tmp_path))


async def clean(house: House) -> Outcome:
    return await retain(house.run(job.NAME, priority=9), house.tools)


def archived(house: House, table: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((house.tools.settings.state_dir / "archive").glob(f"{table}-*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


async def ids(house: House, table: str) -> list[int]:
    return [row["id"] for row in await rows.fetch(house.database, f"SELECT id FROM {table} ORDER BY id")]


async def ended(
    house: House, ending: str, days_ago: float, job: str = "plan", trigger: str = "schedule"
) -> int:
    at = house.moment.now - timedelta(days=days_ago)
    [found] = await rows.fetch(
        house.database,
        "INSERT INTO job_runs (job, trigger, attempt, fence, started_at, finished_at, ending, figures) "
        "VALUES ($1, $2, 1, 1, $3, $3, $4, '{\"pages\": 3}') RETURNING id",
        job, trigger, at, ending,
    )  # fmt: skip
    return int(found["id"])


# ── what goes ───────────────────────────────────────────────────────────────────────────────────


async def test_runs_that_were_done_go_after_a_week_and_failed_ones_after_a_month(house: House) -> None:
    old = [await ended(house, "done", 8), await ended(house, "given_up", 31)]
    kept = [await ended(house, "given_up", 29), await ended(house, "done", 6)]
    outcome = await clean(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"runs": 1, "failed_runs": 1})
    assert await ids(house, "job_runs") == kept
    assert [one["id"] for one in archived(house, "job_runs")] == old
    assert archived(house, "job_runs")[0]["figures"] == {"pages": 3}


async def test_what_a_new_daemon_has_to_know_of_the_past_is_the_same_as_before(house: House) -> None:
    """The latest of each kind stays, however old; else an old failure would be one again."""
    await ended(house, "given_up", 25)
    await ended(house, "done", 9, trigger="schedule")
    await ended(house, "nothing_to_do", 10, trigger="asked by ada")
    await ended(house, "nothing_to_do", 9)
    await ended(house, "skipped", 9)
    before = await house.database.run(runs.histories, ["plan"])
    await clean(house)
    assert await house.database.run(runs.histories, ["plan"]) == before


async def test_failed_posts_go_after_a_month_but_not_those_that_a_person_dropped(house: House) -> None:
    failed = await rows.in_state(house.database, PostState.FAILED, house.stamp(), "refused")
    dropped = await rows.in_state(house.database, PostState.FAILED, house.stamp(), "dropped")
    published = await rows.published(house.database, house.stamp(), "published")
    await rows.execute(house.database, "UPDATE posts SET decision = 'drop' WHERE id = $1", dropped)
    house.moment.go(days=31)
    await clean(house)
    assert await ids(house, "posts") == [dropped, published]
    assert [one["id"] for one in archived(house, "posts")] == [failed]


async def test_readings_are_thinned_to_one_a_day_and_then_one_a_week_and_the_last_one_stays(
    house: House,
) -> None:
    post_id = await rows.published(house.database, house.stamp(), "one")
    await rows.execute(
        house.database,
        "INSERT INTO post_metrics SELECT $1, $2::timestamptz + n * interval '6 hours', n, 0, n "
        "FROM generate_series(1, 400) n",
        post_id,
        house.moment.now,
    )
    house.moment.go(days=100)  # to the moment of the last reading
    await clean(house)
    found = await rows.fetch(house.database, "SELECT read_at, views FROM post_metrics ORDER BY read_at")
    moments: list[datetime] = [row["read_at"] for row in found]
    assert found[-1]["views"] == 400
    recent = [at for at in moments if at >= house.moment.now - timedelta(days=7)]
    assert len(recent) == 29
    middle = [at for at in moments if timedelta(days=7) < house.moment.now - at < timedelta(days=56)]
    assert len(middle) == len({at.date() for at in middle}) >= 48
    oldest = [at for at in moments if house.moment.now - at > timedelta(days=56)]
    assert len(oldest) == len({at.isocalendar()[:2] for at in oldest}) <= 8
    assert len(archived(house, "post_metrics")) == 400 - len(moments)


async def test_readings_that_stay_are_not_looked_at_again(house: House) -> None:
    post_id = await rows.published(house.database, house.stamp(), "one")
    await rows.execute(
        house.database,
        "INSERT INTO post_metrics SELECT $1, $2::timestamptz + n * interval '1 day', n, 0, n "
        "FROM generate_series(1, 30) n",
        post_id,
        house.moment.now,
    )
    house.moment.go(days=31)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "PAGE", 10)
        await clean(house)
        kept = await house.database.run(notes.recall, job.NAME, "readings")
        house.database.asked.clear()
        await clean(house)
    assert datetime.fromisoformat(kept[0]) > house.moment.now - timedelta(days=12)
    assert house.database.asked.count("page") == len(RULES)


async def test_alerts_that_are_over_and_told_go_with_what_was_told(house: House) -> None:
    for name, over in (("told", True), ("untold", False)):
        at = house.moment.now
        await rows.execute(
            house.database, "INSERT INTO alerts VALUES ($1, $1, '', 'warning', 'x', '', $2, $2, $2)", name, at
        )
        await rows.execute(
            house.database, "INSERT INTO alert_deliveries VALUES ($1, 'chat', 1, $2, $3, 0, NULL)",
            name, at, at if over else None,
        )  # fmt: skip
    house.moment.go(days=31)
    await clean(house)
    assert [row["id"] for row in await rows.fetch(house.database, "SELECT id FROM alerts")] == ["untold"]
    [one] = archived(house, "alerts")
    assert [delivery["destination"] for delivery in one["deliveries"]] == ["chat"]


async def test_every_rule_runs_on_an_empty_database_and_finds_nothing(house: House) -> None:
    assert (await clean(house)).ending is Ending.NOTHING_TO_DO
    assert {"page"} <= set(house.database.asked)


async def test_each_table_has_a_rule_or_a_bound_and_both_are_written_down(database: Database) -> None:
    """When this fails, say in db/retention.py what becomes of the table's rows, and in docs/database.md."""
    found = await rows.fetch(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    known = {rule.table for rule in RULES} | set(BOUNDED)
    assert {row["tablename"] for row in found} == known
    document = DATABASE_DOCUMENT.read_text()
    assert [name for name in sorted(known) if f"| `{name}` |" not in document] == []


# ── nothing is lost ─────────────────────────────────────────────────────────────────────────────


async def test_rows_are_archived_before_they_are_deleted(house: House) -> None:
    run_id = await ended(house, "done", 8)
    await ended(house, "done", 1)
    house.database.before("drop", raising(DatabaseUnavailableError("away")))
    with pytest.raises(DatabaseUnavailableError):
        await clean(house)
    assert run_id in await ids(house, "job_runs")
    assert (await clean(house)).figures == {"runs": 1}
    assert [one["id"] for one in archived(house, "job_runs")] == [run_id, run_id]


async def test_a_row_that_became_young_meanwhile_is_not_deleted(house: House) -> None:
    """A failed post that a person queues again between the look and the deletion."""
    post_id = await rows.in_state(house.database, PostState.FAILED, house.stamp())
    house.moment.go(days=31)

    async def queue() -> None:
        await rows.execute(house.database, "UPDATE posts SET state = 'queued' WHERE id = $1", post_id)

    house.database.before("drop", queue)
    await clean(house)
    assert await ids(house, "posts") == [post_id]


async def test_a_daemon_that_was_overtaken_deletes_nothing(house: House) -> None:
    kept = [await ended(house, "done", 8), await ended(house, "done", 1)]
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await clean(house)
    assert await ids(house, "job_runs") == kept


async def test_a_run_that_takes_too_long_leaves_the_rest_for_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(house, "done", 8)
    await ended(house, "done", 1)
    monkeypatch.setattr(job, "LIMIT_S", -1.0)
    outcome = await clean(house)
    assert (outcome.ending, outcome.detail) == (
        Ending.NOTHING_TO_DO,
        "no row is old enough; more is left for the next run",
    )


OLD_RUNS = """
    INSERT INTO job_runs (job, trigger, attempt, fence, started_at, finished_at, ending)
    SELECT 'plan', 'schedule', 1, 1, at, at, 'done'
    FROM (SELECT $1::timestamptz - interval '8 days' - n * interval '1 second' AS at
          FROM generate_series(1, $2::int) n) moments
"""


@pytest.mark.timeout(180)  # on a busy machine
async def test_posting_goes_on_while_200_000_rows_go(house: House) -> None:
    """It does not wait for the rows: a hundred posts are out long before the last of them is gone."""
    await rows.execute(house.database, OLD_RUNS, house.moment.now, 200_000)
    await ended(house, "done", 1)
    left: list[int] = []

    async def publish() -> None:
        for number in range(100):
            await rows.published(house.database, house.stamp(), f"text {number}")
        [found] = await rows.fetch(house.database, "SELECT count(*) AS n FROM job_runs")
        left.append(found["n"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        outcome = await clean(house)
    assert outcome.figures == {"runs": 200_000}
    assert left[0] > 1
    assert len(archived(house, "job_runs")) == 200_000


CHILD = """
import sys
from pathlib import Path
import trio
from orchestrator import aio
from orchestrator.db.pool import open_database
from orchestrator.settings import DatabaseSettings
from orchestrator.testing.house import settings_for
from tests.jobs.house import make_house, new_fence
from tests.jobs.test_retention import clean

async def main() -> None:
    async with aio.open_bridge(), open_database(sys.argv[1], DatabaseSettings()) as database:
        house = make_house(database, await new_fence(database), settings_for(state_dir=Path(sys.argv[2])))
        await clean(house)

trio.run(main)
"""


@pytest.mark.timeout(180)
async def test_a_kill_in_the_middle_loses_nothing_and_the_next_run_goes_on(
    house: House, migrated_dsn: str
) -> None:
    count = 60_000
    await rows.execute(house.database, OLD_RUNS, house.moment.now, count)
    kept = await ended(house, "done", 1)
    before = set(await ids(house, "job_runs"))
    directory = house.tools.settings.state_dir
    child = await trio.lowlevel.open_process(
        [sys.executable, "-c", CHILD, migrated_dsn, str(directory)], cwd=Path(__file__).parents[2]
    )
    while len(await ids(house, "job_runs")) > count * 0.8 and child.poll() is None:
        await trio.sleep(0.01)
    assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    left = set(await ids(house, "job_runs"))
    assert kept in left
    assert len(left) > 1
    house.tools = make_house(house.database, await new_fence(house.database), house.tools.settings).tools
    await clean(house)
    assert await ids(house, "job_runs") == [kept]
    assert {one["id"] for one in archived(house, "job_runs")} == before - {kept}
