"""What Python itself would write to standard error, of errors that nobody caught: it goes the log's way.

A daemon that crashes shows its traceback like this, and a traceback may have a secret in its text.
"""

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger("crash")


@dataclass(frozen=True, slots=True)
class _Hook:
    """Stands in the place of one of Python's, which it keeps."""

    event: str
    redact: Callable[[str], str]
    is_shown: bool
    error_of: Callable[..., BaseException | None]
    before: Callable[..., Any]

    def __call__(self, *said: Any) -> None:
        error = self.error_of(*said)
        if error is None:  # nothing is known of it but that it was
            return
        log.critical(self.event, exc_info=error)
        if not self.is_shown:
            sys.stderr.write(self.redact("".join(traceback.format_exception(error))))


_HOOKS: tuple[tuple[Any, str, str, Callable[..., BaseException | None]], ...] = (
    (sys, "excepthook", "crashed", lambda _kind, error, _trace: error),
    (threading, "excepthook", "thread_crashed", lambda said: said.exc_value),
    (sys, "unraisablehook", "error_ignored", lambda said: said.exc_value),
)


def take(redact: Callable[[str], str], *, is_shown: bool) -> None:
    """From now on log them. `is_shown`: the log is what people see; else they stand on standard error too."""
    give_back()
    for place, name, event, error_of in _HOOKS:
        setattr(place, name, _Hook(event, redact, is_shown, error_of, getattr(place, name)))


def give_back() -> None:
    """Undo `take`."""
    for place, name, _, _ in _HOOKS:
        hook = getattr(place, name)
        if isinstance(hook, _Hook):
            setattr(place, name, hook.before)
