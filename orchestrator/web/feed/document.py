"""The document that the feed keeps listeners up to date with, made of the status document.

Rows of a list have names here (a slot its number, a job its name), so that a change of one row is a
change of that row alone; and ages are moments, so that a second that passes is no change.
"""

from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.web.feed.patch import Document, without_nulls

TENTH_S = 0.1
"""Moments are rounded to it: the same moment, worked out twice, is the same number."""

KEYS: dict[str, Callable[[Document], Any]] = {
    "slots": lambda row: row["slot"],
    "queue": lambda row: f"{row['holder']} {row['since']}",
    "breakers": lambda row: row["name"],
    "checks": lambda row: row["name"],
    "jobs": lambda row: row["name"],
    "recent_posts": lambda row: row["id"],
    "drafts": lambda row: row["id"],
    "alerts": lambda row: row["id"],
}
"""What names a row. Rows that stand in an order of their own have `place`, from 0."""
OF_NO_USE = ("uptime_s", "startup", "cache", "clock", "pid")
"""Keys of the status document that nobody watches, or that change all the time."""


def make_document(status: Document, now: float) -> Document:
    """`now` is real time, in seconds since 1970, and so are the moments in the document."""
    document = {key: value for key, value in status.items() if key not in OF_NO_USE}
    document["slots"] = [_slot(row, now) for row in status["slots"]]
    document["queue"] = [_waiter(row, now) for row in status["queue"]]
    document["breakers"] = [_breaker(row, now) for row in status["breakers"]]
    document["checks"] = [{k: v for k, v in row.items() if k != "duration_s"} for row in status["checks"]]
    document["jobs"] = [_job(row, now) for row in status["jobs"]]
    document["memory"] = {part: _coarse(size) for part, size in status["memory"].items()}
    document["shedding"] = _shedding(status["shedding"])
    for key, name in KEYS.items():
        if key in document:
            document[key] = _named(document[key], name)
    result: Document = without_nulls(document)
    return result


def _named(rows: Iterable[Document], name: Callable[[Document], Any]) -> Document:
    return {str(name(row)): {**row, "place": place} for place, row in enumerate(rows)}


def _moment(now: float, ago_s: float) -> float:
    return round(round((now - ago_s) / TENTH_S) * TENTH_S, 1)


def _slot(row: Document, now: float) -> Document:
    lease = row["lease"]
    if lease is None:
        return row
    kept = {key: value for key, value in lease.items() if key not in ("held_s", "left_s", "max_hold_s")}
    times = {"since": _moment(now, lease["held_s"]), "until": _moment(now, -lease["left_s"])}
    return {**row, "lease": kept | times}


def _waiter(row: Document, now: float) -> Document:
    return {key: value for key, value in row.items() if key != "waited_s"} | {
        "since": _moment(now, row["waited_s"])
    }


def _breaker(row: Document, now: float) -> Document:
    kept = {key: value for key, value in row.items() if key not in ("in_state_s", "next_probe_in_s")}
    kept["since"] = _moment(now, row["in_state_s"])
    if row["next_probe_in_s"] is not None:
        kept["next_probe_at"] = _moment(now, -row["next_probe_in_s"])
    return kept


def _job(row: Document, now: float) -> Document:
    kept = {key: value for key, value in row.items() if key not in ("overdue_s", "beat")}
    kept["is_overdue"] = row["overdue_s"] > 0
    if row["beat"] is not None:
        kept["beat"] = {"said": row["beat"]["said"], "at": _moment(now, row["beat"]["ago_s"])}
        kept["why"] = row["why"].split(" It said “", 1)[0]  # which tells how long ago
    return kept


def _shedding(row: Document | None) -> Document | None:
    return row and {"step": row["step"], "since": row["since"], "limits": row["limits"]}


def _coarse(size: int) -> int:
    """Bytes to the megabyte: less is noise."""
    return round(size / 1_000_000) * 1_000_000
