"""Which settings take effect while the daemon runs, and what two sets of them have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.settings import Settings
from orchestrator.settings.sources import Route, dotted
from orchestrator.settings.words import leaves

ANY = "*"
LIVE: tuple[Route, ...] = (
    ("shutdown_deadline_s",),
    ("log", "level"),
    ("pacing",),
    ("posting",),
    ("learning",),
    ("retention",),
    ("content", "posts_a_run"),
    ("content", "queue_target"),
    ("content", "horizon_h"),
    ("content", "figures"),
    ("jobs", ANY, "every_s"),
    ("jobs", ANY, "daily_at"),
    ("jobs", ANY, "time_zone"),
    ("alerts", "down_s"),
    ("alerts", "breaker_s"),
    ("alerts", "repeat_s"),
    ("alerts", "timeout_s"),
    ("alerts", "destinations", ANY),
)
"""Routes of settings, or of tables with all that is in them, that whoever uses them reads anew each time or
is told of. A destination that is taken out stays until the next start: its breaker may be in use."""


@dataclass(frozen=True, slots=True)
class Reread:
    """How settings are read again, from where they came at the start."""

    read: Callable[[], Settings]
    """Called in a thread. Raises SettingsError."""
    relog: Callable[[Settings], None]
    """Makes the log as they say, and hides their secrets. Raises SettingsError, with nothing changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """Settings that are no longer what they were."""

    live: tuple[str, ...]
    """Names of those that take effect now."""
    kept: tuple[str, ...]
    """Names of those that stay as they were until the next start."""


def compare(old: Settings, new: Settings) -> Change:
    before, after = dict(leaves(old, ())), dict(leaves(new, ()))
    routes = sorted({*before, *after}, key=dotted)
    changed = [route for route in routes if before.get(route) != after.get(route)]
    gone = {route[:3] for route in changed if _is_destination(route) and not _has(after, route[:3])}
    live = [route for route in changed if _is_live(route) and route[:3] not in gone]
    kept = [route for route in changed if route not in live and not _is_frame(route, changed)]
    return Change(tuple(map(dotted, live)), tuple(map(dotted, kept)))


def combine(old: Settings, new: Settings) -> Settings:
    """`old` with what is live of `new`. Raises SettingsError for what does not go together."""
    tree, changes = old.model_dump(exclude_unset=True), new.model_dump(exclude_unset=True)
    for route in LIVE:
        _copy(changes, tree, route, keeps_rest=route == ("alerts", "destinations", ANY))
    return Settings.recombined(tree, new)


def _copy(source: Mapping[str, Any], target: dict[str, Any], route: Route, *, keeps_rest: bool) -> None:
    """Make `target` at `route` what `source` is there; what only the target has goes, unless it is kept."""
    head, *rest = route
    for key in sorted({*source, *target}) if head == ANY else [str(head)]:
        if rest:
            inner, below = source.get(key), target.get(key)
            if inner is not None or below is not None:
                target[key] = {**(below or {})}
                _copy(inner or {}, target[key], tuple(rest), keeps_rest=keeps_rest)
        elif key in source:
            target[key] = source[key]
        elif not keeps_rest:
            target.pop(key, None)


def _is_live(route: Route) -> bool:
    return any(
        len(route) >= len(live) and all(part in (ANY, key) for part, key in zip(live, route, strict=False))
        for live in LIVE
    )


def _is_destination(route: Route) -> bool:
    return route[:2] == ("alerts", "destinations") and len(route) > 2


def _has(values: Mapping[Route, Any], around: Route) -> bool:
    return any(route[: len(around)] == around for route in values)


def _is_frame(route: Route, changed: list[Route]) -> bool:
    """Whether it is a table that was empty, or is now, and whose entries are named themselves."""
    return any(len(other) > len(route) and other[: len(route)] == route for other in changed)
