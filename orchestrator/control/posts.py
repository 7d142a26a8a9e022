"""What may be asked of posts on the control socket, and what a person may decide of them."""

from datetime import UTC, datetime
from typing import Any

import structlog

from orchestrator.db import comparison, decisions, posts
from orchestrator.db.decisions import Approval, Decision, PostRecord
from orchestrator.db.pool import Database
from orchestrator.db.posts import ASK, Stamp
from orchestrator.errors import ControlError, DatabaseError, NotReadyError, NotThereError, RequestError
from orchestrator.health.modes import DATABASE
from orchestrator.health.problems import iso
from orchestrator.health.status import House
from orchestrator.model import PostKind, PostState, ReplyDraft, storable

LIMIT = 20
"""Posts that are listed when nobody says how many."""
MAX_LIMIT = 500
BEGINNING = 120
"""Characters of a text that a list shows."""

log = structlog.get_logger("control.posts")

Args = dict[str, Any]


async def listed(house: House, args: Args, kind: PostKind = PostKind.POSTS) -> Args:
    """Posts, or replies alone, those that changed last first.

    Raises ControlError and DatabaseError, as the others do.
    """
    limit = args.get("limit", LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise ControlError(f"limit must be from 1 to {MAX_LIMIT}, not {limit}")
    state = _one_of(PostState, args["state"], "state") if "state" in args else None
    found = await _database(house).run(decisions.listed, state, args.get("account"), limit, kind)
    more = {} if found else {"message": await _why_none(house, state, args.get("account"))}
    return {"posts": [_row(record) for record in found], "now": iso(house.clock.now())} | more


async def _why_none(house: House, state: PostState | None, account: str | None) -> str:
    """What an empty list means. Raises ControlError for an account that nobody has heard of."""
    has_posts = bool(await _database(house).run(decisions.listed, None, account, 1))
    if account is not None and not has_posts and account not in house.accounts:
        known = ", ".join(house.accounts) or "none; add one: orchestrator ctl accounts add"
        raise NotThereError(f"there is no account {account}", remedy=f"Accounts: {known}")
    of = f" of {account}" if account is not None else ""
    return f"No post{of} is {state}." if state is not None and has_posts else f"No posts{of} yet."


async def shown(house: House, args: Args) -> Args:
    """All that is known of one post, and what becomes of it."""
    record = await _database(house).run(decisions.find, args["post"])
    more = {
        "text": record.post.text,
        "source": record.post.source,
        "topic": record.post.arms.topic,
        "format": record.post.arms.format,
        "hour": record.post.arms.hour,
        "created_at": iso(record.created_at),
        "submitted_at": iso(record.post.submitted_at),
        "missed_at": iso(record.missed_at),
        "counted_on": record.counted_on and record.counted_on.isoformat(),
        "measured_at": iso(record.measured_at),
        "decision": record.decision,
        "decided_by": record.decided_by,
        "decided_at": iso(record.decided_at),
    }
    return {"post": _row(record) | more, "next": _next(house, record), "now": iso(house.clock.now())}


async def resolve(house: House, who: str, args: Args) -> Args:
    """Carry out a person's decision on an ambiguous post."""
    database, fence = _database(house), house.fence
    if fence is None:
        raise _still_starting()
    post_id = args["post"]
    decision = _one_of(Decision, args["decision"], "the decision")
    reference = await _reference(house, database, post_id, decision, args.get("reference"))
    stamp, settle = Stamp(fence.number, house.clock.now()), house.clock.span(house.settle_s)
    record = await database.run(decisions.decide, post_id, decision, reference, who, stamp, settle)
    log.warning("post_decided", post=post_id, account=record.post.account, decision=decision, by=who)
    return {"message": _done(house, record)}


async def draft(house: House, who: str, args: Args) -> Args:
    """Keep a reply that a person has written."""
    database, fence = _database(house), house.fence
    if fence is None:
        raise _still_starting()
    account, target, text = args["account"], args["to"], args["text"]
    if account not in house.accounts:
        known = ", ".join(house.accounts) or "none; add one: orchestrator ctl accounts add"
        raise NotThereError(f"there is no account {account}", remedy=f"Accounts: {known}")
    house.check_reply(account, target, text)
    state = PostState.DRAFT if house.replies_need_approval else PostState.QUEUED
    stamp = Stamp(fence.number, house.clock.now())
    post_id = await database.run(posts.add_reply, ReplyDraft(account, target, text, who), stamp, state)
    log.info("reply_drafted", post=post_id, account=account, by=who)
    if not house.replies_need_approval:
        return {"message": f"Reply {post_id} is queued.", "reply": post_id}
    way = f"orchestrator ctl reply approve {post_id}, or reject"
    return {"message": f"Reply {post_id} is a draft. To decide: {way}.", "reply": post_id}


async def edit(house: House, who: str, args: Args) -> Args:
    """Give a draft another text, or another moment to go out, or both."""
    database, fence = _database(house), house.fence
    if fence is None:
        raise _still_starting()
    post_id, text, now = args["post"], args.get("text"), house.clock.now()
    due_at = _moment(args["due_at"], now) if "due_at" in args else None
    if text is None and due_at is None:
        raise RequestError("nothing is to be changed", remedy="Say text, due_at or both")
    found = (await database.run(decisions.find, post_id)).post
    if text is not None and found.in_reply_to is not None and found.account in house.accounts:
        house.check_reply(found.account, found.in_reply_to, text)
    stamp = Stamp(fence.number, now)
    record = await database.run(decisions.edit, post_id, text, due_at, stamp)
    log.info("draft_edited", post=post_id, account=found.account, due_at=iso(due_at), by=who)
    return {"message": f"Draft {post_id} is changed. {_when_approved(record, now)} {_next(house, record)[0]}"}


def _moment(said: str, now: datetime) -> datetime:
    """A moment that a draft can be scheduled for. Raises RequestError."""
    latest = now + posts.BELIEVED
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        remedy = f"Such as {iso(now)}"
        raise RequestError("due_at must be a moment with its offset, in ISO 8601", remedy=remedy)
    if not now <= moment <= latest:
        raise RequestError(f"due_at must be from {iso(now)} to {iso(latest)}")
    return moment.astimezone(UTC)


def _when_approved(record: PostRecord, now: datetime) -> str:
    due_at = record.post.due_at
    when = f"at {iso(due_at)}" if due_at > now else "at its job's next turn"
    return f"Once approved it goes out {when}."


async def judge(house: House, who: str, post_id: int, approval: Approval) -> Args:
    """Carry out what a person says of a draft."""
    database, fence = _database(house), house.fence
    if fence is None:
        raise _still_starting()
    stamp = Stamp(fence.number, house.clock.now())
    record = await database.run(decisions.judge, post_id, approval, who, stamp)
    log.warning("reply_decided", post=post_id, account=record.post.account, decision=approval, by=who)
    if approval is Approval.APPROVE:
        return {"message": f"Reply {post_id} is approved. {_next(house, record)[0]}"}
    return {"message": f"Reply {post_id} is rejected; {record.post.in_reply_to} can be answered otherwise."}


async def findings(house: House) -> list[str]:
    """What the latest comparisons with the sites found, as sentences; nothing while the database is away."""
    if house.database is None or house.checks.is_down(DATABASE):
        return []
    try:
        found = await house.database.run(comparison.findings, house.accounts)
    except DatabaseError as error:
        return [f"What was found on the sites can't be read: {error}."]
    return [
        f"{one.account} was compared with the site {iso(one.at)}: "
        f"{'; '.join(one.wrong + one.notes) or 'nothing unknown, nothing gone'}."
        for one in found
    ]


async def _reference(
    house: House, database: Database, post_id: int, decision: Decision, given: str | None
) -> str:
    """The reference that the decision needs, empty when it needs none."""
    if decision is not Decision.PUBLISHED:
        if given is not None:
            raise ControlError(f"{decision} takes no reference: only what is published has one")
        return ""
    reference = storable(given or "").strip()
    account = (await database.run(decisions.find, post_id)).post.account
    if not reference:
        remedy = f"Say it: orchestrator ctl post resolve {post_id} published --reference REFERENCE"
        raise ControlError("a published post has the reference that the site gave it", remedy=remedy)
    if not house.is_reference(account, reference):
        remedy = f"See those of the account: orchestrator ctl posts --state published --account {account}"
        raise ControlError(f"{reference!r} can't be a reference on the site of {account}", remedy=remedy)
    return reference


def _done(house: House, record: PostRecord) -> str:
    post = record.post
    match record.decision:
        case Decision.PUBLISHED:
            return f"Post {post.id} is published as {post.reference}; it counts for {record.counted_on}."
        case Decision.DROP:
            return f"Post {post.id} is dropped: it is not counted, and its text is not queued again."
        case _:
            way = f"{_next(house, record)[0]} Its place in the day's count is free."
            return f"Post {post.id} is queued again, with all its tries. {way}"


def _next(house: House, record: PostRecord) -> list[str]:
    """What becomes of the post, as sentences."""
    post = record.post
    job = "posting" if post.in_reply_to is None else "reply_posting"
    off = next((off for off in house.switched_off if off.job.name == job), None)
    is_stray = post.account not in house.accounts
    if is_stray and post.state in (PostState.QUEUED, PostState.AMBIGUOUS):
        lines = [f"Nothing, by itself: there is no account {post.account}."]
        return lines + ([_decide(post.id)] if post.state is PostState.AMBIGUOUS else [])
    if post.account in house.off and post.state is PostState.QUEUED:
        see = f"see: orchestrator ctl accounts {post.account}"
        return [f"Nothing, for the time being: account {post.account} is switched off or about to go; {see}"]
    match post.state:
        case PostState.QUEUED if off is not None:
            return [f"Nothing: the job {job} is {off.why}. {off.way_on}."]
        case PostState.QUEUED if post.turn_at > house.clock.now():
            why = "It is due" if post.turn_at == post.due_at else "It was put back until"
            return [f"{why} {iso(post.turn_at)}, and goes out at {job}'s next turn after that."]
        case PostState.QUEUED:
            return [f"It goes out at {job}'s next turn, or now with: orchestrator ctl run {job}"]
        case PostState.CLAIMED:
            return [f"A run of {job} has taken it. Nothing is pressed; if the run ends now it is queued."]
        case PostState.SUBMITTING:
            return ["It is being sent. It ends published, failed, queued or, if nobody knows, ambiguous."]
        case PostState.AMBIGUOUS:
            return [*_of_doubt(record), _decide(post.id)]
        case PostState.DRAFT:
            return [f"It waits for a person: orchestrator ctl reply approve {post.id}, or reject."]
        case _:
            return ["Nothing: that is final."]


def _of_doubt(record: PostRecord) -> list[str]:
    """What reconciliation has seen of an ambiguous post, and what it will do."""
    if record.post.detail.endswith(ASK):
        return ["Reconciliation has looked and can't tell: look at the site and decide."]
    if record.missed_at is None:
        seen = "Reconciliation has not missed it on the site yet."
    else:
        seen = f"A look at {iso(record.missed_at)} did not find it on the site."
    rule = "A look that finds it publishes it; after two that do not it is queued again."
    return [seen, f"{rule} See: orchestrator ctl why reconciliation"]


def _decide(post_id: int) -> str:
    return (
        f"To decide by hand: orchestrator ctl post resolve {post_id} published --reference REFERENCE, "
        "or requeue, or drop."
    )


def _row(record: PostRecord) -> Args:
    post = record.post
    return {
        "id": post.id,
        "account": post.account,
        "state": post.state.value,
        "due_at": iso(post.due_at),
        "not_before": iso(post.not_before),
        "published_at": iso(post.published_at),
        "attempts": post.attempt,
        "reference": post.reference,
        "in_reply_to": post.in_reply_to,
        "since": iso(record.since),
        "detail": post.detail,
        "text": post.text[:BEGINNING],
    }


def _one_of(kind: Any, word: str, what: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(kind)
        raise ControlError(f"{what} must be one of: {known}") from None


def _database(house: House) -> Database:
    # Before the jobs are there, the tables may not be.
    if house.database is None or house.supervisor is None:
        raise _still_starting()
    return house.database


def _still_starting() -> ControlError:
    return NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")
