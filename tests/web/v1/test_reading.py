"""What can be read over the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from orchestrator.db import runs
from orchestrator.db.pool import Database, PoolStatistics
from orchestrator.health.status import job_row
from orchestrator.model import Ending, Outcome, PostState
from orchestrator.web.v1.documents import Job
from orchestrator.web.v1.reading import AT_ONCE
from tests import rows
from tests.fakes import NOON
from tests.web.v1.conftest import Api, roster


async def some_runs(api: Api, count: int, job: str = "plan") -> list[int]:
    found = []
    for number in range(count):
        at = NOON + timedelta(minutes=number)
        run = await api.database.run(runs.begin, job, "schedule", 1, api.stamp.fence, at)
        await api.database.run(runs.finish, run, Outcome(Ending.DONE, f"run {number}", {"posts": 2}), at)
        found.append(run)
    return found


async def test_a_long_list_is_read_a_page_at_a_time_newest_first(api: Api) -> None:
    made = await some_runs(api, 5)
    page = await api.get("/runs", limit=2)
    assert [run["id"] for run in page["items"]] == [made[4], made[3]]
    assert page["items"][0]["figures"] == {"posts": 2}
    assert [run["id"] for run in await api.walk("/runs", limit=2)] == made[::-1]
    assert (await api.get("/runs", limit=5))["next_cursor"] is None


async def test_a_page_has_fifty_rows_unless_it_is_said_otherwise(api: Api) -> None:
    await some_runs(api, 51)
    page = await api.get("/runs")
    assert len(page["items"]) == 50
    assert page["next_cursor"]


async def test_a_page_after_which_the_list_was_emptied_is_empty(api: Api) -> None:
    await some_runs(api, 3)
    page = await api.get("/runs", limit=1)
    await rows.execute(api.database, "DELETE FROM job_runs")
    assert await api.get("/runs", cursor=page["next_cursor"], limit=1) == {"items": [], "next_cursor": None}


async def test_filters_of_runs(api: Api) -> None:
    first = await some_runs(api, 2)
    await some_runs(api, 2, "posting")
    assert [run["id"] for run in await api.walk("/runs", job="plan", limit=1)] == first[::-1]
    assert await api.walk("/runs", job="plan", ending="given_up") == []
    assert len(await api.walk("/runs", ending="done")) == 4


async def test_filters_of_posts_drafts_and_replies(api: Api) -> None:
    failed = await rows.in_state(api.database, PostState.FAILED, api.stamp, "three", "grace")
    queued = await rows.queued(api.database, api.stamp, "one")
    other = await rows.queued(api.database, api.stamp, "two", "grace")
    reply = (await api.order("/drafts", {"account": "ada", "to": "r1", "text": "hm"}, 201))["reply"]

    async def numbers(path: str, **query: str) -> list[int]:
        return [row["id"] for row in await api.walk(path, limit=1, **query)]

    assert await numbers("/posts") == [reply, other, queued, failed]
    assert await numbers("/posts", account="grace") == [other, failed]
    assert await numbers("/posts", account="grace", state="queued") == [other]
    assert await numbers("/posts", state="draft") == [reply]
    assert await numbers("/replies") == await numbers("/drafts") == [reply]
    assert await numbers("/replies", state="queued") == await numbers("/drafts", account="grace") == []


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/runs", {"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ("/runs", {"limit": 101}, "limit: Input should be less than or equal to 100"),
        ("/runs", {"job": ""}, "job: String should match pattern"),
        ("/runs", {"ending": "lost"}, "ending: Input should be 'done'"),
        ("/runs", {"jop": "plan"}, "jop: Extra inputs are not permitted"),
        ("/runs", {"job": ["plan", "posting"]}, "a parameter appears twice"),
        ("/runs", {"cursor": "abc"}, "the cursor is none of this list and these filters"),
        ("/jobs", {"offset": -1}, "offset: Input should be greater than or equal to 0"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_what_is_wrong(
    api: Api, path: str, query: dict[str, object], said: str
) -> None:
    assert (await api.get(path, 400, **query))["detail"].startswith(said)


async def test_a_cursor_holds_for_its_own_list_and_filters(api: Api) -> None:
    await some_runs(api, 3)
    for number in range(3):
        await rows.queued(api.database, api.stamp, f"text {number}")
    cursor = (await api.get("/runs", limit=1, job="plan"))["next_cursor"]
    await api.get("/runs", limit=2, job="plan", cursor=cursor)
    await api.get("/runs", 400, limit=1, cursor=cursor)
    await api.get("/runs", 400, limit=1, job="posting", cursor=cursor)
    await api.get("/posts", 400, limit=1, cursor=cursor)


async def test_a_short_list_has_numbered_pages(api: Api) -> None:
    page = await api.get("/jobs", limit=2, offset=1)
    assert [job["name"] for job in page["items"]] == ["posting", "reply_posting"]
    assert (page["total"], page["offset"], page["limit"]) == (3, 1, 2)
    assert (await api.get("/jobs", state="running"))["total"] == 0


async def test_a_job_tells_why_it_does_what_it_does(api: Api) -> None:
    job = await api.get("/jobs/plan")
    assert (job["name"], job["state"], job["lines"]) == ("plan", "waiting", ["Waits until 13:00:00 UTC."])


async def test_all_that_is_known_of_a_job_is_told(api: Api) -> None:
    assert api.house.supervisor is not None
    row = job_row(api.house.supervisor.find("plan"), api.house.allocator.snapshot())
    assert row.keys() == Job.model_fields.keys()


async def test_accounts_are_listed_as_the_verb_tells_them(api: Api) -> None:
    assert (await api.get("/accounts"))["items"] == await roster()
    page = await api.get("/accounts", offset=1)
    assert ([one["name"] for one in page["items"]], page["total"]) == (["grace"], 2)


async def test_one_post_is_shown_whole_with_what_becomes_of_it(api: Api) -> None:
    post = await rows.queued(api.database, api.stamp, "word " * 100)
    shown = await api.get(f"/posts/{post}")
    assert (shown["text"], shown["state"]) == ("word " * 100, "queued")
    assert shown["next"][0].startswith("It goes out at posting's next turn")
    assert (await api.get("/posts"))["items"][0]["text"] == ("word " * 100)[:120]


async def test_one_run_is_shown(api: Api) -> None:
    [run] = await some_runs(api, 1)
    assert (await api.get(f"/runs/{run}"))["detail"] == "run 0"


async def test_alerts_are_listed_those_that_are_over_too(api: Api) -> None:
    for number, cleared in enumerate((None, NOON, None)):
        await rows.execute(
            api.database,
            "INSERT INTO alerts VALUES ($1, $2, 'posts', 'warning', 'what', 'remedy', $3, $3, $4)",
            f"a{number}", f"kind{number}", NOON, cleared,
        )  # fmt: skip
    assert [one["id"] for one in await api.walk("/alerts", limit=1)] == ["a2", "a1", "a0"]
    assert [one["id"] for one in await api.walk("/alerts", is_over=False, limit=1)] == ["a2", "a0"]
    assert [one["id"] for one in await api.walk("/alerts", is_over=True)] == ["a1"]
    assert [one["id"] for one in await api.walk("/alerts", name="kind0")] == ["a0"]
    assert (await api.get("/alerts/a1"))["cleared_at"] == "2026-06-01T12:00:00Z"


async def test_versions_of_the_predictor_are_listed(api: Api) -> None:
    for state in ("retired", "serving"):
        await rows.execute(
            api.database,
            "INSERT INTO models (scope, kind, trained_at, from_at, to_at, posts, error, mean_error, "
            "parameters, state, state_since, why) "
            "VALUES ('murmur', 'ridge', $1, $1, $1, 60, 0.1, 0.2, '{}', $2, $1, 'better')",
            NOON, state,
        )  # fmt: skip
    newest, oldest = await api.walk("/models", limit=1, site="murmur")
    assert (newest["state"], oldest["state"]) == ("serving", "retired")
    assert (await api.get(f"/models/{newest['version']}"))["why"] == "better"
    assert await api.walk("/models", site="elsewhere") == []


async def test_opportunities_are_listed_by_site_and_state(api: Api) -> None:
    for number, state in enumerate(("open", "answered", "open")):
        await rows.execute(
            api.database,
            "INSERT INTO opportunities (site, reference, author, text, posted_at, seen_at, relevance, topic, "
            "state, state_since, why) "
            "VALUES ('murmur', $1, 'bert', 'hm', $2, $2, 0.5, 'bread', $3, $2, 'why')",
            f"r{number}", NOON, state,
        )  # fmt: skip
    assert [one["reference"] for one in await api.walk("/opportunities", limit=1)] == ["r2", "r1", "r0"]
    found = await api.walk("/opportunities", limit=1, site="murmur", state="open")
    assert [one["reference"] for one in found] == ["r2", "r0"]
    assert await api.walk("/opportunities", site="elsewhere") == []


async def test_contexts_insights_and_budget_are_told_as_the_verbs_tell_them(api: Api) -> None:
    assert [slot["state"] for slot in (await api.get("/leases"))["slots"]] == ["free"] * 3
    assert (await api.get("/insights", account="ada"))["findings"] == []
    assert (await api.get("/insights", 404, account="bert"))["remedy"] == "Accounts: ada, grace"
    assert (await api.get("/budget"))["is_set"] is False


@pytest.mark.parametrize(
    "path",
    ["/jobs/nothing", "/jobs/No!", "/runs/7", "/runs/no", f"/runs/{2**63}", "/posts/7", "/posts/0",
     "/alerts/x", "/models/7", "/nothing"],
)  # fmt: skip
async def test_what_is_not_there_is_404(api: Api, path: str) -> None:
    await api.get(path, 404)


@pytest.mark.parametrize("path", ["/jobs", "/posts/1", "/drafts"])
async def test_a_method_that_is_not_for_a_path_is_405_with_the_right_ones(api: Api, path: str) -> None:
    answer = await api.client.put(f"/api/v1{path}", headers={"authorization": "Bearer x"})
    assert answer.status_code == 405
    right = {"GET", "HEAD"} | ({"POST"} if path == "/drafts" else set())
    assert set(answer.headers["allow"].split(", ")) == right


async def test_before_the_jobs_are_there_the_lists_say_that_the_daemon_starts(api: Api) -> None:
    api.house.supervisor = None
    for path in ("/runs", "/posts", "/posts/1", "/accounts", "/jobs/plan", "/budget"):
        assert (await api.get(path, 503))["detail"] == "the daemon is still starting"
    assert (await api.get("/jobs"))["items"] == []


class Crowd:
    """A database of which it is known how many use it at once; `most`, at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._users = 0
        self._is_full = trio.Event()
        self.most = 0

    async def run(self, *args: Any, **options: Any) -> Any:
        with self._used():
            await self._wait_for_others()
            return await self._database.run(*args, **options)

    async def roster(self) -> list[dict[str, Any]]:
        with self._used():
            await self._wait_for_others()
            return await roster()

    async def _wait_for_others(self) -> None:
        await self._is_full.wait()
        await wait_all_tasks_blocked()  # until whoever else may has come as far

    def statistics(self) -> PoolStatistics:
        return self._database.statistics()

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._users += 1
        self.most = max(self.most, self._users)
        if self._users >= AT_ONCE:
            self._is_full.set()
        try:
            yield
        finally:
            self._users -= 1


async def test_three_requests_at_once_use_the_database_whatever_they_ask(api: Api) -> None:
    crowd = Crowd(api.database)
    api.house.database = cast("Database", crowd)
    api.house.roster = crowd.roster
    async with trio.open_nursery() as nursery:
        for path in ("/jobs/posting", "/runs", "/accounts", "/insights", "/budget", "/alerts", "/drafts"):
            nursery.start_soon(api.get, path)
        nursery.start_soon(api.get, "/posts/7", 404)
    assert crowd.most == AT_ONCE


async def test_the_index_names_every_path(api: Api) -> None:
    index = await api.get("/")
    assert "GET /api/v1/runs" in index["paths"]
    assert (await api.get("/openapi.json"))["paths"].keys() == {
        path.partition(" /api/v1")[2] for path in index["paths"]
    }
