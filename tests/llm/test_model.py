"""The language model as jobs ask it: what it may spend (A3.2), what is recorded (A3.3), when it rests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator import wiring
from orchestrator.breaker import BreakerState
from orchestrator.breakers import Breakers
from orchestrator.db import spending
from orchestrator.db.pool import Database
from orchestrator.errors import (
    BreakerOpenError,
    BudgetSpentError,
    DatabaseUnavailableError,
    FenceLostError,
    LanguageModelError,
    ModelBrokenError,
    ModelQuotaError,
    ModelRateLimitedError,
    ModelRefusedError,
    ModelRestsError,
    ModelUnreachableError,
    PartyUnavailableError,
)
from orchestrator.llm.client import Message
from orchestrator.llm.model import Books, LanguageModel, open_model
from orchestrator.llm.tiers import TIERS, tier_of
from orchestrator.metrics import BUDGET_TIERS, Metrics
from orchestrator.settings import party_names
from orchestrator.settings.llm import LANGUAGE_MODEL
from orchestrator.testing.house import settings_for
from tests import rows
from tests.fakes_db import WatchedDatabase, raising
from tests.jobs.house import Moment, new_fence
from tests.llm.endpoint import Endpoint, completion, error, says, silence

MESSAGES = [Message("user", "Write.")]
# 6 bytes, a frame of 16 and one of 64; 400 tokens of answer: (86 * 10 + 400 * 40) / 10^6
HIGHEST = Decimal("0.01686")
# 100 tokens asked, 50 answered: (100 * 10 + 50 * 40) / 10^6
REAL = Decimal("0.003")
UNBOUND = 1000.0

Open = Callable[..., AbstractAsyncContextManager[LanguageModel]]


class Stage:
    """What the language model stands on."""

    def __init__(self, database: Database, llm: Endpoint) -> None:
        self.database = WatchedDatabase(database)
        self.llm = llm
        self.moment = Moment()
        self.metrics = Metrics()
        self.running: list[str] = []
        self.breakers = Breakers(rng=Random(1), metrics=self.metrics, on_change=lambda *_args: None)

    @asynccontextmanager
    async def open(self, budget: float = UNBOUND, **changes: Any) -> AsyncIterator[LanguageModel]:
        """As a new daemon opens it."""
        section = self.llm.settings(daily_budget=budget, **changes)
        settings = settings_for(language_model=section, breakers={"failures": 2})
        self.breakers = Breakers(rng=Random(1), metrics=self.metrics, on_change=lambda *_args: None)
        fence = await new_fence(self.database)
        await wiring.settle_the_past(self.database, fence, self.moment.now)
        books = Books(self.database, fence, self.moment.clock())
        async with open_model(settings, books, self.breakers, self.metrics, lambda: self.running) as model:
            assert model is not None
            yield model

    async def committed(self) -> Decimal:
        found: Decimal = await self.database.run(spending.committed, self.moment.now.date())
        return found

    async def calls(self) -> list[dict[str, Any]]:
        return await rows.fetch(self.database, "SELECT * FROM model_calls ORDER BY id")


@pytest.fixture
def stage(database: Database, llm: Endpoint) -> Stage:
    return Stage(database, llm)


async def ask(model: LanguageModel, operation: str = "draft") -> str:
    return await model.ask("plan", operation, MESSAGES)


# ── spending ────────────────────────────────────────────────────────────────────────────────────


async def test_a_call_is_reserved_at_its_highest_cost_and_settled_at_its_real_one(stage: Stage) -> None:
    reserved = []

    async def look() -> None:
        reserved.append(await stage.committed())

    stage.database.before("settle", look)
    async with stage.open() as model:
        assert await ask(model) == "Tip: a text of the model's."
    assert reserved == [HIGHEST]
    assert await stage.committed() == REAL
    (call,) = await stage.calls()
    assert (call["outcome"], call["cost"], call["model"]) == ("done", REAL, "large-1")
    assert (call["input_tokens"], call["output_tokens"]) == (100, 50)


async def test_many_calls_at_once_never_spend_more_than_there_is(stage: Stage) -> None:
    """Sixty-four at once, all held open until every one was let through or turned away: ten fit."""
    stage.llm.otherwise = says(200, completion("a text", asked=86, said=400))  # as dear as can be
    turned_away, seen = [], []

    async def one(model: LanguageModel) -> None:
        try:
            await ask(model)
        except BudgetSpentError:
            turned_away.append(1)
        seen.append(await stage.committed())

    async with (
        stage.open(budget=float(HIGHEST * 10), small=None) as model,
        trio.open_nursery() as nursery,
    ):
        for _ in range(64):
            nursery.start_soon(one, model)
    assert len(stage.llm.asked) == 10
    assert len(turned_away) == 54
    assert max(seen) == await stage.committed() == HIGHEST * 10


async def test_what_a_call_did_not_use_is_there_for_the_next(stage: Stage) -> None:
    async with stage.open(budget=float(HIGHEST + REAL), small=None) as model:
        await ask(model)
        await ask(model)
        with pytest.raises(BudgetSpentError, match="does not reach"):
            await ask(model)
    assert await stage.committed() == REAL * 2


async def test_the_budget_is_renewed_with_the_day(stage: Stage) -> None:
    async with stage.open(budget=float(HIGHEST), small=None) as model:
        await ask(model)
        with pytest.raises(BudgetSpentError):
            await ask(model)
        stage.moment.go(hours=12)  # it was noon
        await ask(model)
    assert await stage.committed() == REAL


@pytest.mark.parametrize(
    ("answer", "kind", "is_paid"),
    [
        (says(429, error("slow")), ModelRateLimitedError, False),
        (says(500, b""), ModelBrokenError, False),
        (says(401, b""), ModelRefusedError, False),
        (says(200, b"garbage"), ModelBrokenError, True),
        (says(200, completion(None)), ModelBrokenError, None),
        (says(200, completion("ha", finish_reason="length")), ModelBrokenError, None),
    ],
)
async def test_a_failure_is_paid_for_where_it_may_have_cost(
    stage: Stage, answer: Any, kind: type[LanguageModelError], *, is_paid: bool | None
) -> None:
    """None: the endpoint says what it cost, though there is nothing to be had for it."""
    stage.llm.otherwise = answer
    async with stage.open() as model:
        with pytest.raises(kind):
            await ask(model)
    assert await stage.committed() == {True: HIGHEST, False: 0, None: REAL}[is_paid]


async def test_an_endpoint_that_tells_no_usage_is_counted_at_the_highest(stage: Stage) -> None:
    stage.llm.otherwise = says(200, completion("a text") | {"usage": None})
    async with stage.open() as model:
        await ask(model)
    assert await stage.committed() == HIGHEST


async def test_a_call_that_is_cut_off_is_settled_as_spent(stage: Stage) -> None:
    stage.llm.otherwise = silence(stage.llm.is_over)
    async with stage.open() as model, trio.open_nursery() as nursery:
        nursery.start_soon(ask, model)
        while not stage.llm.asked:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    (call,) = await stage.calls()
    assert (call["outcome"], call["cost"]) == ("unknown", HIGHEST)


async def test_what_a_dead_daemon_reserved_counts_as_spent(stage: Stage) -> None:
    """Its record is lost with it: the next one settles it at its start, the living one's own stay open."""
    stage.database.before("settle", raising(DatabaseUnavailableError("away")))
    async with stage.open() as model:
        with capture_logs() as logs:
            await ask(model)
        assert "call_not_settled" in [entry["event"] for entry in logs]
    assert [call["outcome"] for call in await stage.calls()] == [None]
    async with stage.open():
        pass
    (call,) = await stage.calls()
    assert (call["outcome"], call["cost"]) == ("unknown", HIGHEST)
    assert await stage.committed() == HIGHEST


