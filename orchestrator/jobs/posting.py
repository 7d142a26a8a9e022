"""Job `posting`: publishes at most one due post a run; never twice, never lost.

The order of steps is the safety (`docs/reliability.md`): claim → write the text into the page →
commit the intent → check the fence → press submit → record. Whatever goes wrong before the intent
puts the post back; whatever goes wrong after it, short of a plain answer by the site, leaves the post
ambiguous, and only reconciliation moves it on.
"""

import itertools
from collections.abc import Awaitable, Callable, Collection
from datetime import date, datetime, time, timedelta

import trio

from orchestrator import crash
from orchestrator.actors.job import Job, Run
from orchestrator.crash import Step
from orchestrator.db import posts
from orchestrator.errors import (
    AlreadyAnsweredError,
    BreakerOpenError,
    DatabaseError,
    DatabaseUnavailableError,
    Failure,
    OrchestratorError,
    PostMissingError,
    PostNotPressedError,
    PostRefusedError,
    SiteRateLimitedError,
)
from orchestrator.jobs import reconciliation
from orchestrator.jobs.lasting import lasting
from orchestrator.jobs.looks import squeezed
from orchestrator.jobs.tools import Account, Site, Tools
from orchestrator.model import Outcome, Post, PostKind, PostState, done, nothing_to_do, over_budget, skipped
from orchestrator.retry import RetryRule

