"""Job `reconciliation`: settles ambiguous posts by what the account's own timeline shows.

Found: published, with the site's reference. Not found in two looks that tell: certainly not taken, so it is
queued again. A look tells when it reaches back beyond the attempt and shows nothing that may be the post;
for a reply it is the page of the post that it answers which is read;
the first begins `posting.settle_s` after the attempt, the second as long after the first. Whatever else was
seen, the post stays ambiguous, and says why, for a person to decide. Once a day each account is compared
with the site as a whole (`comparison`).
"""

from dataclasses import asdict, replace
from datetime import datetime
from itertools import groupby

from orchestrator import crash
from orchestrator.actors.job import Job, Run
from orchestrator.crash import Step
from orchestrator.db import doubts, posts
from orchestrator.db.posts import Stamp
from orchestrator.errors import PageUnexpectedError, PostMissingError, PostStateError
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.comparison import Figures, compare_due
from orchestrator.jobs.looks import Look, ReplyLook
from orchestrator.jobs.tools import Account, Site, Tools
from orchestrator.model import Outcome, Post, PostState, Timeline, TimelineItem, done, nothing_to_do

NAME = "reconciliation"
BATCH = 50
"""Ambiguous posts of one account settled in one run."""
TIMELINE_ITEMS = 100
"""How much of the account's own timeline is read."""
WITNESSES = 3
"""Published replies of which one must be on its page before another one counts as missing."""

Doubtful = tuple[Post, datetime | None]


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await reconcile(run, tools)

    return Job(NAME, work, priority=2, every_s=600, uses_browser=True)


async def reconcile(run: Run, tools: Tools) -> Outcome:
    """One look at the timeline of each account that has ambiguous posts, or whose daily comparison is due."""
    tools.refusals.heed(run)
    since = tools.clock.now() - tools.clock.span(tools.settings.posting.stuck_s)
    await tools.database.run(doubts.doubt_stuck, tools.stamp(), since)
    doubtful = await tools.database.run(doubts.ambiguous, tools.accounts.to_settle, BATCH)
    settled, apart = 0, Apart(run)
    for name, group in groupby(doubtful, key=lambda x: x[0].account):
        with apart.account(name):
            settled += await _reconcile_account(run, tools, tools.accounts[name], list(group))
    compared = await compare_due(run, tools, apart)
    return apart.end(_outcome(len(doubtful), settled, compared))


def _outcome(doubtful: int, settled: int, compared: Figures) -> Outcome:
    """What the run has done, of what there was to do."""
    said: list[str] = []
    figures: dict[str, int] = {}
    if doubtful:
        said.append(f"{settled} of {doubtful} settled")
        figures |= {"settled": settled, "left": doubtful - settled}
    if compared.compared:
        said.append(compared.line)
        figures |= asdict(compared)
    return done("; ".join(said), **figures) if said else nothing_to_do("no post is ambiguous")


async def _reconcile_account(run: Run, tools: Tools, account: Account, doubtful: list[Doubtful]) -> int:
    own = [one for one in doubtful if one[0].in_reply_to is None]
    looks: list[tuple[datetime, Look | ReplyLook, list[Doubtful]]] = []
    flaw: str | None = None
    async with tools.visit(run, account) as visit:
        if own:
            looked_at = tools.clock.now()
            with crash.around(Step.LOOK):
                timeline = await visit.site.own_posts(TIMELINE_ITEMS)
            known = await _known(tools, account, timeline)
            is_empty = not await tools.database.run(posts.has_published, account.name)
            looks.append((looked_at, Look(timeline, known, is_empty=is_empty), own))
        for post, missed_at in doubtful:
            if post.in_reply_to is not None and not visit.lease.is_called_back:
                looked_at = tools.clock.now()
                look = await _look_for_reply(tools, account, visit.site, post.in_reply_to)
                if look.take(post) is None and not look.why_unsure(post):
                    if flaw is None:
                        flaw = await _flaw_of_pages(tools, account, visit.site)
                    look.trouble = flaw
                looks.append((looked_at, look, [(post, missed_at)]))
    return sum([await _settle(run, tools, *look) for look in looks])


