"""The document that the feed keeps listeners up to date with, made of the status document.

Rows of a list have names here (a slot its number, a job its name), so that a change of one row is a
change of that row alone; and ages are moments, within sentences too, so that a second that passes is no
change.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.clock import Clock
from orchestrator.snapshot import Reason
from orchestrator.web.feed.patch import Document, without_nulls

TENTH_S = 0.1
"""Moments are rounded to it: the same moment, worked out twice, is the same number."""

KEYS: dict[str, Callable[[Document], Any]] = {
    "slots": lambda row: row["slot"],
    "queue": lambda row: row["holder"],
    "breakers": lambda row: row["name"],
    "checks": lambda row: row["name"],
    "jobs": lambda row: row["name"],
    "recent_posts": lambda row: row["id"],
    "drafts": lambda row: row["id"],
    "doubts": lambda row: row["id"],
    "alerts": lambda row: row["id"],
}
"""What names a row; the second of a name is `NAME #2`. Rows have `place`, from 0."""
MOMENTS = frozenset({"since", "until", "at", "next_probe_at"})
"""Keys of what was an age."""
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


def steady(before: Any, after: Any) -> Any:
    """`after` with each moment that is that of `before` but for how it was worked out left as it was."""
    if isinstance(after, dict) and isinstance(before, dict):
        return {
            key: _same_moment(before.get(key), value) if key in MOMENTS else steady(before.get(key), value)
            for key, value in after.items()
        }
    if isinstance(after, list) and isinstance(before, list) and len(before) == len(after):
        return [steady(old, new) for old, new in zip(before, after, strict=True)]
    return after


def _same_moment(before: Any, after: Any) -> Any:
    is_moment = isinstance(before, float) and isinstance(after, float)
    return before if is_moment and abs(before - after) < 1.5 * TENTH_S else after


def _named(rows: Iterable[Document], name: Callable[[Document], Any]) -> Document:
    found: Document = {}
    for place, row in enumerate(rows):
        plain = str(name(row))
        names = (f"{plain} #{number}" if number > 1 else plain for number in itertools.count(1))
        found[next(one for one in names if one not in found)] = {**row, "place": place}
    return found


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
    kept = {key: value for key, value in row.items() if key not in ("waited_s", "why")}
    return kept | {
        "since": _moment(now, row["waited_s"]),
        "reasons": [_reason(reason, now) for reason in row["reasons"]],
    }


def _reason(row: Document, now: float) -> Document:
    found = {key: row[key] for key in ("said", "then") if row[key]}
    if row["held_s"] is not None:
        found["since"] = _moment(now, row["held_s"])
    if row["left_s"] is not None:
        found["until"] = _moment(now, -row["left_s"])
    if row["in_s"] is not None:
        found["at"] = _moment(now, -row["in_s"])
    return found


def _breaker(row: Document, now: float) -> Document:
    kept = {key: value for key, value in row.items() if key not in ("in_state_s", "next_probe_in_s")}
    kept["since"] = _moment(now, row["in_state_s"])
    if row["next_probe_in_s"] is not None:
        kept["next_probe_at"] = _moment(now, -row["next_probe_in_s"])
    return kept


def _job(row: Document, now: float) -> Document:
    kept = {key: value for key, value in row.items() if key not in ("overdue_s", "beat")}
    kept["is_overdue"] = row["overdue_s"] > 0
    if row["state"] == "queued":
        del kept["why"]  # which tells how long it has waited, as its row of the queue does
    if row["beat"] is not None:
        kept["beat"] = {"said": row["beat"]["said"], "at": _moment(now, row["beat"]["ago_s"])}
        if "why" in kept:
            kept["why"] = row["why"].split(" It said “", 1)[0]  # which tells how long ago
    return kept


def _shedding(row: Document | None) -> Document | None:
    return row and {"step": row["step"], "since": row["since"], "limits": row["limits"]}


def _coarse(size: int) -> int:
    """Bytes to the megabyte: less is noise."""
    return round(size / 1_000_000) * 1_000_000


# ── and back ────────────────────────────────────────────────────────────────────────────────────


def as_status(document: Document, now: float) -> Document:
    """The status document that `document` was made of, as it is at the moment `now`, for those who show it.

    Without what the feed does not tell; what was an age and is unknown now is null.
    """
    status = {key: value for key, value in document.items() if key not in KEYS}
    rows = {key: _in_order(document[key]) for key in KEYS if key in document}
    rows["slots"] = [_aged_slot(row, now) for row in rows.get("slots", [])]
    rows["queue"] = [_aged_waiter(row, now) for row in rows.get("queue", [])]
    rows["jobs"] = [_aged_job(row, now) for row in rows.get("jobs", [])]
    rows["breakers"] = [_aged_breaker(row, now) for row in rows.get("breakers", [])]
    clock = Clock(**document["clock"], time=lambda: now)
    moment = clock.now().isoformat(timespec="seconds")
    return status | rows | {"clock": {"now": moment, "speed": clock.speed}}


def _in_order(rows: Document) -> list[Document]:
    return sorted(rows.values(), key=lambda row: row["place"])


def _aged_slot(row: Document, now: float) -> Document:
    lease = row.get("lease")
    if lease is None:
        return row
    since, until = lease["since"], lease["until"]
    ages = {"held_s": now - since, "left_s": until - now, "max_hold_s": until - since}
    return {**row, "lease": lease | ages}


def _aged_waiter(row: Document, now: float) -> Document:
    reasons = [_aged_reason(reason, now) for reason in row["reasons"]]
    return {**row, "waited_s": now - row["since"], "why": "; ".join(map(str, reasons))}


def _aged_reason(row: Document, now: float) -> Reason:
    return Reason(
        row["said"],
        held_s=now - row["since"] if "since" in row else None,
        left_s=row["until"] - now if "until" in row else None,
        in_s=row["at"] - now if "at" in row else None,
        then=row.get("then", ""),
    )


def _aged_job(row: Document, now: float) -> Document:
    beat = row.get("beat")
    return row if beat is None else {**row, "beat": {"said": beat["said"], "ago_s": now - beat["at"]}}


def _aged_breaker(row: Document, now: float) -> Document:
    ages = {"in_state_s": now - row["since"]}
    if "next_probe_at" in row:
        ages["next_probe_in_s"] = row["next_probe_at"] - now
    return row | ages
