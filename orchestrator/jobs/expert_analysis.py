"""Job `expert_analysis`: says in words what works: formats, openings, lengths, hours, topics."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.db import findings, rollups
from orchestrator.db.findings import ALL, Finding, Looks
from orchestrator.db.rollups import Sum
from orchestrator.jobs.tools import Tools
from orchestrator.learning import cached
from orchestrator.learning.bandit import TOPIC
from orchestrator.learning.findings import (
    KINDS,
    MIN_POSTS,
    Difference,
    Tally,
    differences,
    in_bands,
    statement,
)
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "expert_analysis"
AT_ONCE = 50
"""Accounts that are read and written together."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await analyse(run, tools)

    return Job(NAME, work, priority=7, every_s=43_200, after=("analytics",))


@dataclass(slots=True)
class _Total:
    posts: int = 0
    new: int = 0
    holding: int = 0
    superseded: int = 0

    def add(self, looks: Looks) -> None:
        self.new += looks.new
        self.holding += looks.new + looks.kept
        self.superseded += looks.superseded


async def analyse(run: Run, tools: Tools) -> Outcome:
    """Compare the values of each choice, over all accounts of a site and within each account."""
    total = _Total()
    for site in sorted({account.settings.site for account in tools.accounts.values()}):
        await _analyse_site(run, tools, site, total)
    if total.posts < 2 * MIN_POSTS:
        return nothing_to_do(f"{total.posts} posts have settled, and it takes {2 * MIN_POSTS} to compare any")
    text = f"{total.holding} findings hold of {total.posts} posts, {total.new} of them new"
    return done(text, findings=total.holding, new=total.new, superseded=total.superseded)


async def _analyse_site(run: Run, tools: Tools, site: str, total: _Total) -> None:
    names = [account.name for account in tools.accounts.values() if account.settings.site == site]
    since = (tools.clock.now() - timedelta(days=tools.settings.analysis.window_days)).date()
    of_site: dict[tuple[str, str], Tally] = {}
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        found: list[Finding] = []
        by_account: dict[str, dict[tuple[str, str], Tally]] = {name: {} for name in some}
        for one in await tools.database.run(rollups.sums, some, since):
            _add(by_account[one.account], one)
            _add(of_site, one)
        for name, tallies in by_account.items():
            found += _sentences(differences(in_bands(tallies)), site, name)
        total.add(await _keep(tools, site, some, found))
        run.beat(f"{start + len(some)} of {len(names)} accounts of {site}")
    found = _sentences(differences(in_bands(of_site)), site, ALL)
    total.add(await _keep(tools, site, [ALL], found))
    total.posts += sum(tally.posts for (kind, _), tally in of_site.items() if kind == TOPIC)


def _add(tallies: dict[tuple[str, str], Tally], one: Sum) -> None:
    key = (one.dimension, one.value)
    tallies[key] = tallies.get(key, Tally()) + Tally(one.posts, one.score, one.squares)


def _sentences(found: Iterable[Difference], site: str, account: str) -> list[Finding]:
    return [
        Finding(
            one.kind, site, account, one.subject, statement(one), one.effect, one.low, one.high, one.posts
        )
        for one in found
    ]


async def _keep(tools: Tools, site: str, accounts: list[str], found: list[Finding]) -> Looks:
    fence, now = tools.fence.number, tools.clock.now()
    looks = await tools.database.run(findings.replace, site, accounts, KINDS, found, fence, now)
    await cached.forget_findings(tools.cache)
    return looks