async def test_without_a_record_nothing_is_asked(stage: Stage) -> None:
    async with stage.open() as model:
        stage.database.before("reserve", raising(DatabaseUnavailableError("away")))
        with pytest.raises(DatabaseUnavailableError):
            await ask(model)
        await new_fence(stage.database)  # another daemon
        with pytest.raises(FenceLostError):
            await ask(model)
    assert stage.llm.asked == []


# ── tiers ───────────────────────────────────────────────────────────────────────────────────────


def test_the_tiers_are_those_that_the_metrics_have() -> None:
    assert tuple(tier.name for tier in TIERS) == BUDGET_TIERS


@pytest.mark.parametrize(
    ("left", "name", "is_large", "posts", "pause_h"),
    [
        (1.0, "ample", True, 2, 0),
        (0.81, "ample", True, 2, 0),
        (0.8, "fair", True, 1, 0),
        (0.51, "fair", True, 1, 0),
        (0.5, "tight", False, 1, 0),
        (0.21, "tight", False, 1, 0),
        (0.2, "low", False, 1, 4),
        (0.11, "low", False, 1, 4),
        (0.1, "last", False, 1, 6),
        (0.0, "last", False, 1, 6),
    ],
)
def test_the_tier_follows_from_what_is_left(
    left: float, name: str, *, is_large: bool, posts: int, pause_h: int
) -> None:
    tier = tier_of(left)
    assert (tier.name, tier.is_large, tier.posts) == (name, is_large, posts)
    assert tier.pause == timedelta(hours=pause_h)


