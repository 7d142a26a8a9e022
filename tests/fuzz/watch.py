"""Watches for what must not happen while strangers talk: tracebacks, errors in the log, warnings."""

import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator import log
from orchestrator.settings import LogSettings

WRONG = ("error", "critical")


class Sink(io.TextIOBase):
    """The stream of a log in JSON; keeps the lines that tell of a fault, and counts the others."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.lines = 0

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.lines += 1
            entry = json.loads(line)
            if entry["level"] in WRONG or "exception" in entry:
                self.faults.append(_shown(entry))
        return len(text)


@contextmanager
def watched() -> Iterator[Sink]:
    """The process's log, as a daemon has it, goes to the sink until the end of the block.

    So does what Python has nobody to tell: an error in a `__del__`, and one of logging itself.
    """
    sink = Sink()
    unraisable, handle_error = sys.unraisablehook, logging.Handler.handleError

    def note_unraisable(found: Any) -> None:
        sink.faults.append(f"unraisable: {found.exc_value!r} in {found.object!r}")

    def note_error(_handler: logging.Handler, _record: logging.LogRecord) -> None:
        sink.faults.append(f"logging failed: {traceback.format_exc()}")

    sys.unraisablehook = note_unraisable
    logging.Handler.handleError = note_error  # type: ignore[method-assign,assignment]
    log.configure(LogSettings(format="json"), sink)  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        log.unconfigure()
        sys.unraisablehook = unraisable
        logging.Handler.handleError = handle_error  # type: ignore[method-assign]


def _shown(entry: dict[str, Any]) -> str:
    """The event, and of its exceptions the kinds, texts and last places."""
    lines = [json.dumps({key: value for key, value in entry.items() if key != "exception"})]
    for one in entry.get("exception", ()):
        places = [f"{frame['filename']}:{frame['lineno']} {frame['name']}" for frame in one["frames"][-4:]]
        lines.append(f"  {one['exc_type']}: {one['exc_value']}; in {' < '.join(reversed(places))}")
        for inner in one.get("exceptions", ()):
            lines.extend(
                f"    {deep['exc_type']}: {deep['exc_value']}; in {deep['frames'][-3:]}" for deep in inner
            )
    return "\n".join(lines)
