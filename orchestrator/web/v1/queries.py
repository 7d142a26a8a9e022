"""What a request may say, in its path, its query and its body; all that it may not is refused."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from orchestrator.actors.actor import ActorState
from orchestrator.db.opportunities import OpportunityState
from orchestrator.model import Ending, PostState

MAX_LIMIT, DEFAULT_LIMIT = 100, 50
MAX_NUMBER = 2**63 - 1
"""Of a bigint."""
MAX_TEXT_CHARS = 10_000
"""No site takes longer posts; each has a limit of its own."""

Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="rows of a page")]
Cursor = Annotated[
    str | None, Field(min_length=1, max_length=500, description="next_cursor of the page before")
]
Offset = Annotated[int, Field(ge=0, le=1_000_000, description="rows that go before")]
JobName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
SiteName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
Reference = Annotated[str, Field(pattern=r"^[!-~]{1,300}$", description="the site's own name of a post")]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]


class Query(BaseModel):
    """The parameters of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Short(Query):
    """A page of a short list."""

    limit: Limit = DEFAULT_LIMIT
    offset: Offset = 0


class Long(Query):
    """A page of a long list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = None

    def filters(self) -> dict[str, Any]:
        """What rows are asked for."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)


class JobsQuery(Short):
    """Which jobs."""

    state: ActorState | Literal["queued"] | None = None


class RunsQuery(Long):
    """Which runs."""

    job: JobName | None = None
    ending: Ending | None = None


class PostsQuery(Long):
    """Which posts, or replies."""

    state: PostState | None = None
    account: AccountName | None = None


class DraftsQuery(Long):
    """Which drafts."""

    account: AccountName | None = None


class AlertsQuery(Long):
    """Which alerts."""

    name: Word | None = None
    is_over: bool | None = None


class ModelsQuery(Long):
    """Which versions."""

    site: SiteName | None = None


class OpportunitiesQuery(Long):
    """Which opportunities."""

    site: SiteName | None = None
    state: OpportunityState | None = None


class InsightsQuery(Query):
    """For whom."""

    account: AccountName | None = None


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────


class Body(BaseModel):
    """What a changing request brings."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NewDraft(Body):
    """A reply to write."""

    account: AccountName
    to: Reference
    text: Text


class DraftChange(Body):
    """What a draft is to be from now on; at least one of both."""

    text: Text | None = None
    due_at: AwareDatetime | None = Field(None, description="when it goes out, once it is approved")

    @model_validator(mode="after")
    def _check_any(self) -> "DraftChange":
        if self.text is None and self.due_at is None:
            raise ValueError("give text, due_at or both")
        return self


class Resolution(Body):
    """What a person says of an ambiguous post."""

    decision: Literal["published", "requeue", "drop"]
    reference: Reference | None = Field(None, description="of a published post, and of no other")

    @model_validator(mode="after")
    def _check_reference(self) -> "Resolution":
        if (self.decision == "published") != (self.reference is not None):
            raise ValueError("a published post has the reference that the site gave it, and no other has one")
        return self


PATH: dict[str, Any] = {
    "job": JobName,
    "run": Number,
    "post": Number,
    "draft": Number,
    "opportunity": Number,
    "version": Number,
    "alert": Word,
}
"""What may stand for each name in a path."""
