"""Which model writes how much, by what is left of the day's budget (A3.2)."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Tier:
    """What may be asked for while so much is left."""

    name: str
    above: float
    """The share of the budget that is left, at least."""
    is_large: bool
    """The large model, not the small one."""
    posts: int
    """Drafts of one account that it writes in a run of `plan`."""
    pause: timedelta
    """At least so long from one run of `plan` that it writes for to the next."""


TIERS = (
    Tier("ample", 0.8, is_large=True, posts=2, pause=timedelta(0)),
    Tier("fair", 0.5, is_large=True, posts=1, pause=timedelta(0)),
    Tier("tight", 0.2, is_large=False, posts=1, pause=timedelta(0)),
    Tier("low", 0.1, is_large=False, posts=1, pause=timedelta(hours=4)),
    Tier("last", 0.0, is_large=False, posts=1, pause=timedelta(hours=6)),
)
"""Richest first. `plan` runs every 2 h by itself, so that is the pause of the first three."""


def tier_of(left_share: float) -> Tier:
    """The tier while this share of the budget is left, from 0 to 1."""
    return next((tier for tier in TIERS if left_share > tier.above), TIERS[-1])
