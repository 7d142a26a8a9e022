"""What the jobs work with, handed to each of them."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from random import Random
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog
from structlog.contextvars import bound_contextvars

from orchestrator.actors.job import Run
from orchestrator.actors.window import BEHIND, PostingWindows
from orchestrator.allocator import Allocator, Lease
from orchestrator.breakers import Breakers
from orchestrator.cache.cache import Cache
from orchestrator.clock import Clock
from orchestrator.content.feeds import Feeds
from orchestrator.content.writer import Writer
from orchestrator.db import notes, posts
from orchestrator.db.fence import Fence
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import (
    BreakerOpenError,
    ContextBrokenError,
    DatabaseError,
    OrchestratorError,
    ReplyImpossibleError,
    SignInRefusedError,
    SiteRateLimitedError,
    VisitNotAllowedError,
)
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.health import Health
from orchestrator.jobs.refusals import Refusals
from orchestrator.jobs.standing import Standing
from orchestrator.llm.model import LanguageModel
from orchestrator.metrics import Metrics
from orchestrator.model import Listing, PostMetrics, PostState, ReplyDraft, SeenPost, Timeline
from orchestrator.settings import AccountSettings, Settings
from orchestrator.sites.answers import MAX_RETRY_IN_S
from orchestrator.sites.breakers import breaker_of
from orchestrator.sites.driver import AccountFigures
from orchestrator.sites.session import SiteAccount

WINDOWS = 100
"""So many of the next posts are known to the posting windows."""

PATIENCE_OF = "posting"
"""The job among whose notes stands what sites asked for; all jobs heed it."""

log = structlog.get_logger("jobs")


def _patience_key(account: "Account") -> str:
    return f"patience/{account.settings.site}/{account.name}"


class Site(Protocol):
    """What jobs do on a site as one account; `sites.session.SiteSession` says what each method raises."""

    async def write_post(self, text: str) -> None: ...
    async def submit_post(self) -> str: ...
    async def read_metrics(self, reference: str) -> PostMetrics: ...
    async def read_account(self) -> AccountFigures: ...
    async def own_posts(self, limit: int) -> Timeline: ...
    async def write_reply(self, target: str, text: str) -> None: ...
    async def submit_reply(self) -> str: ...
    async def own_replies(self, target: str, limit: int) -> Timeline: ...
    async def read_list(
        self, listing: Listing, limit: int, go_on: Callable[[], bool] = ...
    ) -> list[SeenPost]: ...
    async def stay_signed_in(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """An account to post for: its settings and how its site is driven."""

    settings: AccountSettings
    site: SiteAccount

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.time_zone)

    def day(self, moment: datetime) -> date:
        """The day, by its own calendar, that the moment lies on."""
        return moment.astimezone(self.zone).date()

    def check_reply(self, target: str, text: str) -> None:
        """Raises ReplyImpossibleError, which says why this text can't answer that post on the site."""
        profile = self.site.profile
        if profile.reply is None:
            remedy = "Add the section [reply] to the profile; see docs/sites.md"
            raise ReplyImpossibleError(f"the profile {profile.site.name} can't reply", remedy=remedy)
        if not profile.is_reference(target):
            raise ReplyImpossibleError(f"{target!r} can't be a reference on the site of {self.name}")
        if not text.strip():
            raise ReplyImpossibleError("an empty text answers nothing")
        if len(text) > profile.reply.max_chars:
            most = f"{profile.site.name} takes {profile.reply.max_chars} in a reply"
            raise ReplyImpossibleError(f"the text has {len(text)} characters, {most}")


@dataclass(frozen=True, slots=True)
class Visit:
    """An account's site in a leased context."""

    site: Site
    lease: Lease


async def _nothing_open() -> int:
    return 0


