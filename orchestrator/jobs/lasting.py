"""What has to be recorded however a run ends."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio


@contextmanager
def lasting(what: str, patience_s: float, log: structlog.stdlib.BoundLogger) -> Iterator[None]:
    """A block that goes to its end also in a run that was cancelled: then within `patience_s` seconds.

    In a run that goes on, the limits of what the block calls are enough. A block that is cut off is logged.
    """
    is_cancelled = trio.current_effective_deadline() == -math.inf
    deadline = trio.current_time() + patience_s if is_cancelled else math.inf
    with trio.CancelScope(shield=True, deadline=deadline) as scope:
        yield
    if scope.cancelled_caught:
        log.error("not_recorded", what=what, error=f"no answer within {patience_s:g} s")
