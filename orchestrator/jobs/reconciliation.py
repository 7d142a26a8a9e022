"""Job `reconciliation`: settles ambiguous posts by what the account's own timeline shows.

Found: published, with the site's reference. Not found in two looks that reach back beyond the attempt,
the second at least `posting.settle_s` after the first: certainly not taken, so it is queued again. Not
readable, or the timeline is longer than what was read: it stays ambiguous, and says why, for a person
to decide.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby

from orchestrator.actors.job import Job, Run
from orchestrator.db import posts
from orchestrator.errors import SignInRefusedError
from orchestrator.jobs.tools import Account, Tools
from orchestrator.model import Outcome, Post, PostState, TimelineItem, done, fingerprint, nothing_to_do
from orchestrator.retry import RetryRule

NAME = "reconciliation"
BATCH = 50
"""Ambiguous posts settled in one run."""
TIMELINE_ITEMS = 100
"""How much of the account's own timeline is read."""

Doubtful = tuple[Post, datetime | None]


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await reconcile(run, tools)

    return Job(NAME, work, priority=2, every_s=600, uses_browser=True, retry=RetryRule(5, 5.0))


async def reconcile(run: Run, tools: Tools) -> Outcome:
    """One look at the timeline of each account that has ambiguous posts."""
    since = tools.clock.now() - timedelta(seconds=tools.settings.posting.stuck_s)
    await tools.database.run(posts.doubt_stuck, tools.stamp(), since)
    doubtful = await tools.database.run(posts.ambiguous, list(tools.accounts), BATCH)
    if not doubtful:
        return nothing_to_do("no post is ambiguous")
    settled, refused = 0, None
    for name, group in groupby(doubtful, key=lambda x: x[0].account):
        try:
            settled += await _reconcile_account(run, tools, tools.accounts[name], list(group))
        except SignInRefusedError as error:  # the other accounts' posts don't wait for this one
            run.log.warning("account_refused", account=name, error=error.line())
            refused = error
    if refused is not None:
        raise refused
    return done(f"{settled} of {len(doubtful)} settled", settled=settled, left=len(doubtful) - settled)


async def _reconcile_account(run: Run, tools: Tools, account: Account, doubtful: list[Doubtful]) -> int:
    async with tools.visit(run, account) as visit:
        looked_at = tools.clock.now()
        items = await visit.site.own_posts(TIMELINE_ITEMS)
    references = [item.reference for item in items]
    known = await tools.database.run(posts.known_references, account.name, references)
    free = [item for item in items if item.reference not in known]
    settled = 0
    for post, missed_at in doubtful:
        match = next((item for item in free if fingerprint(item.text) == post.fingerprint), None)
        if match is not None:
            free.remove(match)
            await _publish(run, tools, post, match)
            settled += 1
        elif _reaches_beyond(items, known, post):
            settled += await _miss(run, tools, post, missed_at, looked_at)
        else:
            detail = f"not among the latest {TIMELINE_ITEMS} posts of the account; a person has to look"
            await tools.database.run(posts.note_unreadable, post.id, tools.stamp(), detail)
    return settled


def _reaches_beyond(items: list[TimelineItem], known: Mapping[str, datetime], post: Post) -> bool:
    """Whether the post would be among `items` if the site had it.

    It would when they are the whole timeline, or when the last of them is one of ours that was published
    before the attempt began.
    """
    if len(items) < TIMELINE_ITEMS:
        return True
    oldest = known.get(items[-1].reference)
    return oldest is not None and post.submitted_at is not None and oldest < post.submitted_at


async def _publish(run: Run, tools: Tools, post: Post, item: TimelineItem) -> None:
    await tools.database.run(posts.publish, post.id, PostState.AMBIGUOUS, item.reference, tools.stamp())
    run.log.info("post_found", post=post.id, account=post.account, reference=item.reference)


async def _miss(run: Run, tools: Tools, post: Post, missed_at: datetime | None, looked_at: datetime) -> bool:
    """The post was not seen in a look that began at `looked_at`; True when that settles it."""
    stamp = tools.stamp()
    if missed_at is None:
        await tools.database.run(posts.note_missed, post.id, stamp)
        return False
    if looked_at - missed_at < timedelta(seconds=tools.settings.posting.settle_s):
        return False
    if post.attempt >= tools.settings.posting.attempts:
        detail = f"not on the site after {post.attempt} tries"
        await tools.database.run(posts.fail, post.id, PostState.AMBIGUOUS, stamp, detail)
        run.log.error("post_given_up", post=post.id, attempts=post.attempt)
        return True
    detail = "not on the site in two looks"
    await tools.database.run(posts.requeue, post.id, PostState.AMBIGUOUS, stamp, stamp.now, detail)
    run.log.info("post_requeued", post=post.id, account=post.account)
    return True
