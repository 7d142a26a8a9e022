"""The daily comparison: the site against the database, both ways. Nothing on the site is touched.

What the timeline lists and no record knows was posted by hand, or by a daemon before this one; what is
recorded as published and is neither listed nor has a page any more is gone. Both are told, not mended. A
published post whose page is gone while its text stands under a new reference has moved: then the new
reference is recorded.
"""

from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.actors.job import Run
from orchestrator.db import comparison, posts
from orchestrator.db.comparison import Findings, Listed
from orchestrator.errors import (
    BrowserError,
    PostMissingError,
    PostStateError,
    SignedOutError,
    SignInRefusedError,
    SiteError,
    SiteRateLimitedError,
)
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.looks import resembles
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.model import Timeline, TimelineItem, fingerprint

TIMELINE_ITEMS = 100
"""How much of the account's own timeline is read."""
ACCOUNTS = 10
"""Accounts that are compared in one run."""
PAGES = 25
"""Pages of posts that are missing on the timeline, read in one comparison to see whether they are gone."""
MISSING = 1000
"""So many missing posts are kept in view; those that have no turn today have theirs on another day."""
NAMED = 5
"""References that one sentence names."""
OF_ALL_PAGES = (SignInRefusedError, SignedOutError, SiteRateLimitedError)
"""What every other page of the account would meet too."""


@dataclass(slots=True)
class Figures:
    """What the comparisons of one run have found."""

    compared: int = 0
    unknown: int = 0
    gone: int = 0
    moved: int = 0
    wrong: int = 0

    @property
    def line(self) -> str:
        accounts = "1 account" if self.compared == 1 else f"{self.compared} accounts"
        found = f"{self.unknown} unknown, {self.gone} gone, {self.moved} moved, {self.wrong} wrong"
        return f"{accounts} compared with the site: {found}"


@dataclass(slots=True)
class _Seen:
    """One account's comparison."""

    unknown: list[str] = field(default_factory=list)
    """References of items that belong to no record."""
    wrong: list[str] = field(default_factory=list)
    gone: list[Listed] = field(default_factory=list)
    moved: list[tuple[Listed, str]] = field(default_factory=list)
    """With the new reference."""
    looked_up: set[int] = field(default_factory=set)
    """Missing posts that have been looked up, in this comparison or an earlier one."""
    missing: set[int] = field(default_factory=set)
    """All that are missing."""


async def compare_due(run: Run, tools: Tools, apart: Apart) -> Figures:
    """Compare the accounts whose turn it is, which a run that was asked for brings forward.

    The trouble of one does not hold up the others.
    """
    figures, now = Figures(), tools.clock.now()
    span = (now if run.is_asked else now - comparison.EVERY, now)
    for name in await tools.database.run(comparison.due, list(tools.accounts), span, ACCOUNTS):
        with apart.account(name):
            await _compare(run, tools, tools.accounts[name], figures)
    return figures


async def _compare(run: Run, tools: Tools, account: Account, figures: Figures) -> None:
    run.beat(f"comparing {account.name} with the site")
    earlier = await tools.database.run(comparison.findings, [account.name])
    seen, broken = None, None
    try:
        async with tools.visit(run, account) as visit:
            looked_at = tools.clock.now()
            timeline = await visit.site.own_posts(TIMELINE_ITEMS)
            seen, missing = await _hold_against(tools, account, timeline, looked_at)
            missing = _in_turn(missing, seen, *earlier)
            await _look_up(run, visit, seen, missing)
    except BrowserError as error:
        if seen is None:
            raise
        broken = error  # it is told, but the account has had its turn, and so has the page
    await _record_moves(run, tools, seen)
    findings = Findings(
        account.name,
        looked_at,
        _sentences(seen),
        seen.wrong,
        [post.id for post in seen.gone],
        sorted(seen.looked_up) if seen.missing - seen.looked_up else [],  # when all had their turn, anew
    )
    await tools.database.run(comparison.remember, findings, tools.stamp())
    if broken is not None:
        raise broken
    run.log.info(
        "account_compared",
        account=account.name,
        unknown=seen.unknown,
        gone=[post.id for post in seen.gone],
        moved=[post.id for post, _ in seen.moved],
        wrong=len(seen.wrong),
    )
    figures.compared += 1
    figures.unknown += len(seen.unknown)
    figures.gone += len(seen.gone)
    figures.moved += len(seen.moved)
    figures.wrong += len(seen.wrong)


