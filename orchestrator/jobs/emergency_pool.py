"""Job `emergency_pool`: keeps prepared posts for the time when the language model is out (A3.5).

By the model while much of the budget is left, else from templates; what is older than a week is replaced.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle
from random import Random

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.content.generator import Written
from orchestrator.content.writer import Stock
from orchestrator.db import prepared
from orchestrator.db.prepared import Prepared
from orchestrator.jobs.assistant import MODEL_SOURCE, OUT, write_text
from orchestrator.jobs.tools import Tools
from orchestrator.model import Arms, Outcome, done, fingerprint, nothing_to_do

NAME = "emergency_pool"
OPERATION = "pool"
LEAST, MOST = 10, 20
"""Posts in the pool."""
BY_MODEL = 5
"""Posts that one run asks the model for: a full pool may take a day, and no run takes all of a budget."""
KEPT = timedelta(days=7)


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await fill(run, tools)

    return Job(NAME, work, priority=7, every_s=21_600)


async def fill(run: Run, tools: Tools) -> Outcome:
    """Fill the pool to `MOST`, and let go what is too old as far as there is something in its place."""
    now = tools.clock.now()
    pool = await tools.database.run(prepared.pool)
    old = [post for post in pool if now - post.made_at >= KEPT]
    missing = MOST - len(pool) + len(old)
    if missing <= 0:
        return nothing_to_do(f"{len(pool)} posts are prepared")
    stock = await tools.writer.read()
    rng = Random(tools.rng.getrandbits(64))
    maker = _Maker(run, tools, stock, [post.text for post in pool], rng)
    made = await maker.make(missing)
    spare = max(0, len(pool) + made - MOST)
    ids = [post.id for post in old[:spare] if post.id is not None]
    if ids:
        await tools.database.run(prepared.drop, ids, tools.fence.number)
    left = len(pool) + made - len(ids)
    if left < LEAST:
        run.log.warning("pool_is_small", posts=left, wanted=LEAST)
    detail = f"{made} prepared, {len(ids)} let go, {left} in the pool"
    figures = {"prepared": made, "by_model": maker.by_model, "dropped": len(ids), "pool": left}
    return done(detail, **figures) if made or ids else nothing_to_do(detail)


class _Maker:
    """Makes posts for one run."""

    def __init__(self, run: Run, tools: Tools, stock: Stock, texts: list[str], rng: Random) -> None:
        self._run = run
        self._tools = tools
        self._stock = stock
        self._texts = texts
        self._rng = rng
        self._is_out = tools.model is None
        self.by_model = 0

    async def make(self, count: int) -> int:
        """Up to `count` posts, spread over topics and formats; how many there were."""
        if self._tools.model is not None and not self._is_out:
            self._is_out = not (await self._tools.model.standing()).tier.is_large
        made = 0
        for wish in self._wishes(count):
            written = await self._write(wish)
            if written is not None:
                made += await self._keep(written)
        return made

    def _wishes(self, count: int) -> Iterator[Arms]:
        found = self._stock.inventory
        topics = cycle(self._rng.sample(found.topics, len(found.topics)))
        for _ in range(count if found.topics else 0):
            yield Arms(next(topics), self._rng.choice(found.formats), 0)

    async def _write(self, wish: Arms) -> Written | None:
        model = self._tools.model
        if model is not None and not self._is_out and self.by_model < BY_MODEL:
            try:
                most = self._stock.settings.max_chars
                text = await write_text(model, self._run.job, OPERATION, wish, most, self._texts)
            except OUT as error:
                self._is_out = True
                self._run.log.warning("model_out", error=str(error))
            else:
                self.by_model += 1
                return await trio.to_thread.run_sync(self._checked, text, wish)
        return await trio.to_thread.run_sync(self._from_templates, wish)

    def _checked(self, text: str, wish: Arms) -> Written | None:
        refusal = self._stock.refusal(text, recent_texts=self._texts)
        if refusal is not None:
            self._run.log.info("draft_refused", gate=refusal.gate, reason=refusal.reason)
            return None
        return Written(text, MODEL_SOURCE, wish.topic, wish.format)

    def _from_templates(self, wish: Arms) -> Written | None:
        templates = self._stock.only_templates()
        used = {fingerprint(text) for text in self._texts}
        written = templates.write(wish, self._rng, recent_texts=self._texts, used=used)
        return written if isinstance(written, Written) else None

    async def _keep(self, written: Written) -> bool:
        self._texts.append(written.text)
        now, tools = self._tools.clock.now(), self._tools
        post = Prepared(None, written.text, written.topic, written.format, written.source, now)
        return await tools.database.run(prepared.add, post, tools.fence.number)
