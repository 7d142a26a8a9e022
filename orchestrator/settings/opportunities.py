"""How many posts of others are kept as opportunities for a reply, and what is drafted for them."""

from pydantic import Field

from orchestrator.settings.base import Section


class OpportunitiesSettings(Section):
    """Posts of others that a reply of ours would suit; `docs/replies.md` explains it."""

    target: int = Field(
        250,
        ge=5,
        le=300,
        description="open opportunities on each site; below two fifths of it they are looked for more often, "
        "below one fifth still more, and after two hours of that people are told",
    )
    waiting_drafts: int = Field(
        5, ge=0, le=50, description="drafts of an account that wait for a person, or to go out"
    )
    author_days: float = Field(
        7, ge=0, le=30, description="the same author is answered by us once in so many days"
    )
