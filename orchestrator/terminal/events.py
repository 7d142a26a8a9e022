"""What happened between two looks at the daemon, as lines to read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.model import WITHDRAWN
from orchestrator.terminal.parts import now_of
from orchestrator.terminal.words import (
    Row,
    duration,
    listed,
    moment,
    number,
    plain,
    rows,
    spaced,
    table,
    text,
)

DIMENSIONS = ("topic", "format", "hour")
"""What the bandit chooses for a post, in the order in which it is told."""

_LOUD_ENDINGS = ("retry", "given_up", "over_budget", "interrupted")


@dataclass(frozen=True, slots=True)
class Event:
    """One line; `kind` chooses its mark and colour, `detail` is said more quietly."""

    kind: str
    line: str
    detail: str = ""


class Watcher:
    """Turns a series of status documents into events.

    What had happened before the first document is not told: posts published before its clock, problems
    excepted, since they still hold.
    """

    def __init__(self) -> None:
        self._started_at: datetime | None = None
        self._mode = ""
        self._problems: set[str] = set()
        self._told_posts: set[tuple[str, str]] = set()
        self._outcomes: float | None = None
        self._runs: dict[str, tuple[str, str]] = {}
        self._is_paused = False
        self._links: dict[str, str] = {}

    def look(self, status: Row) -> list[Event]:
        """The events since the look before."""
        if self._started_at is None:
            self._started_at = now_of(status)
        return [
            *self._modes(status),
            *self._link_changes(status),
            *self._pauses(status),
            *self._problem_changes(status),
            *self._posts(status),
            *self._learning(status),
            *self._endings(status),
        ]

    def _modes(self, status: Row) -> Iterable[Event]:
        before, self._mode = self._mode, text(status, "mode", self._mode)
        if self._mode == before:
            return
        if self._mode == "ready" and before in ("", "starting"):
            yield ready(status)
        elif self._mode == "ready":
            yield Event("good", "ready again")
        elif self._mode == "degraded":
            yield Event("warning", text(status, "summary", "degraded"))
        elif self._mode == "draining":
            yield Event("quiet", "stopping: running jobs may end, nothing new starts")

    def _link_changes(self, status: Row) -> Iterable[Event]:
        links = table(status, "links")
        found = {plain(name): text(links, name) for name in links}
        if found and found != self._links:
            self._links = found
            yield Event("quiet", listed([f"{name}: {address}" for name, address in found.items()]))

    def _pauses(self, status: Row) -> Iterable[Event]:
        before, self._is_paused = self._is_paused, bool(status.get("is_paused"))
        if self._is_paused != before:
            yield Event("quiet", "everything is paused" if self._is_paused else "going on after the pause")

    def _problem_changes(self, status: Row) -> Iterable[Event]:
        found = {text(problem, "what"): text(problem, "remedy") for problem in rows(status, "problems")}
        for what, remedy in found.items():
            if what not in self._problems:
                yield Event("bad", what, f"→ {remedy}" if remedy else "")
        for what in sorted(self._problems - found.keys()):
            yield Event("good", f"over: {what}")
        self._problems = set(found)

    def _posts(self, status: Row) -> Iterable[Event]:
        for post in reversed(rows(status, "recent_posts")):
            key = (text(post, "id"), text(post, "state"))
            if key in self._told_posts or key[1] not in _POST_EVENTS:
                continue
            self._told_posts.add(key)
            if not self._is_old(post):
                is_withdrawn = text(post, "detail").startswith(WITHDRAWN)
                kind, verb = ("quiet", "withdrawn") if is_withdrawn else _POST_EVENTS[key[1]]
                yield Event(kind, f"{verb} {text(post, 'reference')}".rstrip() + _told(post), arms(post))

    def _is_old(self, post: Row) -> bool:
        published_at = moment(post, "published_at")
        return published_at is not None and self._started_at is not None and published_at < self._started_at

    def _learning(self, status: Row) -> Iterable[Event]:
        learning = table(status, "learning")
        outcomes = number(learning, "outcomes")
        before, self._outcomes = self._outcomes, outcomes if outcomes is not None else self._outcomes
        if outcomes is None or before is None or outcomes <= before:
            return
        best = [f"{dimension} {value}" for dimension, value in best_arms(status)]
        more = (
            f"{outcomes - before:.0f} more, {outcomes:.0f} in all" if before else f"{outcomes:.0f} outcomes"
        )
        yield Event(
            "learned",
            f"learned from {more}",
            f"best so far: {', '.join(best)}" if best else "",
        )

    def _endings(self, status: Row) -> Iterable[Event]:
        for job in rows(status, "jobs"):
            last, name = table(job, "last"), text(job, "name")
            run = (text(last, "at"), text(last, "ending"))
            is_news = self._runs.get(name, run) != run
            self._runs[name] = run
            if is_news and run[1] in _LOUD_ENDINGS:
                yield Event("warning", f"{name}: {spaced(run[1])}", text(last, "detail"))


_POST_EVENTS = {
    "published": ("post", "published"),
    "ambiguous": ("warning", "unclear whether this was published"),
    "failed": ("bad", "refused by the site"),
}


def ready(status: Row) -> Event:
    """The ready line, with the time each step took."""
    steps = [(text(step, "step"), number(step, "duration_s")) for step in rows(status, "startup")]
    ready_s = number(status, "ready_s")
    line = f"ready after {duration(ready_s)}" if ready_s is not None else "ready"
    return Event("good", line, listed([f"{step} {duration(duration_s)}" for step, duration_s in steps]))


def _told(post: Row) -> str:
    who = f" by {text(post, 'account')}" if text(post, "account") else ""
    said = f": {text(post, 'text')}" if text(post, "text") else ""
    return who + said


def arms(post: Row) -> str:
    """What the bandit chose for the post: topic, format, hour."""
    hour = number(post, "hour")
    return listed(
        [text(post, "topic"), spaced(text(post, "format")), f"{hour:02.0f}:00" if hour is not None else ""]
    )


def best_arms(status: Row) -> list[tuple[str, str]]:
    """The arm with the highest mean of each dimension, among those that were tried."""
    best: dict[str, tuple[float, str]] = dict.fromkeys(DIMENSIONS, (-1.0, ""))
    for arm in rows(table(status, "learning"), "arms"):
        mean, dimension = number(arm, "mean"), text(arm, "dimension")
        if mean is not None and number(arm, "pulls") and mean > best.get(dimension, (-1.0, ""))[0]:
            best[dimension] = (mean, arm_name(arm))
    return [(dimension, value) for dimension, (_mean, value) in best.items() if value]


def arm_name(arm: Row) -> str:
    value = spaced(text(arm, "value", "?"))
    return f"{int(value):02d}:00" if text(arm, "dimension") == "hour" and value.isdecimal() else value
