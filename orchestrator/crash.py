"""Named points at which this process can be made to kill or stop itself, to see what a restart makes of it.

Off, and then nothing but a look at one variable, unless the process was started with both of

    ORCHESTRATOR_CRASH_AT=press:before      STEP:before or STEP:after; press:before:3 at the third time
    ORCHESTRATOR_CRASH_BY=kill              SIGKILL, as a power cut; or stop: SIGSTOP, until a SIGCONT

The second one is the permission: one alone is refused, and so are both with a database that is not on
this machine. `arm` is called once, at the start; like logging, it is for the whole process.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum

from orchestrator.errors import SettingsError

AT, BY = VARIABLES = ("ORCHESTRATOR_CRASH_AT", "ORCHESTRATOR_CRASH_BY")
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Step(StrEnum):
    """What has a point before it, and one after it when it went well."""

    LEASE = "lease"
    """Asking for the lease on the database."""
    MIGRATE = "migrate"
    """One migration, or the look that finds none."""
    SETTLE_PAST = "settle_past"
    """Closing what an earlier daemon left."""
    CLAIM = "claim"
    WRITE = "write"
    """Opening the compose page and filling it in."""
    INTENT = "intent"
    FENCE_CHECK = "fence_check"
    PRESS = "press"
    """From the click to the site's answer, read and judged."""
    SEND = "send"
    """The one request with the effect; after it the site has answered, and the page does not know it yet."""
    RECORD = "record"
    """The site's answer, into the database."""
    PUT_BACK = "put_back"
    DOUBT = "doubt"
    """Submitting → ambiguous."""
    LOOK = "look"
    """Reconciliation's look at a timeline."""
    FOUND = "found"
    """Ambiguous → published."""
    MISSED = "missed"
    """The note that a look did not show the post."""
    AGAIN = "again"
    """Ambiguous → queued."""
    TELL = "tell"
    """A message with alerts, to one destination."""
    KEY_IN = "key_in"
    """A new key, into the key file."""
    RESEAL = "reseal"
    """Some rows, encrypted anew with it."""
    KEY_OUT = "key_out"
    """The old keys, out of the key file."""


POINTS = tuple(f"{step}:{moment}" for step in Step for moment in ("before", "after"))
OF_ROTATION = tuple(point for point in POINTS if point.startswith(("key_", "reseal")))
OF_POSTS = tuple(
    point for point in POINTS if point not in OF_ROTATION and not point.startswith(f"{Step.TELL}:")
)
"""Those on the way of a start and of its posts."""

_NOTHING = nullcontext()
_on_reach: Callable[[str], None] | None = None


def around(step: Step) -> AbstractContextManager[None]:
    """Wraps a step in its two points."""
    return _NOTHING if _on_reach is None else _points(_on_reach, step)


@contextmanager
def _points(on_reach: Callable[[str], None], step: Step) -> Iterator[None]:
    on_reach(f"{step}:before")
    yield
    on_reach(f"{step}:after")


def arm(environ: Mapping[str, str], *, is_local: bool) -> None:
    """Obey the two variables, if they are there. `is_local`: the database is on this machine.

    Raises SettingsError when that is not allowed or makes no sense.
    """
    global _on_reach  # noqa: PLW0603 - once, at the start of the process
    at, by = environ.get(AT, ""), environ.get(BY, "")
    if not at and not by:
        return
    remedy = f"Unset {AT} and {BY}: they are for tests that crash the daemon"
    if not at or not by:
        raise SettingsError(f"{AT} and {BY} are set together or not at all", remedy=remedy)
    if not is_local:
        raise SettingsError(f"{AT} is refused: database.dsn does not name this machine", remedy=remedy)
    point, nth = _parted(at)
    if point not in POINTS or nth < 1:
        raise SettingsError(f"{AT}={at}: the points are {', '.join(POINTS)}", remedy=remedy)
    if by not in SIGNALS:
        raise SettingsError(f"{BY}={by}: must be {' or '.join(SIGNALS)}", remedy=remedy)
    _on_reach = _Trap(point, nth, SIGNALS[by])


def _parted(at: str) -> tuple[str, int]:
    """The point and which time; 0 for what is no number."""
    if at.count(":") < 2:
        return at, 1
    point, _, nth = at.rpartition(":")
    return point, int(nth) if nth.isdecimal() else 0


class _Trap:
    """Sends this process the signal when the point is reached for the nth time; later ones pass."""

    def __init__(self, point: str, nth: int, number: signal.Signals) -> None:
        self._point = point
        self._left = nth
        self._number = number

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.write(2, f"{self._number.name} at {point}\n".encode())
            # To this very thread: a stop must not let it go on for another moment.
            signal.pthread_kill(threading.get_ident(), self._number)
