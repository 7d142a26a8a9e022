"""The language model as jobs ask it: within the budget, past a breaker, and each call on record."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
import trio

from orchestrator.breakers import Breakers, Party, rule_for
from orchestrator.clock import Clock
from orchestrator.db import spending
from orchestrator.db.fence import Fence
from orchestrator.db.pool import Database
from orchestrator.db.spending import DONE, UNKNOWN, Reservation, Settlement
from orchestrator.errors import (
    BudgetSpentError,
    DatabaseError,
    LanguageModelError,
    ModelBrokenError,
    ModelFailure,
    ModelRestsError,
    PartyUnavailableError,
)
from orchestrator.llm import failures, prices
from orchestrator.llm.client import PROBE_TIMEOUT_S, Answer, Client, Message, open_client
from orchestrator.llm.tiers import Tier, tier_of
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings
from orchestrator.settings.llm import LANGUAGE_MODEL, LanguageModelSettings, ModelSettings

REST_S = {ModelFailure.PERMANENT: 3600.0, ModelFailure.BUDGET: 3600.0, ModelFailure.RATE_LIMIT: 30.0}
"""Real seconds for which it is not asked after such an answer, unless the endpoint names a time itself."""
SETTLE_S = 5.0
"""For the record of a call that is cut off."""

log = structlog.get_logger("llm")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of the day's budget."""

    budget: Decimal
    left: Decimal

    @property
    def left_share(self) -> float:
        """From 0 to 1."""
        return float(self.left / self.budget)

    @property
    def tier(self) -> Tier:
        return tier_of(self.left_share)


def party(settings: Settings, probe: Callable[[], Awaitable[object]]) -> Party:
    """The endpoint as a party that is asked by way of a breaker."""
    return Party(
        name=LANGUAGE_MODEL,
        rule=rule_for(settings.breakers, LANGUAGE_MODEL, PROBE_TIMEOUT_S + 1),
        judge=failures.judge,
        keeps="texts come from elsewhere",
        probe=probe,
    )


@dataclass(frozen=True, slots=True)
class Books:
    """Where spending is recorded, by what right, and by which clock."""

    database: Database
    fence: Fence
    clock: Clock