async def test_the_small_model_is_asked_when_half_is_spent(stage: Stage) -> None:
    async with stage.open(budget=0.05) as model:
        models: list[str] = []
        while not models or models[-1] == "large-1":
            await ask(model)
            models.append(stage.llm.asked[-1]["model"])
        assert (await model.standing()).tier.name == "tight"
    assert models == ["large-1"] * 9 + ["small-1"]
    assert sample(stage, "orchestrator_budget_tier", tier="tight") == 1
    assert sample(stage, "orchestrator_budget_tier", tier="ample") == 0
    assert 0.2 < sample(stage, "orchestrator_budget_left_ratio") < 0.5


def sample(stage: Stage, name: str, **labels: str) -> float:
    found = stage.metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


# ── rest ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "kind", "rest_s"),
    [
        (says(429, error("slow"), retry_after="7"), ModelRateLimitedError, 7),
        (says(429, error("slow")), ModelRateLimitedError, 30),
        (says(429, error("no", code="insufficient_quota")), ModelQuotaError, 3600),
        (says(401, error("bad key")), ModelRefusedError, 3600),
    ],
)
async def test_it_is_not_asked_again_at_once_by_what_it_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, answer: Any, kind: type[LanguageModelError], rest_s: int
) -> None:
    stage.llm.answers = [answer]
    async with stage.open() as model:
        with pytest.raises(kind):
            await ask(model)
        now = trio.current_time()
        monkeypatch.setattr(trio, "current_time", lambda: now + rest_s - 1)
        with pytest.raises(ModelRestsError, match="it said last"):
            await ask(model)
        with pytest.raises(PartyUnavailableError, match="it said last"):
            await model.look()
        assert len(stage.llm.asked) == 1
        monkeypatch.setattr(trio, "current_time", lambda: now + rest_s + 1)
        assert await ask(model)
        assert "takes questions" in await model.look()


async def test_an_endpoint_that_fails_again_and_again_is_left_alone_until_a_probe_finds_it_well(
    stage: Stage, llm: Endpoint
) -> None:
    llm.answers = [says(500, b""), says(503, b"")]
    async with stage.open() as model:
        for _ in range(2):
            with pytest.raises(ModelBrokenError):
                await ask(model)
        with pytest.raises(BreakerOpenError):
            await ask(model)
        with pytest.raises(BreakerOpenError):
            model.check("plan")
        assert len(llm.asked) == 2
        stage.breakers.obey(LANGUAGE_MODEL, "open", "root")
        stage.breakers.obey(LANGUAGE_MODEL, "auto", "root")  # half-open at once
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.breakers.run)
            while stage.breakers.of(LANGUAGE_MODEL).view().state is not BreakerState.CLOSED:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert await ask(model)


async def test_no_connection_costs_nothing_and_counts_for_the_breaker(stage: Stage) -> None:
    async with stage.open(base_url="http://127.0.0.1:9/v1") as model:
        with pytest.raises(ModelUnreachableError):
            await ask(model)
        assert stage.breakers.of(LANGUAGE_MODEL).view().failures == 1
    assert await stage.committed() == 0


async def test_without_an_address_there_is_none(stage: Stage) -> None:
    books = Books(stage.database, await new_fence(stage.database), stage.moment.clock())
    async with open_model(settings_for(), books, stage.breakers, stage.metrics, list) as model:
        assert model is None
    assert party_names(settings_for()) == ["site:murmur"]
    with_model = settings_for(language_model=stage.llm.settings())
    assert party_names(with_model) == [LANGUAGE_MODEL, "site:murmur"]


# ── records ─────────────────────────────────────────────────────────────────────────────────────


async def test_where_money_goes_and_when_failures_come_is_recorded(stage: Stage) -> None:
    async with stage.open() as model:
        await ask(model)
        stage.moment.go(hours=1)
        await ask(model, "pool")
        stage.running = ["plan", "metrics_scraper"]
        stage.llm.answers = [says(500, b"")]
        with pytest.raises(ModelBrokenError):
            await ask(model)
    found = await stage.database.run(spending.report, stage.moment.now - timedelta(days=1))
    assert [(one.what, one.calls, one.failed, one.cost) for one in found.by_operation] == [
        ("draft", 2, 1, REAL),
        ("pool", 1, 0, REAL),
    ]
    assert [(one.what, one.calls, one.failed) for one in found.by_hour] == [("12", 1, 0), ("13", 2, 1)]
    assert found.failures == [("server", 1)]
    (beside,) = found.beside
    assert (beside.job, beside.calls, beside.failed) == ("metrics_scraper", 1, 1)
    assert (beside.other_calls, beside.other_failed) == (2, 0)
    assert sample(stage, "orchestrator_language_model_calls_total", outcome="done") == 2
    assert sample(stage, "orchestrator_language_model_calls_total", outcome="server") == 1
    assert sample(stage, "orchestrator_language_model_calls_total", outcome="network") == 0
    assert sample(stage, "orchestrator_budget_spent_total", operation="pool") == float(REAL)
