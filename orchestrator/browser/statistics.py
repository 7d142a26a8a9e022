"""What the pool says of itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    """One slot: whose context it holds, and how worn that is."""

    slot: int
    account: str | None
    is_used: bool
    is_broken: bool
    visits: int
    heap_bytes: int
    renderers: frozenset[int]
    """The processes of its page, as far as they have been asked for."""
    renewals: int
    """Contexts that were given up in this slot."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The pool at one moment."""

    slots: tuple[SlotStatistics, ...]
    browser: str | None
    """Kind and version, or None while no browser runs."""
    is_sandboxed: bool
    launches: int
    refused: dict[str, int]
    """Requests that the host guard refused, by host."""
