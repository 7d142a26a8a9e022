"""Pages of a list that changes meanwhile: no row twice, none left out of those that stayed."""

from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import rows
from tests.fakes import NOON
from tests.web.v1.conftest import Api

INSERT = {
    "/runs": "INSERT INTO job_runs (job, trigger, attempt, fence, started_at) "
    "SELECT 'job' || $1 % 2, 'schedule', 1, 1, $2::timestamptz RETURNING id::text",
    "/posts": "INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at, "
    "created_at, state_since, fence) SELECT 'ada', 't', gen_random_uuid(), 'queued', 'a', 'b', 1, 'c', $2, "
    "$2::timestamptz, $2, $1 RETURNING id::text",
    # All of one moment, or nearly: the id has to tell them apart.
    "/alerts": "INSERT INTO alerts SELECT left(md5(random()::text), 12), gen_random_uuid(), 's', 'warning', "
    "'w', 'r', $2::timestamptz, $2::timestamptz + $1 % 2 * interval '1 microsecond' RETURNING id",
}
TABLE = {"/runs": "job_runs", "/posts": "posts", "/alerts": "alerts"}

Change = tuple[str, int]
changes = st.lists(st.tuples(st.sampled_from(["insert", "delete"]), st.integers(0, 99)), max_size=4)


async def insert(api: Api, path: str, number: int) -> str:
    [row] = await rows.fetch(api.database, INSERT[path], number, NOON)
    return str(next(iter(row.values())))


async def walk(api: Api, path: str, start: int, limit: int, meanwhile: list[list[Change]]) -> None:
    """Read all pages, with changes between them, and compare them with what was there all the time."""
    await rows.execute(api.database, f"DELETE FROM {TABLE[path]}")
    there = [await insert(api, path, number) for number in range(start)]
    stayed, found, cursor = set(there), list[str](), dict[str, Any]()
    while True:
        page = await api.get(path, limit=limit, **cursor)
        assert len(page["items"]) <= limit
        found += [str(row["id"]) for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        for what, number in meanwhile.pop(0) if meanwhile else ():
            if what == "insert":
                there.append(await insert(api, path, number))
            elif there:
                gone = there.pop(number % len(there))
                stayed.discard(gone)
                await rows.execute(api.database, f"DELETE FROM {TABLE[path]} WHERE id::text = $1", gone)
    assert len(set(found)) == len(found), "a row came twice"
    assert stayed <= set(found), "a row that stayed was left out"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", list(INSERT))
async def test_pages_neither_repeat_nor_skip_what_stays(api: Api, path: str) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.integers(0, 9), st.integers(1, 4), st.lists(changes, max_size=5))
    def check(start: int, limit: int, meanwhile: list[list[Change]]) -> None:
        trio.from_thread.run(partial(walk, api, path, start, limit, list(meanwhile)))

    await trio.to_thread.run_sync(check)
