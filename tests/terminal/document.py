"""A status document of a busy daemon, for tests of what shows it."""

import copy
from typing import Any

_NOW = "2026-11-22T14:32:10+00:00"


def at(clock: str) -> str:
    """A moment of the document's day."""
    return f"2026-11-22T{clock}:00+00:00"


def post(id_: int, state: str = "published", **changes: Any) -> dict[str, Any]:
    """One of the document's posts."""
    row = {
        "id": id_,
        "account": "ada",
        "text": f"post number {id_}",
        "state": state,
        "due_at": at("14:40"),
        "published_at": at("14:30") if state == "published" else None,
        "reference": f"ref{id_}" if state == "published" else None,
        "likes": 3,
        "replies": 1,
        "views": 1841,
        "topic": "queues",
        "format": "short_list",
        "hour": 9,
    }
    return row | changes


def job(name: str, state: str = "waiting", **changes: Any) -> dict[str, Any]:
    """One of the document's jobs."""
    row = {
        "name": name,
        "priority": 5,
        "uses_browser": False,
        "state": state,
        "since": at("14:31"),
        "next_at": at("16:00"),
        "last": {"ending": "done", "detail": "2 drafts", "at": at("14:00"), "duration_s": 0.12},
        "last_success_at": at("14:00"),
        "runs": {"done": 12, "nothing_to_do": 3, "retry": 0},
        "why": f"{name} waits until 16:00",
    }
    return row | changes


def arm(dimension: str, value: str, pulls: float, mean: float) -> dict[str, Any]:
    """One arm of the document's bandit."""
    return {"dimension": dimension, "value": value, "pulls": pulls, "mean": mean}


def lease(holder: str, **changes: Any) -> dict[str, Any]:
    """A lease on one of the document's slots."""
    row = {
        "id": 12,
        "holder": holder,
        "lane": "high",
        "priority": 1,
        "held_s": 63.2,
        "max_hold_s": 600.0,
        "is_borrowed": False,
        "is_called_back": False,
    }
    return row | changes


def busy(**changes: Any) -> dict[str, Any]:
    """The whole document, with some of its keys changed."""
    document = {
        "version": "0.1.0",
        "mode": "ready",
        "summary": "All is well. Running: metrics_scraper.",
        "pid": 4242,
        "uptime_s": 11520.0,
        "clock": {"now": _NOW, "speed": 120.0},
        "is_paused": False,
        "startup": [{"step": "database", "duration_s": 0.21}, {"step": "browser", "duration_s": 0.94}],
        "problems": [],
        "checks": [
            {"name": "database", "state": "up", "duration_s": 0.02},
            {
                "name": "site",
                "state": "down",
                "duration_s": 0.5,
                "detail": "connection refused",
                "remedy": "start it",
            },
        ],
        "slots": [
            {"slot": 0, "state": "free", "reserved_for": "critical", "lease": None},
            {"slot": 1, "state": "leased", "reserved_for": None, "lease": lease("metrics_scraper")},
            {
                "slot": 2,
                "state": "leased",
                "reserved_for": None,
                "lease": lease("harvester", is_borrowed=True, is_called_back=True),
            },
        ],
        "queue": [
            {
                "holder": "scrape_background",
                "lane": "background",
                "priority": 8,
                "waited_s": 12.1,
                "ahead": 0,
                "why": "slot 0 is kept for critical work",
            }
        ],
        "jobs": [job("plan"), job("posting", "backing_off"), job("learn", "paused", last=None, next_at=None)],
        "posts": {"draft": 1, "queued": 4, "published": 12, "ambiguous": 1, "failed": 0},
        "recent_posts": [post(15, "queued"), post(14), post(13, "ambiguous")],
        "learning": {
            "outcomes": 8,
            "arms": [
                arm("topic", "queues", 3, 0.7),
                arm("topic", "untried", 0, 0.9),
                arm("format", "short_list", 2, 0.6),
                arm("hour", "9", 1, 0.5),
            ],
        },
        "memory": {"daemon_bytes": 84_000_000, "driver_bytes": 130_000_000, "browser_bytes": 0},
    }
    return copy.deepcopy(document | changes)
