"""How accounts and their sign-ins are looked after; `docs/accounts.md` explains each."""

from pydantic import Field

from orchestrator.settings.base import Seconds, Section


class UpkeepSettings(Section):
    """How accounts and their sign-ins are looked after; `docs/accounts.md` explains each."""

    min_health: int = Field(
        40, ge=0, le=100, description="below it an account is spared: posts, replies and what they need aside"
    )
    idle_s: Seconds = Field(1800, description="real seconds after which an idle context is closed")
    max_open: int = Field(50, ge=1, le=1000, description="open contexts; more, and the least used are closed")
    check_after_h: float = Field(
        12, gt=0, description="a sign-in that was not used for so long, by the daemon's clock, is looked at"
    )