async def _hold_against(
    tools: Tools, account: Account, timeline: Timeline, looked_at: datetime
) -> tuple[_Seen, list[tuple[Listed, str | None]]]:
    """What is listed and not known; and what is known and not listed, with the item that has its text now.

    The database is asked after the site: what was pressed before the look is recorded, or in flight, by now.
    """
    references = [item.reference for item in timeline.items]
    known = await tools.database.run(posts.known_references, account.name, references)
    in_flight = await tools.database.run(comparison.in_flight, account.name)
    strangers = [
        item
        for item in timeline.items
        if item.reference not in known and not any(resembles(item.text, text) for text in in_flight)
    ]
    prints = [fingerprint(item.text) for item in strangers]
    recorded = await tools.database.run(comparison.by_fingerprint, account.name, prints)
    since = None if timeline.is_whole else _oldest(timeline, known)
    until = looked_at - tools.clock.span(tools.settings.posting.settle_s)
    missing: list[Listed] = []
    if since is not None or timeline.is_whole:
        span = (since, until)
        missing = await tools.database.run(comparison.not_listed, account.name, references, span, MISSING)
    lacks, ours = {post.reference for post in missing}, _of_our_time(timeline, set(known))
    seen = _Seen()
    again: dict[str, str] = {}
    for item, its_print in zip(strangers, prints, strict=True):
        post = recorded.get(its_print)
        if post is None:
            seen.unknown += [item.reference] if item in ours else []
        elif post.reference in lacks:
            again[its_print] = item.reference
        else:
            which = f"{post.state} as {post.reference}" if post.reference else post.state
            seen.wrong.append(_same_text(item.reference, post.id, which))
    return seen, [(post, again.get(post.fingerprint)) for post in missing]


def _of_our_time(timeline: Timeline, known: set[str]) -> list[TimelineItem]:
    """The items down to the oldest of ours: what is below it may have been there before us."""
    ours = [index for index, item in enumerate(timeline.items) if item.reference in known]
    return timeline.items[: ours[-1]] if ours else []


def _oldest(timeline: Timeline, known: dict[str, datetime]) -> datetime | None:
    """Since when the timeline lists all. One of ours at its very top may be pinned there: it says nothing."""
    moments = [known[item.reference] for item in timeline.items[1:] if item.reference in known]
    return moments[-1] if moments else None


def _in_turn(
    missing: list[tuple[Listed, str | None]], seen: _Seen, earlier: Findings | None = None
) -> list[tuple[Listed, str | None]]:
    """Of the missing posts those to look up now: those that were not yet, and then the others.

    What was gone and is not looked up again now is gone still.
    """
    seen.missing = {post.id for post, _ in missing}
    seen.looked_up = seen.missing.intersection(earlier.looked_up if earlier is not None else ())
    chosen = sorted(missing, key=lambda one: one[1] is None and one[0].id in seen.looked_up)[:PAGES]
    gone = set(earlier.gone if earlier is not None else ()) - {post.id for post, _ in chosen}
    seen.gone = [post for post, reference in missing if post.id in gone and reference is None]
    return chosen


async def _look_up(run: Run, visit: Visit, seen: _Seen, missing: list[tuple[Listed, str | None]]) -> None:
    """Read the pages of the posts that are not listed: gone is what has none."""
    for post, reference in missing:
        if visit.lease.is_called_back:
            run.log.info("gave_slot_back", left=len(missing))
            return
        seen.looked_up.add(post.id)  # also when its page breaks the browser, else it would always come first
        try:
            await visit.site.read_metrics(post.reference)
            if reference is not None:
                seen.wrong.append(_same_text(reference, post.id, f"published as {post.reference}"))
        except PostMissingError:
            if reference is None:
                seen.gone.append(post)
            else:
                seen.moved.append((post, reference))
        except OF_ALL_PAGES:
            raise
        except SiteError as error:
            run.log.warning("page_not_read", post=post.id, error=str(error))


async def _record_moves(run: Run, tools: Tools, seen: _Seen) -> None:
    for post, reference in list(seen.moved):
        try:
            await tools.database.run(comparison.move, post, reference, tools.stamp())
        except PostStateError as error:
            run.log.warning("post_not_moved", post=post.id, why=str(error))
            seen.moved.remove((post, reference))
        else:
            run.log.info("post_moved", post=post.id, was=post.reference, reference=reference)


def _same_text(reference: str, post_id: int, which: str) -> str:
    return f"{reference} on the site has the text of post {post_id}, which is {which}"


def _sentences(seen: _Seen) -> list[str]:
    """What a person reads of it."""
    lines = []
    if seen.unknown:
        lines.append(f"on the site and not in this database: {_named(seen.unknown)}")
    if seen.gone:
        gone = [f"{post.id} ({post.reference})" for post in seen.gone]
        lines.append(f"gone from the site: post {_named(gone)}")
    if seen.moved:
        moved = [f"{post.id} (from {post.reference} to {reference})" for post, reference in seen.moved]
        lines.append(f"moved on the site: post {_named(moved)}")
    return lines


def _named(things: list[str]) -> str:
    more = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return f"{', '.join(things[:NAMED])}{more}"