class LanguageModel:
    """One for the whole house; `open_model` makes it.

    `running` names the jobs that run now: failures that come with certain jobs are looked for.
    """

    def __init__(
        self,
        settings: LanguageModelSettings,
        client: Client,
        books: Books,
        breakers: Breakers,
        metrics: Metrics,
        running: Callable[[], Sequence[str]],
    ) -> None:
        self.settings = settings
        self._client = client
        self._books = books
        self._breakers = breakers
        self._metrics = metrics
        self._running = running
        self._budget = Decimal(str(settings.daily_budget))
        self._rests_until = 0.0
        """By trio's clock."""
        self._last_failure: LanguageModelError | None = None

    def check(self, job: str) -> None:
        """Raises ModelRestsError or BreakerOpenError while it is not to be asked."""
        self._check_rest()
        self._breakers.check(LANGUAGE_MODEL, job)

    def _check_rest(self) -> None:
        left_s = self._rests_until - trio.current_time()
        if left_s > 0 and self._last_failure is not None:
            text = f"the language model is not asked for {left_s:.0f} s; it said last: {self._last_failure}"
            raise ModelRestsError(text, retry_in_s=left_s, remedy=self._last_failure.remedy)

    async def standing(self) -> Standing:
        """What is left today. Raises DatabaseError."""
        today = self._books.clock.now().date()
        left = self._budget - await self._books.database.run(spending.committed, today)
        found = Standing(self._budget, max(Decimal(0), left))
        self._metrics.show_budget(found.left_share, found.tier.name)
        return found

    async def ask(self, job: str, operation: str, messages: Sequence[Message]) -> str:
        """The model's text; by the day's tier from the large or the small one.

        Raises what `check` does, BudgetSpentError, a LanguageModelError, and DatabaseError: without a record
        nothing is asked.
        """
        self._check_rest()
        model = self.settings.model(is_large=(await self.standing()).tier.is_large)
        with self._breakers.permit(LANGUAGE_MODEL, job):
            call_id = await self._reserve(job, operation, model, messages)
            answer = await self._complete(call_id, operation, model, messages)
        if not answer.is_whole or not answer.text:
            why = "has no text" if answer.is_whole else "was cut off at language_model.answer_tokens"
            raise ModelBrokenError(f"the language model's answer {why}")
        return answer.text

    async def _reserve(
        self, job: str, operation: str, model: ModelSettings, messages: Sequence[Message]
    ) -> int:
        most = prices.highest_cost(model, messages, self.settings.answer_tokens)
        call = Reservation(operation, model.name, most, sorted(set(self._running()) - {job}))
        books = self._books
        number, now = books.fence.number, books.clock.now()
        call_id = await books.database.run(spending.reserve, call, self._budget, number, now)
        if call_id is None:
            raise BudgetSpentError(
                f"what is left of today's budget does not reach for a call of up to {most:.6f}",
                remedy="It is renewed at midnight UTC; or raise language_model.daily_budget",
            )
        return call_id

    async def _complete(
        self, call_id: int, operation: str, model: ModelSettings, messages: Sequence[Message]
    ) -> Answer:
        """Make the call, and settle it however it ends."""
        end = Settlement(UNKNOWN, None, detail="cut off")
        try:
            answer = await self._client.complete(model.name, messages)
            end = _settlement(model, answer)
        except LanguageModelError as error:
            end = Settlement(error.kind, None if error.may_have_cost else Decimal(0), detail=str(error))
            self._note_failure(error)
            raise
        finally:
            await self._settle(call_id, operation, end)  # noqa: ASYNC102 - shielded and bounded within
        return answer

    async def _settle(self, call_id: int, operation: str, end: Settlement) -> None:
        """Also when the caller is cancelled: what was asked for is paid for.

        A call that can't be settled now stays reserved, so it counts as spent.
        """
        self._metrics.model_calls.labels(outcome=end.outcome).inc()
        with trio.CancelScope(shield=True), trio.move_on_after(SETTLE_S):
            try:
                cost = await self._books.database.run(spending.settle, call_id, end, self._books.clock.now())
            except DatabaseError as error:
                log.warning("call_not_settled", call=call_id, error=str(error))
            else:
                self._metrics.budget_spent.labels(operation=operation).inc(float(cost))
                log.info("model_asked", operation=operation, outcome=end.outcome, cost=f"{cost:.6f}")

    async def last_asked(self, operation: str) -> datetime | None:
        """When it last wrote for the operation. Raises DatabaseError."""
        return await self._books.database.run(spending.last_asked, operation)

    def _note_failure(self, error: LanguageModelError) -> None:
        log.warning("model_failed", kind=error.kind, error=str(error))
        if error.kind in REST_S:
            self._last_failure = error
            wish_s = REST_S[error.kind] if error.retry_in_s is None else error.retry_in_s
            self._rests_until = trio.current_time() + wish_s

    async def look(self) -> str:
        """What a health check says of key and money. Raises PartyUnavailableError while it rests for them."""
        try:
            self._check_rest()
        except ModelRestsError as error:
            raise PartyUnavailableError(str(error), remedy=error.remedy) from error
        return f"{self.settings.base_url} takes questions"


@asynccontextmanager
async def open_model(
    settings: Settings,
    books: Books,
    breakers: Breakers,
    metrics: Metrics,
    running: Callable[[], Sequence[str]],
) -> AsyncIterator[LanguageModel | None]:
    """The language model of the settings, with its breaker; None where there is none.

    Raises SettingsError for a key that can't be read.
    """
    if settings.language_model.base_url is None:
        yield None
        return
    async with open_client(settings.language_model) as client:
        breakers.add(party(settings, client.probe))
        yield LanguageModel(settings.language_model, client, books, breakers, metrics, running)


def _settlement(model: ModelSettings, answer: Answer) -> Settlement:
    if answer.usage is None:
        return Settlement(DONE, None, detail="without usage: counted as what was reserved")
    cost = prices.cost(model, answer.usage)
    return Settlement(DONE, cost, answer.usage.input_tokens, answer.usage.output_tokens)