@dataclass(slots=True)
class Tools:
    """Collaborators of the jobs; one for the whole house."""

    settings: Settings
    """Replaced by `app` when they are read again; nothing else here ever is."""
    clock: Clock
    rng: Random
    database: Database
    fence: Fence
    allocator: Allocator
    open_site: Callable[[int, SiteAccount], AbstractAsyncContextManager[Site]]
    """Opens an account's site in a slot that the caller holds a lease on."""
    writer: Writer
    accounts: Accounts
    breakers: Breakers
    metrics: Metrics
    cache: Cache
    """What would cost a query or a page to find again; `docs/cache.md` says how to use it."""
    wake: Callable[[str, str], None]
    """`wake(job, reason)` makes another job run soon."""
    model: LanguageModel | None = None
    """None: the settings name none."""
    feeds: Feeds | None = None
    refusals: Refusals = field(default_factory=Refusals)
    patience: dict[str, datetime] = field(default_factory=dict)
    """By account, until when its site does not want to be asked (429 with a time)."""
    windows: PostingWindows = field(default_factory=PostingWindows)
    visiting: Counter[str] = field(default_factory=Counter)
    """How many leases each job has or waits for."""
    health: Health = field(default_factory=Health)
    sweep_contexts: Callable[[], Awaitable[int]] = _nothing_open
    """Closes contexts that nobody has used for long, and says how many."""

    @asynccontextmanager
    async def visit(self, run: Run, account: Account) -> AsyncIterator[Visit]:
        """Wait for a slot and open the account's context in it.

        A context that breaks under the visit breaks its slot, which is then rebuilt. An account whose sign-in
        was refused is not visited: SignInRefusedError; nor one whose site asked for patience, for so long:
        SiteRateLimitedError. Nor is a site whose breaker is open: BreakerOpenError, and the job is woken when
        the site may be asked again. Nor an account that is not well enough for this job, or has
        had the visits of its day, nor one that is switched off or removed: AccountNotUsableError.

        VisitNotAllowedError for a job that has not declared `uses_browser`, and for more visits at a
        time than it has declared `contexts`.
        """
        self._check_right(run)
        with self.accounts.visit(account.name, run.job):
            async with self._visit(run, account) as visit:
                yield visit

    @asynccontextmanager
    async def _visit(self, run: Run, account: Account) -> AsyncIterator[Visit]:
        """A visit of an account that work is done for."""
        self.refusals.check(account.name)
        self.check_patience(account.name)
        self.standing.check(run, account.name)
        breaker = breaker_of(account.settings.site)
        self.breakers.check(breaker, run.job)  # before the wait, so that an open breaker costs no slot
        async with self._lease(run) as lease:
            run.log.debug("lease", lease=lease.id, slot=lease.slot, waited_s=round(lease.waited_s, 3))
            try:
                async with self.standing.visit(account):
                    with self.breakers.permit(breaker, run.job):
                        async with self.open_site(lease.slot, account.site) as site:
                            yield Visit(site, lease)
            except SignInRefusedError as error:
                self.refusals.note(account.name, error)
                raise
            except SiteRateLimitedError as error:
                if error.retry_in_s is not None:
                    until = self.clock.now() + self.clock.span(error.retry_in_s)
                    await self._keep_patience(account, until)  # noqa: ASYNC120 - cancelled is cancelled
                raise
            except OrchestratorError as error:
                # It may be what lies behind an unclear answer.
                if isinstance(error, ContextBrokenError) or isinstance(error.__cause__, ContextBrokenError):
                    lease.mark_broken()
                raise

    def _check_right(self, run: Run) -> None:
        """What is promised of waits rests on it: see `check_jobs` in wiring.py."""
        if not run.uses_browser:
            text = f"job {run.job} visits a site and has not declared that it does"
            raise VisitNotAllowedError(text, remedy="Add uses_browser=True to its declaration")
        if self.visiting[run.job] >= run.contexts:
            text = f"job {run.job} asked for a second context while it has one or waits for one"
            if run.contexts > 1:
                text = f"job {run.job} asked for more than {run.contexts} contexts at a time"
            raise VisitNotAllowedError(text, remedy="End one visit before the next begins")

    @asynccontextmanager
    async def _lease(self, run: Run) -> AsyncIterator[Lease]:
        """A lease of the job."""
        self.visiting[run.job] += 1
        try:
            async with self.allocator.lease(run.job, priority=run.priority) as lease:
                with bound_contextvars(lease=lease.id):
                    yield lease
        finally:
            self.visiting[run.job] -= 1

    def check_patience(self, name: str) -> None:
        """Raises SiteRateLimitedError while the account's site wants to be left alone by it."""
        until = self.patience.get(name)
        left_s = 0.0 if until is None else self.clock.real_seconds((until - self.clock.now()).total_seconds())
        if 0.0 < left_s <= MAX_RETRY_IN_S:  # what is longer was noted by a clock that was ahead
            text = f"the site asked for patience with {name}, for {left_s:.0f} s more"
            raise SiteRateLimitedError(text, retry_in_s=left_s)

    async def recall_patience(self) -> None:
        """Heed what sites asked of an earlier daemon. Raises DatabaseError."""
        names = {_patience_key(account): name for name, account in self.accounts.here.items()}
        for key, until in (await self.database.run(notes.recall_all, PATIENCE_OF, list(names))).items():
            self.patience[names[key]] = datetime.fromisoformat(until)

    async def _keep_patience(self, account: Account, until: datetime) -> None:
        self.patience[account.name] = until
        note = (PATIENCE_OF, _patience_key(account), until.isoformat(), self.fence.number, self.clock.now())
        try:
            await self.database.run(notes.remember, *note)
        except DatabaseError as error:
            log.warning("patience_not_kept", account=account.name, error=str(error))

    def not_asked(self, run: Run) -> dict[str, str]:
        """The accounts whose site is not to be asked now, and why; the job is woken when it may be."""
        found = {}
        for name, account in self.accounts.items():
            try:
                self.breakers.check(breaker_of(account.settings.site), run.job)
            except BreakerOpenError as error:
                found[name] = str(error)
        return found

    async def recall(self, run: Run, key: str) -> Any:
        """What this job has kept under `key`; None when nothing. Raises DatabaseError."""
        return await self.database.run(notes.recall, run.job, key)

    async def remember(self, run: Run, key: str, value: Any) -> None:
        """Keep `value`, which JSON can say, for this job's later runs; None forgets. Raises DatabaseError."""
        await self.database.run(notes.remember, run.job, key, value, self.fence.number, self.clock.now())

    async def draft_reply(self, run: Run, account: str, target: str, text: str) -> int:
        """Keep `text` as an answer of `account` to the post that its site calls `target`; the draft's id.

        It goes out when a person has approved it, or without that if `posting.replies_need_approval` is off.
        Raises ReplyImpossibleError, PostStateError (the account answers that post already) and DatabaseError.
        """
        if account not in self.accounts:
            raise ReplyImpossibleError(f"there is no account {account}")
        self.accounts[account].check_reply(target, text)
        reply = ReplyDraft(account, target, text, f"job {run.job}")
        needs_approval = self.settings.posting.replies_need_approval
        state = PostState.DRAFT if needs_approval else PostState.QUEUED
        return await self.database.run(posts.add_reply, reply, self.stamp(), state)

    async def expect_posts(self) -> None:
        """Tell the posting windows which posts come next; what they know already ages by itself."""
        since = self.clock.now() - BEHIND
        try:
            self.windows.expect(await self.database.run(posts.expected, list(self.accounts), since, WINDOWS))
        except DatabaseError as error:
            log.warning("windows_not_updated", error=str(error))

    def beside(self, account: Account) -> list[str]:
        """The accounts on the same site, this one included."""
        site = account.settings.site
        return [other.name for other in self.accounts.values() if other.settings.site == site]

    @property
    def standing(self) -> Standing:
        """Whether accounts may be visited, and what comes of it."""
        least = self.settings.upkeep.min_health
        return Standing(self.database, self.clock, self.fence, self.accounts, self.health, least)

    def stamp(self) -> Stamp:
        """What a change of a post made now carries."""
        return Stamp(self.fence.number, self.clock.now())
