"""What is said of past posts, and what follows from it."""

from pydantic import Field

from orchestrator.settings.base import Section


class AnalysisSettings(Section):
    """How far back analyses look, and how much they count; `docs/learning.md` explains it."""

    window_days: int = Field(90, ge=7, le=400, description="posts of the last so many days are compared")
    nudge: float = Field(
        5, ge=0, le=100, description="outcomes that a finding counts for in `plan`; 0 switches it off"
    )
