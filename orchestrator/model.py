"""Records and states that more than one room of the house speaks of."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PostState(StrEnum):
    """Where a post stands; `POST_TRANSITIONS` has every way from one to the next."""

    DRAFT = "draft"
    QUEUED = "queued"
    CLAIMED = "claimed"
    SUBMITTING = "submitting"
    PUBLISHED = "published"
    AMBIGUOUS = "ambiguous"
    FAILED = "failed"


#   draft ──► queued ──► claimed ──► submitting ──► published       (draft, queued ──► failed too)
#                ▲          │ └► failed   │
#                │          │             ├──► failed
#                ├──────────┘             ├──► queued     (the site said: not now, nothing was taken)
#                │                        └──► ambiguous ──► published | queued | failed
#                └───────────────────────────────────┘
POST_TRANSITIONS: dict[PostState, frozenset[PostState]] = {
    PostState.DRAFT: frozenset({PostState.QUEUED, PostState.FAILED}),
    PostState.QUEUED: frozenset({PostState.CLAIMED, PostState.FAILED}),
    PostState.CLAIMED: frozenset({PostState.SUBMITTING, PostState.QUEUED, PostState.FAILED}),
    PostState.SUBMITTING: frozenset(
        {PostState.PUBLISHED, PostState.FAILED, PostState.AMBIGUOUS, PostState.QUEUED}
    ),
    PostState.AMBIGUOUS: frozenset({PostState.PUBLISHED, PostState.QUEUED, PostState.FAILED}),
    PostState.PUBLISHED: frozenset(),
    PostState.FAILED: frozenset(),
}


WITHDRAWN = "withdrawn: "
"""How the detail of a reply begins that has failed because it is not wanted any more: nothing went wrong."""


def fingerprint(text: str) -> str:
    """How a text is recognised wherever it is shown: sha256 of it with white space folded, in hex."""
    return hashlib.sha256(" ".join(text.split()).encode(errors="replace")).hexdigest()


def storable(text: str) -> str:
    """`text` as a database takes it: what a site says may hold NULs and halves of characters."""
    return text.replace("\0", "").encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Arms:
    """What the bandit chose for a post: one value for each dimension."""

    topic: str
    format: str
    hour: int
    """Hour of day, 0–23, in the account's time zone."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that passed the gates and waits to be queued."""

    account: str
    text: str
    arms: Arms
    source: str
    """Where the text came from: a file's name or a template's."""
    due_at: datetime


class PostKind(StrEnum):
    """What a post is; each has its job, and its count of the day."""

    POSTS = "posts"
    REPLIES = "replies"


@dataclass(frozen=True, slots=True)
class ReplyDraft:
    """A text that waits to be approved as an answer to a post."""

    account: str
    in_reply_to: str
    """The site's own name of that post."""
    text: str
    source: str
    """Who wrote it: a person or a job."""


@dataclass(frozen=True, slots=True)
class Post:
    """One row of `posts`."""

    id: int
    account: str
    text: str
    fingerprint: str
    """`fingerprint(text)`: how the post is recognised on the site."""
    state: PostState
    arms: Arms
    source: str
    due_at: datetime
    """When it was planned to go out."""
    attempt: int
    reference: str | None = None
    """The site's own name of the published post."""
    submitted_at: datetime | None = None
    published_at: datetime | None = None
    detail: str = ""
    not_before: datetime | None = None
    """It was put back, and waits until then."""
    in_reply_to: str | None = None
    """The site's own name of the post that it answers; None: it is no reply."""

    @property
    def kind(self) -> PostKind:
        return PostKind.POSTS if self.in_reply_to is None else PostKind.REPLIES

    @property
    def turn_at(self) -> datetime:
        """When it may go out."""
        return max(self.due_at, self.not_before or self.due_at)


@dataclass(frozen=True, slots=True)
class PostMetrics:
    """What a post's page shows at one moment; counts of people's reactions."""

    likes: int
    replies: int
    views: int


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One post as an account's own timeline lists it."""

    reference: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What an account's own timeline lists, newest first."""

    items: list[TimelineItem]
    is_whole: bool
    """The site surely lists no older post than these."""


class ListKind(StrEnum):
    """The lists of everybody's posts that a site may have."""

    HOME = "home"
    SEARCH = "search"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Listing:
    """One list of posts on a site."""

    kind: ListKind
    what: str = ""
    """What is searched for, or whose posts: a user name. Empty for the home list."""


@dataclass(frozen=True, slots=True)
class SeenPost:
    """A post of anybody as a list shows it. A count is None where the list does not show it."""

    reference: str
    author: str
    """The user name."""
    text: str
    """White space folded."""
    posted_at: datetime
    likes: int | None = None
    replies: int | None = None
    views: int | None = None


class Ending(StrEnum):
    """How a run of a job ended."""

    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    RETRY = "retry"
    GIVEN_UP = "given_up"
    OVER_BUDGET = "over_budget"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The value a run ends with. `figures` are counts for the run's record, such as `pages`."""

    ending: Ending
    detail: str = ""
    figures: dict[str, int | float] = field(default_factory=dict)


def done(detail: str = "", **figures: int | float) -> Outcome:
    return Outcome(Ending.DONE, detail, figures)


def nothing_to_do(detail: str = "") -> Outcome:
    return Outcome(Ending.NOTHING_TO_DO, detail)


def over_budget(detail: str) -> Outcome:
    return Outcome(Ending.OVER_BUDGET, detail)


def skipped(detail: str) -> Outcome:
    return Outcome(Ending.SKIPPED, detail)


class Mode(StrEnum):
    """What the daemon as a whole is doing."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"


class Trouble(StrEnum):
    """What lowers an account's health."""

    REFUSED = "refused"
    """The site does not let it in."""
    RATE_LIMITED = "rate_limited"
    AMBIGUOUS = "ambiguous"
    """Something was sent in its name, and nobody knows what came of it."""
    FAILED = "failed"
    """A page was not what it should be."""


class AccountCondition(StrEnum):
    """Which work may be done in an account's name."""

    WELL = "well"
    SPARED = "spared"
    """Its health is low: posts and replies alone."""
    REFUSED = "refused"
    """The site does not let it in: none, until somebody asks for it."""
    OFF = "off"
    """A person has switched it off or removed it, or it can't be used: none."""


class CheckState(StrEnum):
    """What the latest look at a part showed."""

    PENDING = "pending"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One look at one part of the house."""

    name: str
    state: CheckState
    is_critical: bool
    """A daemon with a critical check down is not ready; with another one down it is degraded."""
    duration_s: float = 0.0
    detail: str = ""
    remedy: str = ""