NAME = "posting"
RECORD_PATIENCE_S = 5.0
"""How long a record may take after the run itself was cancelled."""
RECORD_RETRY = RetryRule(retries=6, base_s=0.5, cap_s=5.0)
"""For the record of the site's answer, while the database restarts."""
RATE_LIMIT_PAUSE_S = 300.0
"""A rate-limited post is due again after this, in real seconds, when the site names no time itself."""
SETBACK = timedelta(hours=1)
"""A post whose account can't be used for good is put off, so that the other accounts' posts go on."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        outcome = await post_one(run, tools)
        await tools.expect_posts()
        return outcome

    return Job(
        NAME,
        work,
        priority=0,
        every_s=300,
        after=("plan",),
        uses_browser=True,
        retry=RetryRule(3, 1.0),
        max_run_s=120,
    )


async def post_one(run: Run, tools: Tools, kind: PostKind = PostKind.POSTS) -> Outcome:
    """Publish the oldest due post, or the oldest reply if that is the `kind`, if there is one.

    Posts of a site that is not to be asked stay queued; those of an account that has reached the posts of
    its day are put back to the next one, without a visit.
    """
    tools.refusals.heed(run)
    if run.is_asked:
        await tools.database.run(posts.hasten, tools.stamp())
    believed = max(posts.BELIEVED, tools.clock.span(posts.BELIEVED.total_seconds()))  # pauses are real time
    full: set[str] = set()
    while True:
        not_asked = tools.not_asked(run)
        asked = [name for name in tools.accounts if name not in not_asked]
        with crash.around(Step.CLAIM):
            post = await tools.database.run(posts.claim_due, asked, tools.stamp(), believed, kind)
        if post is None:
            break
        try:
            if (outcome := await _try(run, tools, post)) is not None:
                return outcome
            full.add(post.account)
        except BreakerOpenError as error:
            # It opened while we waited for a context: nothing was pressed, and another site has its turn.
            run.log.info("account_passed_over", account=post.account, why=str(error))
    if full:
        return over_budget(_limit_reached(full, kind))
    if not_asked:
        return skipped("; ".join(sorted(set(not_asked.values()))))
    return nothing_to_do("no reply waits" if kind is PostKind.REPLIES else "no post is due")


def _limit_reached(accounts: Collection[str], kind: str) -> str:
    return "; ".join(f"{name} has reached its {kind} for the day" for name in sorted(accounts))


async def _try(run: Run, tools: Tools, post: Post) -> Outcome | None:
    """Publish a claimed post; None, and put back, when its account has reached the posts of the day."""
    account = tools.accounts[post.account]
    attempt = _Attempt(run, tools, account, post)
    try:
        if await attempt.is_over_limit():
            return None
        async with tools.visit(run, account) as visit:
            return await attempt.make(visit.site)
    except SiteRateLimitedError as error:
        attempt.setback, attempt.reason = attempt.pause(error), str(error)
        return over_budget(str(error))
    except OrchestratorError as error:
        if error.failure is not Failure.TRANSIENT and not isinstance(error, DatabaseError):
            attempt.setback, attempt.reason = SETBACK, f"{posts.PUT_OFF}{error}"
        raise
    finally:
        with lasting(f"how the attempt at post {post.id} ended", RECORD_PATIENCE_S, run.log):
            await attempt.settle()  # noqa: ASYNC102 - it shields and bounds itself


class _Attempt:
    """One try to publish one post. `state` is what the database says of the post, as far as we know."""

    def __init__(self, run: Run, tools: Tools, account: Account, post: Post) -> None:
        self._run = run
        self._tools = tools
        self._account = account
        self._post = post
        self.state = PostState.CLAIMED
        self._is_pressed = False
        self.setback = timedelta()
        """How long the post is put off if the attempt ends before anything is pressed, and why."""
        self.reason = "the attempt ended before anything was pressed"

    @property
    def _limit(self) -> int:
        """How many of its kind the account may publish a day."""
        settings = self._account.settings
        return settings.posts_per_day if self._post.in_reply_to is None else settings.replies_per_day

    async def make(self, site: Site) -> Outcome:
        post = self._post
        try:
            with crash.around(Step.WRITE):
                if post.in_reply_to is None:
                    await site.write_post(post.text)
                else:
                    await site.write_reply(post.in_reply_to, post.text)
        except AlreadyAnsweredError as error:
            if squeezed(error.text) == squeezed(post.text):
                return await self._adopt(error.reference)
            return await self._fail(str(error))
        except (PostRefusedError, PostMissingError) as error:
            return await self._fail(str(error))
        with crash.around(Step.INTENT):
            is_intended = await self._intend()
        if not is_intended:
            return over_budget(_limit_reached([post.account], post.kind))
        with crash.around(Step.FENCE_CHECK):
            self._tools.fence.check()
        self._is_pressed = True
        try:
            with crash.around(Step.PRESS):
                reference = await (site.submit_post if post.in_reply_to is None else site.submit_reply)()
        except PostRefusedError as error:
            return await self._fail(str(error))
        except SiteRateLimitedError as error:
            await self._requeue(self.pause(error), str(error))  # noqa: ASYNC120 - cancelled is cancelled
            raise  # the visit remembers what the site asks for
        except PostNotPressedError:
            self._is_pressed = False
            raise
        await self._publish(reference)
        return done(f"post {post.id} is {reference}", published=1)

    async def _adopt(self, reference: str) -> Outcome:
        """Record what the site has already: an earlier try came to it late, after the looks for it."""
        if not await self._intend():
            return over_budget(_limit_reached([self._post.account], self._post.kind))
        await self._publish(reference)
        return done(f"post {self._post.id} is {reference}, which the site had already", published=1)

    def pause(self, error: SiteRateLimitedError) -> timedelta:
        """What the site asks for, which means real seconds."""
        return self._tools.clock.span(error.retry_in_s or RATE_LIMIT_PAUSE_S)

    async def settle(self) -> None:
        """What must be said of the post when the attempt ended early, for whatever reason."""
        if self.state not in (PostState.CLAIMED, PostState.SUBMITTING):
            return
        try:
            if self._is_pressed:
                await self._doubt()
            else:
                await self._put_back(posts.put_back, self._tools.clock.now() + self.setback, self.reason)
        except DatabaseError as error:
            # The row still says claimed or submitting, which recovery and reconciliation settle.
            self._run.log.error("post_not_settled", post=self._post.id, error=str(error))

    async def is_over_limit(self) -> bool:
        """Whether the account has reached the posts of its day; then the post is put back to the next one."""
        day = self._account.day(self._tools.clock.now())
        counted = await self._tools.database.run(posts.counted, self._post.account, day, self._post.kind)
        if counted < self._limit:
            return False
        await self._put_back_beyond(day)
        return True

    async def _intend(self) -> bool:
        """Commit the intent; False, with the post put back to the next day, at the daily limit."""
        stamp = self._tools.stamp()
        day = self._account.day(stamp.now)
        if await self._tools.database.run(posts.intend, self._post.id, stamp, day, self._limit):
            self.state = PostState.SUBMITTING
            return True
        await self._put_back_beyond(day)
        return False

    async def _put_back_beyond(self, day: date) -> None:
        tomorrow = datetime.combine(day + timedelta(days=1), time.min, self._account.zone)
        detail = f"the limit of {self._limit} {self._post.kind} a day is reached"
        await self._put_back(posts.postpone, tomorrow, detail)

    async def _publish(self, reference: str) -> None:
        stamp = self._tools.stamp()
        await self._insist(posts.publish, PostState.SUBMITTING, reference, stamp)
        self.state = PostState.PUBLISHED
        if self._post.in_reply_to is None:
            delay_s = (stamp.now - self._post.due_at).total_seconds()
            self._tools.metrics.post_delay.observe(max(0.0, delay_s))
        self._run.log.info(
            "post_published", post=self._post.id, account=self._post.account, reference=reference
        )

    async def _fail(self, detail: str) -> Outcome:
        await self._insist(posts.fail, self.state, self._tools.stamp(), detail)
        self.state = PostState.FAILED
        self._run.log.warning("post_refused", post=self._post.id, reason=detail)
        return done(f"the site refused post {self._post.id}: {detail}", refused=1)

    async def _requeue(self, pause: timedelta, detail: str) -> None:
        stamp = self._tools.stamp()
        await self._insist(posts.requeue, PostState.SUBMITTING, stamp, stamp.now + pause, detail)
        self.state = PostState.QUEUED

    async def _doubt(self) -> None:
        detail = "submit was pressed and no clear answer came"
        with crash.around(Step.DOUBT):
            await self._tools.database.run(posts.doubt, self._post.id, self._tools.stamp(), detail)
        self.state = PostState.AMBIGUOUS
        self._run.log.error("post_ambiguous", post=self._post.id, reason=detail)
        self._tools.wake(reconciliation.NAME, f"post {self._post.id} is ambiguous")

    async def _put_back(self, step: Callable[..., Awaitable[None]], until: datetime, detail: str) -> None:
        stamp = self._tools.stamp()
        with crash.around(Step.PUT_BACK):
            await self._tools.database.run(step, self._post.id, stamp, until, detail)
        self.state = PostState.QUEUED

    async def _insist(self, step: Callable[..., Awaitable[None]], *args: object) -> None:
        """Record what the site has answered, also when the database is away for a moment."""
        for tried in itertools.count(1):
            try:
                with crash.around(Step.RECORD):
                    await self._tools.database.run(step, self._post.id, *args)
                return
            except DatabaseUnavailableError as error:
                if tried > RECORD_RETRY.retries:
                    raise
                self._run.log.warning("answer_not_recorded", post=self._post.id, error=str(error))
            await trio.sleep(RECORD_RETRY.delay_s(tried, self._tools.rng))
