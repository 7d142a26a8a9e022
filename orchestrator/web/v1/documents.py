"""What the API answers: the shape of each document, which the OpenAPI description is made of too.

Moments are in UTC, durations real seconds unless they say otherwise.
"""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.actors.actor import ActorState
from orchestrator.db.alerts import Severity
from orchestrator.db.models import State
from orchestrator.db.opportunities import OpportunityState
from orchestrator.model import AccountCondition, Ending, PostState

T = TypeVar("T")


class Document(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CursorPage(Document, Generic[T]):
    """A page of a long list, newest first."""

    items: list[T]
    next_cursor: str | None = Field(description="for the next page; null: this was the last one")


class OffsetPage(Document, Generic[T]):
    """A page of a short list."""

    items: list[T]
    total: int = Field(ge=0, description="on all pages")
    offset: int = Field(ge=0, description="how many go before")
    limit: int = Field(ge=1, le=100)


class Done(Document):
    """What was done, and what comes of it."""

    message: str


class Drafted(Done):
    """A draft that was kept."""

    reply: int = Field(description="its number: /drafts/{draft}")


# ── jobs and runs ───────────────────────────────────────────────────────────────────────────────


class LastRun(Document):
    """How the latest run of a job ended."""

    ending: Ending
    detail: str
    at: datetime = Field(description="when it began")
    duration_s: float


class GaveUp(Document):
    """The latest run that gave up, until one is done."""

    detail: str
    at: datetime


class Beat(Document):
    """The latest word of a run under way."""

    said: str
    ago_s: float


class Job(Document):
    """A job: what it does now, and why."""

    name: str
    priority: int
    uses_browser: bool
    state: ActorState | Literal["queued"] = Field(description="queued: it waits for a browser context")
    since: datetime | None
    next_at: datetime | None
    overdue_s: float
    is_stuck: bool
    beat: Beat | None
    last: LastRun | None
    gave_up: GaveUp | None
    last_success_at: datetime | None
    runs: dict[str, int] = Field(description="how many, by ending")
    why: str


class OneJob(Job):
    """A job, with every sentence on why it does what it does."""

    lines: list[str]


class Run(Document):
    """One run of a job."""

    id: int
    job: str
    trigger: str
    attempt: int
    started_at: datetime
    finished_at: datetime | None
    ending: Ending | None = Field(description="null: it is under way")
    detail: str
    figures: dict[str, Any]


# ── posts ───────────────────────────────────────────────────────────────────────────────────────


class Post(Document):
    """A post or a reply, with the first 120 characters of its text."""

    id: int
    account: str
    state: PostState
    due_at: datetime = Field(description="when it was planned to go out")
    not_before: datetime | None = Field(description="it was put back, and waits until then")
    published_at: datetime | None
    attempts: int
    reference: str | None = Field(description="the site's own name of it")
    in_reply_to: str | None = Field(description="what it answers; null: it is no reply")
    since: datetime = Field(description="when it came to its state")
    created_at: datetime
    topic: str
    format: str
    source: str = Field(description="where its text came from")
    detail: str
    text: str


class OnePost(Post):
    """All that is known of one post: its whole text too."""

    hour: int
    submitted_at: datetime | None
    missed_at: datetime | None = Field(description="a look did not find it on the site")
    counted_on: str | None = Field(description="the day whose count holds it")
    measured_at: datetime | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    next: list[str] = Field(description="what becomes of it, in sentences")


# ── accounts, contexts, money ───────────────────────────────────────────────────────────────────


class Count(Document):
    """How often something was done on the account's present day, and how often it may be."""

    count: int
    limit: int


class Figures(Document):
    """What the account's own page said of it."""

    read_at: datetime
    followers: int
    following: int
    posts: int


class Account(Document):
    """An account that the daemon posts for."""

    name: str
    site: str
    signed_in_at: datetime | None
    visited_at: datetime | None
    health: float
    condition: AccountCondition
    today: dict[str, Count] = Field(description="of posts, replies, sign_ins and visits")
    figures: Figures | None
    why: list[str] = Field(description="what stands in its way, in sentences")


class Lease(Document):
    """Who has a browser context."""

    id: int
    holder: str
    lane: str
    priority: int
    held_s: float
    left_s: float
    max_hold_s: float
    is_borrowed: bool
    is_called_back: bool
    is_late: bool
    called_back_for: str | None
    is_leaving: bool
    is_broken: bool


class Slot(Document):
    """A place for a browser context."""

    slot: int
    state: str = Field(description="free, leased or broken")
    reserved_for: str | None
    lease: Lease | None


class Waiter(Document):
    """A run that waits for a browser context."""

    holder: str
    lane: str
    priority: int
    waited_s: float
    ahead: int
    is_urgent: bool
    why: str


class Leases(Document):
    """The browser contexts, and who waits for one, in the order of service."""

    slots: list[Slot]
    queue: list[Waiter]


class Spent(Document):
    """What calls of the language model cost, of one operation or hour of the day."""

    what: str
    calls: int
    failed: int
    cost: float


class FailureCount(Document):
    """How often calls failed in one way."""

    kind: str
    count: int


class Budget(Document):
    """What is left to spend on the language model; without one everything but `is_set` is left out."""

    is_set: bool
    is_out: bool | None = None
    said: str | None = None
    budget: float | None = None
    left: float | None = None
    left_share: float | None = None
    tier: str | None = None
    model: str | None = None
    posts_a_run: int | None = None
    pause_s: float | None = None
    days: int | None = Field(None, description="that the following looks back")
    by_operation: list[Spent] | None = None
    by_hour: list[Spent] | None = None
    failures: list[FailureCount] | None = None
    patterns: list[str] | None = None


# ── learning and alerts ─────────────────────────────────────────────────────────────────────────


class Finding(Document):
    """Something that does better or worse than the rest."""

    kind: str
    site: str
    account: str | None = Field(description="null: it holds for all of the site")
    subject: str
    statement: str
    effect: float = Field(description="difference of mean ranks, -1 to 1")
    low: float
    high: float
    posts: int
    since: datetime
    looked_at: datetime


class Sum(Document):
    """Past posts with one value of a choice, taken together."""

    dimension: str
    value: str
    posts: int
    score: float
    likes: int
    replies: int
    views: int


class Insights(Document):
    """What works, and the sums that this rests on."""

    account: str | None
    findings: list[Finding]
    sums: list[Sum]
    days: int = Field(description="that the sums look back")
    now: datetime


class Model(Document):
    """A version of what predicts posts' outcomes."""

    version: int
    site: str
    kind: str
    state: State
    since: datetime
    why: str
    trained_at: datetime
    from_at: datetime
    to_at: datetime
    posts: int
    error: float
    mean_error: float
    predecessor: int | None


class Opportunity(Document):
    """A post of somebody else that a reply of ours would suit."""

    id: int
    site: str
    reference: str = Field(description="the site's own name of it")
    author: str
    text: str
    posted_at: datetime
    seen_at: datetime
    likes: int | None = Field(description="null where the list shows none, as of the next two")
    replies: int | None
    views: int | None
    relevance: float
    topic: str
    state: OpportunityState
    since: datetime
    why: str
    reply: int | None = Field(description="ours, among the posts")


class Alert(Document):
    """Something that is or was wrong."""

    id: str
    name: str
    subject: str
    severity: Severity
    what: str
    remedy: str
    since: datetime
    raised_at: datetime
    cleared_at: datetime | None = Field(description="null: it lasts")


# ── pages, and what is wrong ────────────────────────────────────────────────────────────────────


class Jobs(OffsetPage[Job]):
    """Jobs, in the order of the house."""


class Runs(CursorPage[Run]):
    """Runs of jobs."""


class Posts(CursorPage[Post]):
    """Posts, replies among them."""


class Accounts(OffsetPage[Account]):
    """Accounts, first those that something stands in the way of."""


class Alerts(CursorPage[Alert]):
    """Alerts, those that are over too."""


class Models(CursorPage[Model]):
    """Versions of the predictor."""


class Opportunities(CursorPage[Opportunity]):
    """Opportunities, those that are over too."""


class Problem(Document):
    """What is wrong with a request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""


class Index(Document):
    """What there is."""

    version: str
    openapi: str = Field(description="where the description is")
    paths: dict[str, str] = Field(description="what each path is for")
