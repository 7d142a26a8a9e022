"""How a post's outcome is predicted, and what follows from it."""

from pydantic import Field

from orchestrator.settings.base import Section


class PredictorSettings(Section):
    """The models that predict which text does best; `docs/learning.md` explains it."""

    min_posts: int = Field(60, ge=20, le=1000, description="settled posts that the first model takes")
    retrain_posts: int = Field(50, ge=10, le=1000, description="further settled posts make a new candidate")
    review_posts: int = Field(
        30, ge=10, le=150, description="settled posts that a model spoke of, before it is judged"
    )
    candidate_share: float = Field(0.5, ge=0, le=1, description="of the drafts, chosen by the candidate")
    texts: int = Field(3, ge=1, le=10, description="that a draft is chosen from; 1 switches the choice off")
    explore: float = Field(0.1, ge=0, le=1, description="of the drafts, chosen by no model")
