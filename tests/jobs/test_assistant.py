"""Planning with a language model: who writes what, when, and what stands in for it (A3.2, A3.5)."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
from structlog.testing import capture_logs

from orchestrator.db import prepared, spending
from orchestrator.db.pool import Database
from orchestrator.jobs import budget_review, emergency_pool, plan
from orchestrator.llm.model import Books, open_model
from orchestrator.model import Ending, Outcome
from orchestrator.testing.house import settings_for
from tests import rows
from tests.jobs.house import House, make_house, new_fence
from tests.llm.endpoint import Answers, Endpoint, completion, endpoint, error, says


@pytest.fixture
def llm() -> Any:
    with endpoint() as found:
        found.otherwise = numbered()
        yield found


def numbered() -> Answers:
    """Each answer is another text, of words of its own."""
    numbers = iter(range(10_000))

    def answer(handler: Any) -> None:
        at = next(numbers)
        says(200, completion(f'"Tip: {" ".join(f"w{at}x{k}" for k in range(8))}"'))(handler)

    return answer


class Open(Protocol):
    def __call__(self, content: Any = None, **changes: Any) -> AbstractAsyncContextManager[House]: ...


@pytest.fixture
def opened(database: Database, llm: Endpoint) -> Open:
    """A house with a language model; `changes` are of its section, `content` is the other one's."""

    @asynccontextmanager
    async def open_house(content: Any = None, **changes: Any) -> AsyncIterator[House]:
        section = llm.settings(daily_budget=1000) | changes
        settings = settings_for(language_model=section, content=content or {})
        fence = await new_fence(database)
        house = make_house(database, fence, settings)
        tools = house.tools
        books = Books(tools.database, fence, tools.clock)
        async with open_model(settings, books, tools.breakers, tools.metrics, list) as model:
            house.tools = replace(tools, model=model)
            yield house

    return open_house


async def write(house: House) -> Outcome:
    return await plan.plan(house.run(plan.NAME, priority=1), house.tools)


async def fill(house: House) -> Outcome:
    return await emergency_pool.fill(house.run(emergency_pool.NAME, priority=7), house.tools)


async def sources(house: House, account: str = "ada") -> list[str]:
    found = await rows.all_rows(house.database)
    return [one["source"].partition(":")[0] for one in found if one["account"] == account]


async def spend(house: House, share: float) -> None:
    """As if so much of the day's budget were gone."""
    await rows.execute(
        house.database,
        "INSERT INTO model_days (day, committed) VALUES ($1, $2) "
        "ON CONFLICT (day) DO UPDATE SET committed = excluded.committed",
        house.moment.now.date(),
        share * 1000,
    )


async def test_with_much_of_the_budget_left_the_large_model_writes_two_posts_a_run(
    opened: Open, llm: Endpoint
) -> None:
    async with opened() as house:
        await write(house)
        assert await sources(house) == ["language model", "language model"]
    assert {question["model"] for question in llm.asked} == {"large-1"}
    found = await rows.all_rows(house.database)
    assert all(one["text"].startswith("Tip: w") and "\n#" in one["text"] for one in found)


@pytest.mark.parametrize(("spent", "model"), [(0.3, "large-1"), (0.6, "small-1"), (0.85, "small-1")])
async def test_with_less_left_it_writes_one_and_other_sources_the_rest(
    opened: Open, llm: Endpoint, spent: float, model: str
) -> None:
    async with opened() as house:
        await spend(house, spent)
        await write(house)
        assert (await sources(house)).count("language model") == 1
        assert len(await sources(house)) == 2
    assert {question["model"] for question in llm.asked} == {model}


@pytest.mark.parametrize(("spent", "pause_h"), [(0.85, 4), (0.95, 6)])
async def test_with_little_left_it_writes_less_often(
    opened: Open, llm: Endpoint, spent: float, pause_h: int
) -> None:
    async with opened({"queue_target": 100}) as house:
        await spend(house, spent)
        asked = []
        for _ in range(4):
            await write(house)
            asked.append(len(llm.asked))
            house.moment.go(hours=2)
    runs = [at for at, count in enumerate(asked) if count > (asked[at - 1] if at else 0)]
    assert [2 * at for at in runs] == list(range(0, 8, pause_h))


async def test_the_users_own_texts_come_before_the_models(
    opened: Open, llm: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "own.md").write_text('+++\ntopic = "knitting"\n+++\nTip: count the stitches of each row.')
    async with opened({"folder": tmp_path}) as house:
        await write(house)
        assert await sources(house) == ["own.md", "language model"]


async def test_what_the_gates_refuse_is_not_queued(opened: Open, llm: Endpoint) -> None:
    llm.otherwise = says(200, completion("Buy now! Buy now at once!"))
    async with opened({"banned_words": ["buy"]}) as house:
        await write(house)
        assert "language model" not in await sources(house)
        assert len(await sources(house)) == 2