async def _look_for_reply(tools: Tools, account: Account, site: Site, target: str) -> ReplyLook:
    """What the page of the post that was answered says. A page that can't be read leaves it to a person."""
    try:
        with crash.around(Step.LOOK):
            replies = await site.own_replies(target, TIMELINE_ITEMS)
    except (PostMissingError, PageUnexpectedError) as error:
        return ReplyLook(Timeline([], is_whole=False), {}, str(error))
    return ReplyLook(replies, await _known(tools, account, replies))


async def _flaw_of_pages(tools: Tools, account: Account, site: Site) -> str:
    """Why pages may not show the account's answers, so that a missing one says nothing; empty: they do.

    One that is recorded as published must be there; as long as none is, nothing speaks against the pages.
    """
    latest = await tools.database.run(posts.latest_replies, account.name, WITNESSES)
    for target, reference in latest:
        try:
            shown = await site.own_replies(target, TIMELINE_ITEMS)
        except (PostMissingError, PageUnexpectedError):
            continue
        if any(item.reference == reference for item in shown.items):
            return ""
    return "pages do not show the account's latest answers, which are recorded as published" if latest else ""


async def _known(tools: Tools, account: Account, timeline: Timeline) -> dict[str, datetime]:
    references = [item.reference for item in timeline.items]
    return await tools.database.run(posts.known_references, account.name, references)


async def _settle(
    run: Run, tools: Tools, looked_at: datetime, look: Look | ReplyLook, doubtful: list[Doubtful]
) -> int:
    """Carry out what a look says of posts; how many that settles."""
    found = {post.id: item for post, _ in doubtful if (item := look.take(post)) is not None}
    settled = 0
    for post, missed_at in doubtful:
        stamp = replace(tools.stamp(), attempt_at=post.submitted_at)
        try:
            if post.id in found:
                await _publish(run, tools, post, found[post.id], stamp)
                settled += 1
            elif reason := look.why_unsure(post):
                await tools.database.run(doubts.note_unreadable, post.id, stamp, reason)
            else:
                settled += await _miss(run, tools, post, missed_at, (looked_at, stamp))
        except PostStateError as error:
            seen = found[post.id].reference if post.id in found else None
            run.log.warning("post_decided_meanwhile", post=post.id, seen_as=seen, why=str(error))
    return settled


async def _publish(run: Run, tools: Tools, post: Post, item: TimelineItem, stamp: Stamp) -> None:
    with crash.around(Step.FOUND):
        await tools.database.run(posts.publish, post.id, PostState.AMBIGUOUS, item.reference, stamp)
    run.log.info("post_found", post=post.id, account=post.account, reference=item.reference)


async def _miss(
    run: Run, tools: Tools, post: Post, missed_at: datetime | None, look: tuple[datetime, Stamp]
) -> bool:
    """The post was not seen in `look`, its beginning and its stamp; True when that settles it."""
    looked_at, stamp = look
    settle = tools.clock.span(tools.settings.posting.settle_s)
    if post.submitted_at is not None and looked_at - post.submitted_at < settle:
        return False  # the site may still be taking it
    if missed_at is None:
        with crash.around(Step.MISSED):
            await tools.database.run(doubts.note_missed, post.id, stamp)
        return False
    if looked_at - missed_at < settle:
        return False
    if post.attempt >= tools.settings.posting.attempts:
        detail = f"not on the site after {post.attempt} tries"
        await tools.database.run(posts.fail, post.id, PostState.AMBIGUOUS, stamp, detail)
        run.log.error("post_given_up", post=post.id, attempts=post.attempt)
        return True
    detail = "not on the site in two looks"
    with crash.around(Step.AGAIN):
        await tools.database.run(posts.requeue, post.id, PostState.AMBIGUOUS, stamp, stamp.now, detail)
    run.log.info("post_requeued", post=post.id, account=post.account)
    return True
