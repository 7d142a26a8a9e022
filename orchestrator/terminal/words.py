"""Figures and strangers' texts as words for a person, and fields of a document that may be missing."""

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

NONE = "–"

Row = Mapping[str, Any]

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # ECMA-48 control sequences, such as colours


# ── fields ──────────────────────────────────────────────────────────────────────────────────────


def rows(document: Row, key: str) -> list[Row]:
    """The objects in the list at `key`; empty when it is missing or something else."""
    value = document.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def table(document: Row, key: str) -> Row:
    """The object at `key`; empty when it is missing or something else."""
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def text(document: Row, key: str, default: str = "") -> str:
    """The text at `key`, fit for a terminal; a number is written out."""
    value = document.get(key)
    return default if value is None or value == "" else plain(str(value))


def number(document: Row, key: str) -> float | None:
    value = document.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def moment(document: Row, key: str) -> datetime | None:
    """The ISO 8601 moment at `key`, aware or not at all."""
    value = document.get(key)
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def turn_at(post: Row) -> datetime | None:
    """When a post that waits may go out: it is due, or was put back until later."""
    moments = [moment(post, "due_at"), moment(post, "not_before")]
    return max(filter(None, moments), default=None)


def plain(value: str) -> str:
    """The text on one line and without control characters: none of it may steer the terminal."""
    spaced = " ".join(_ESCAPES.sub("", value).split())
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def duration(seconds: float | None) -> str:
    """Two units at most: 0.20 s, 3.2 s, 42 s, 5 min, 1 h 12 min, 2 d 3 h; an int has no fraction."""
    if seconds is None or math.isnan(seconds):
        return NONE
    seconds = max(0, seconds)
    if 0 < seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95 and not isinstance(seconds, int):
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ago(at: datetime | None, now: datetime | None) -> str:
    """How long ago, by the daemon's clock."""
    if at is None or now is None:
        return NONE
    seconds = round((now - at).total_seconds())
    return f"{duration(seconds)} ago" if seconds > 0 else "just now"


def ahead(at: datetime | None, now: datetime | None) -> str:
    """How far ahead, by the daemon's clock."""
    if at is None or now is None:
        return NONE
    seconds = round((at - now).total_seconds())
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def brief(when: str) -> str:
    """What `ago` or `ahead` said, with its largest unit only: `3 h 2 min ago` → `3 h ago`."""
    words = when.split()
    start = 1 if words[:1] == ["in"] else 0
    return " ".join(words[: start + 2] + (["ago"] if words[-1:] == ["ago"] else []))


def size(count: float | None) -> str:
    """Bytes, as people say them."""
    if count is None:
        return NONE
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB"


def count(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def spaced(word: str) -> str:
    """A state's name as words: `backing_off` → `backing off`."""
    return word.replace("_", " ")


def listed(words: list[str]) -> str:
    return " · ".join(word for word in words if word)


def bar(share: float, width: int) -> str:
    """A bar of `width` cells, filled to `share` (0–1) in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