@pytest.mark.parametrize(
    "answer", [says(500, b""), says(401, b""), says(429, error("x")), says(200, b"garbage")]
)
async def test_while_the_api_is_out_prepared_posts_go_out_and_then_templates(
    opened: Open, llm: Endpoint, answer: Answers
) -> None:
    async with opened({"queue_target": 100}) as house:
        await fill(house)
        before = await house.database.run(prepared.pool)
        llm.otherwise = answer
        llm.asked.clear()
        outcome = await write(house)
        assert outcome.ending is Ending.DONE
        assert len(llm.asked) == 1
        from_pool = (await sources(house) + await sources(house, "grace")).count("pool")
        assert from_pool > 0
        assert len(await house.database.run(prepared.pool)) == len(before) - from_pool
        ids = [post.id for post in before if post.id is not None]
        await house.database.run(prepared.drop, ids, house.tools.fence.number)
        await write(house)
        assert (await sources(house))[2:] != []
        assert set((await sources(house))[2:]) & {"pool", "language model"} == set()


async def test_a_budget_that_is_spent_is_as_an_api_that_is_out(opened: Open, llm: Endpoint) -> None:
    async with opened() as house:
        await fill(house)
        llm.asked.clear()
        await spend(house, 1.0)
        assert (await write(house)).ending is Ending.DONE
        assert "pool" in await sources(house) + await sources(house, "grace")
    assert llm.asked == []


# ── the pool ────────────────────────────────────────────────────────────────────────────────────


async def test_the_pool_is_filled_by_the_model_and_from_templates(opened: Open, llm: Endpoint) -> None:
    async with opened() as house:
        outcome = await fill(house)
        pool = await house.database.run(prepared.pool)
        assert emergency_pool.LEAST <= len(pool) <= emergency_pool.MOST
        assert outcome.figures["by_model"] == len(llm.asked) == emergency_pool.BY_MODEL
        assert len({post.text for post in pool}) == len(pool)
        assert len({post.topic for post in pool}) > 1


@pytest.mark.parametrize("spent", [0.6, 1.0])
async def test_a_budget_that_is_half_spent_prepares_nothing(
    opened: Open, llm: Endpoint, spent: float
) -> None:
    async with opened() as house:
        await spend(house, spent)
        await fill(house)
        assert len(await house.database.run(prepared.pool)) >= emergency_pool.LEAST
    assert llm.asked == []


async def test_without_a_language_model_the_pool_is_filled_and_plan_leaves_it_alone(house: House) -> None:
    await fill(house)
    count = len(await house.database.run(prepared.pool))
    assert count >= emergency_pool.LEAST
    await write(house)
    assert len(await house.database.run(prepared.pool)) == count


async def test_what_is_a_week_old_is_replaced(house: House) -> None:
    for _ in range(3):
        await fill(house)
    old = {post.text for post in await house.database.run(prepared.pool)}
    assert len(old) == emergency_pool.MOST
    assert (await fill(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(days=8)
    for _ in range(3):
        await fill(house)
        pool = await house.database.run(prepared.pool)
        assert emergency_pool.LEAST <= len(pool) <= emergency_pool.MOST
    assert not old & {post.text for post in pool}


async def test_a_pool_that_nothing_can_fill_is_told(database: Database, tmp_path: Path) -> None:
    house = make_house(database, await new_fence(database), settings_for(content={"folder": tmp_path}))
    assert (await fill(house)).ending is Ending.NOTHING_TO_DO


# ── the review ──────────────────────────────────────────────────────────────────────────────────


async def review(house: House) -> Outcome:
    return await budget_review.review(house.run(budget_review.NAME, priority=5), house.tools)


async def test_a_change_of_the_tier_is_told_once(opened: Open) -> None:
    with capture_logs() as logs:
        await _spend_much(opened)
    changes = [(one["was"], one["tier"]) for one in logs if one["event"] == "budget_tier_changed"]
    assert changes == [(None, "ample"), ("ample", "last")]


async def _spend_much(opened: Open) -> None:
    async with opened() as house:
        await review(house)
        await spend(house, 0.9)
        outcome = await review(house)
        await review(house)
    assert "10% left today, tier last" in outcome.detail


async def test_failures_that_come_with_a_job_or_an_hour_are_told_once(opened: Open) -> None:
    with capture_logs() as logs:
        async with opened() as house:
            await _fail_at_three(house)
            await review(house)
            await review(house)
    told = [one for one in logs if one["event"] == "model_failure_pattern"]
    assert len(told) == 2
    assert {one["subject"]: one["what"] for one in told} == {
        "hour 03": "from 03:00 to 03:59 UTC 6 of 6 calls failed, else 0 of 22",
        "job metrics_scraper": "while metrics_scraper ran 6 of 8 calls failed, else 0 of 20",
    }


async def _fail_at_three(house: House) -> None:
    for hour, jobs, outcome, count in (
        (3, ["metrics_scraper"], "network", 6),
        (9, ["learn"], "done", 20),
        (10, ["learn", "metrics_scraper"], "done", 2),
    ):
        for _ in range(count):
            await ended_call(house, hour, jobs, outcome)


async def ended_call(house: House, hour: int, jobs: list[str], outcome: str) -> None:
    now = house.moment.now.replace(hour=hour) - timedelta(days=1)
    call = spending.Reservation("draft", "large-1", Decimal(1), jobs)
    budget, fence = Decimal(1000), house.tools.fence.number
    call_id = await house.database.run(spending.reserve, call, budget, fence, now)
    assert call_id is not None
    end = spending.Settlement(outcome, Decimal(0))
    await house.database.run(spending.settle, call_id, end, now)


async def test_without_a_language_model_there_is_nothing_to_review(house: House) -> None:
    assert (await review(house)).ending is Ending.NOTHING_TO_DO
