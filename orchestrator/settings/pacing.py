"""How often an account posts."""

from typing import Self

from pydantic import Field, model_validator

from orchestrator.settings.base import Section


class PacingSettings(Section):
    """How often each account posts: at first, and within which bounds; `docs/learning.md` has the rule."""

    start_per_hour: float = Field(1, gt=0, le=12, description="posts an hour at first")
    min_per_hour: float = Field(0.25, gt=0, le=12, description="never fewer, however many fail")
    max_per_hour: float = Field(
        2, gt=0, le=12, description="never more but at peak hours, half as many again"
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.min_per_hour <= self.start_per_hour <= self.max_per_hour:
            raise ValueError(
                f"start_per_hour ({self.start_per_hour:g}) must lie between min_per_hour "
                f"({self.min_per_hour:g}) and max_per_hour ({self.max_per_hour:g})"
            )
        return self
