"""How a post's outcome is predicted, and what follows from it."""

from pydantic import Field

from orchestrator.settings.base import Section


class PredictorSettings(Section):
    """The models that predict which text does best; `docs/learning.md` explains it."""

    min_posts: int = Field(60, ge=20, le=1000, description="settled posts that the first model takes")
    retrain_posts: int = Field(50, ge=10, le=1000, description="further settled posts make a new candidate")
