"""What the language model writes for `plan`, and the pool of prepared posts that stands in for it."""

from collections import Counter
from collections.abc import Collection, Sequence

import trio

from orchestrator.actors.job import Run
from orchestrator.content import prompts
from orchestrator.content.generator import Written
from orchestrator.content.writer import Stock
from orchestrator.db import prepared
from orchestrator.db.prepared import Prepared
from orchestrator.errors import BreakerOpenError, BudgetSpentError, LanguageModelError, ModelRestsError
from orchestrator.jobs.tools import Account, Tools
from orchestrator.llm.client import Message
from orchestrator.llm.model import LanguageModel
from orchestrator.model import Arms

OPERATION = "draft"
MODEL_SOURCE = "language model"
POOL_SOURCE = "pool"
OUT = (LanguageModelError, ModelRestsError, BreakerOpenError, BudgetSpentError)
"""The language model writes nothing now."""


class Assistant:
    """For one run of `plan`; `open_assistant` makes it. It is asked until it is out, then the pool is."""

    def __init__(self, run: Run, tools: Tools, model: LanguageModel, allowed: int) -> None:
        self._run = run
        self._tools = tools
        self._model = model
        self._allowed = allowed
        """Texts of the model for each account in this run."""
        self._written = Counter[str]()
        self._is_out = False
        self._pool: list[Prepared] | None = None
        """What is left of the pool; None: nobody has asked."""

    async def write(
        self, account: Account, wish: Arms, stock: Stock, recent: Sequence[str], used: Collection[str]
    ) -> Written | None:
        """A text that passes the gates; None when other sources have to give one."""
        if not self._is_out and self._written[account.name] < self._allowed:
            found = await self._ask(account, wish, stock, recent, used)
            if found is not None or not self._is_out:
                return found
        return await self._from_pool(account, wish, stock, recent, used) if self._is_out else None

    async def _ask(
        self, account: Account, wish: Arms, stock: Stock, recent: Sequence[str], used: Collection[str]
    ) -> Written | None:
        self._written[account.name] += 1
        most = min(stock.settings.max_chars, account.site.profile.compose.max_chars)
        try:
            text = await write_text(self._model, self._run.job, OPERATION, wish, most, recent)
        except OUT as error:
            self._is_out = True
            self._run.log.warning("model_out", error=str(error))
            return None
        written = Written(text, MODEL_SOURCE, wish.topic, wish.format)
        return written if await self._passes(written, account, stock, recent, used) else None

    async def _from_pool(
        self, account: Account, wish: Arms, stock: Stock, recent: Sequence[str], used: Collection[str]
    ) -> Written | None:
        """The prepared post that is nearest to the wish, which leaves the pool with it."""
        if self._pool is None:
            self._pool = await self._tools.database.run(prepared.pool)
        near = [post for post in self._pool if post.topic == wish.topic]
        for post in sorted(near, key=lambda post: post.format != wish.format):
            written = Written(post.text, f"{POOL_SOURCE}:{post.source}", post.topic, post.format)
            if await self._passes(written, account, stock, recent, used):
                assert post.id is not None
                await self._tools.database.run(prepared.drop, [post.id], self._tools.fence.number)
                self._pool.remove(post)
                return written
        return None

    async def _passes(
        self,
        written: Written,
        account: Account,
        stock: Stock,
        recent: Sequence[str],
        used: Collection[str],
    ) -> bool:
        def look() -> str:
            most = account.site.profile.compose.max_chars
            refusal = stock.refusal(written.text, recent_texts=recent, used=used, site_max_chars=most)
            return "" if refusal is None else f"{refusal.gate}: {refusal.reason}"

        why = await trio.to_thread.run_sync(look)
        if why:
            self._run.log.info("draft_refused", account=account.name, source=written.source, reason=why)
        return not why


async def write_text(
    model: LanguageModel, job: str, operation: str, wish: Arms, max_chars: int, recent: Sequence[str]
) -> str:
    """A post by the language model. Raises one of `OUT`, and DatabaseError."""
    question = prompts.question(wish.topic, wish.format, max_chars, recent)
    messages = [Message("system", prompts.INSTRUCTIONS), Message("user", question)]
    return prompts.text_of(await model.ask(job, operation, messages), wish.topic)


async def open_assistant(run: Run, tools: Tools) -> Assistant | None:
    """None where the settings name no language model. Raises DatabaseError."""
    if tools.model is None:
        return None
    tier = (await tools.model.standing()).tier
    last = await tools.model.last_asked(OPERATION)
    is_too_early = last is not None and tools.clock.now() - last < tier.pause
    return Assistant(run, tools, tools.model, 0 if is_too_early else tier.posts)
