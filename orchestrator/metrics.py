"""Every metric, declared once.

Base units, `_total` on counters, label values from closed sets (never an account, a URL or an id)
and set to zero at start, so that a rate over the first event is right.
"""

import itertools
from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from orchestrator.errors import ModelFailure
from orchestrator.model import AccountCondition, Ending, Mode, PostState

M = TypeVar("M", Gauge, Counter, Histogram)

LANES = ("critical", "high", "background")
SLOT_STATES = ("free", "leased", "broken")
LEASE_ENDS = ("released", "expired", "revoked", "cancelled", "broken")
MEMORY_PARTS = ("daemon", "driver", "browser", "renderers", "database")
MEMORY_LIMITS = ("warning", "critical")
MEMORY_STEPS = ("none", "paused", "closed", "swept", "refused")
CLOSED_HOW = ("idle", "cut_off")
MODEL_OUTCOMES = ("done", "unknown", *ModelFailure)
MODEL_OPERATIONS = ("draft", "pool")
BUDGET_TIERS = ("ample", "fair", "tight", "low", "last")
CACHE_DROPPED = ("too_large", "unreadable", "full")

WAIT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60)
DATABASE_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30)
RUN_BUCKETS_S = (1, 10, 60, 300)
CHECK_BUCKETS_S = (0.1, 1, 10)
"""Few, since there are many jobs and checks: all series together stay below 1,000."""
DELAY_BUCKETS_S = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200)


class Metrics:
    """The metrics of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series for nothing
        self.registry = CollectorRegistry()
        self.feed_clients = self._gauge("feed_clients", "Listeners of the live feed.")
        self.feed_bytes = self._counter("feed_bytes_total", "What the live feed has sent, compressed.")
        self.pool_slots = self._gauge("pool_slots", "Slots by state.", state=SLOT_STATES)
        self.pool_leases = self._gauge("pool_leases", "Leases held, by lane.", lane=LANES)
        self.queue_depth = self._gauge("queue_depth", "Requests waiting for a slot.", lane=LANES)
        self.pool_wait = self._histogram(
            "pool_wait_seconds", "From a request to its lease.", WAIT_BUCKETS_S, lane=LANES
        )
        self.leases = self._counter(
            "leases_total", "Leases by lane and how they ended.", lane=LANES, outcome=LEASE_ENDS
        )
        self.call_backs = self._counter(
            "pool_call_backs_total",
            "Leases called back for more urgent work, by the lane of their holder.",
            lane=LANES,
        )
        self.mode = self._gauge("mode", "1 for the mode that the daemon is in.", mode=tuple(Mode))
        self.posts = self._gauge("posts", "Posts by state, counted once a minute.", state=tuple(PostState))
        self.post_delay = self._histogram(
            "post_delay_seconds", "From due to published, by the daemon's clock.", DELAY_BUCKETS_S
        )
        self.post_overdue = self._gauge(
            "post_overdue_seconds",
            "How long the oldest due post has been due, put back or not; 0: none is. Once a minute.",
        )
        self.accounts = self._gauge(
            "accounts", "Accounts by what may be done in their name.", condition=tuple(AccountCondition)
        )
        self.memory = self._gauge(
            "memory_bytes", "Memory, shared pages in proportion, every 30 s.", part=MEMORY_PARTS
        )
        self.largest_renderer = self._gauge(
            "largest_renderer_bytes", "Memory of the browser's largest page process."
        )
        self.memory_limit = self._gauge(
            "memory_limit_bytes", "Above it work is shed, in steps or at once.", limit=MEMORY_LIMITS
        )
        self.memory_step = self._gauge(
            "memory_step", "1 for how much has been given up for want of memory.", step=MEMORY_STEPS
        )
        self.contexts_closed = self._counter(
            "memory_contexts_closed_total", "Contexts that memory_keeper closed.", how=CLOSED_HOW
        )
        self.model_calls = self._counter(
            "language_model_calls_total", "Calls of the language model.", outcome=MODEL_OUTCOMES
        )
        self.budget_spent = self._counter(
            "budget_spent_total",
            "Spent on the language model, in the currency of its prices.",
            operation=MODEL_OPERATIONS,
        )
        self.budget_left = self._gauge("budget_left_ratio", "What is left of the day's budget, from 0 to 1.")
        self.budget_tier = self._gauge(
            "budget_tier",
            "1 for the tier of what is left; 0 for all without a language model.",
            tier=BUDGET_TIERS,
        )
        self.check_up = self._gauge("check_up", "1 while the check holds.", check=())
        self.check_seconds = self._histogram(
            "check_seconds", "Duration of checks.", CHECK_BUCKETS_S, check=()
        )
        self.pool_hold = self._histogram(
            "pool_hold_seconds", "How long a lease was held.", RUN_BUCKETS_S, job_name=()
        )
        self.job_runs = self._counter(
            "job_runs_total", "Runs of this process by ending.", job_name=(), outcome=()
        )
        self.job_run = self._histogram(
            "job_run_seconds", "Duration of runs, the wait for a slot included.", RUN_BUCKETS_S, job_name=()
        )
        self.job_last_success = self._gauge(
            "job_last_success_timestamp_seconds",
            "When a run was last done or had nothing to do, by the daemon's clock; 0 for never.",
            job_name=(),
        )
        self.job_paused = self._gauge("job_paused", "1 while an operator has paused the job.", job_name=())
        self.job_overdue = self._gauge(
            "job_overdue", "1 while the job has not succeeded within its interval and a half.", job_name=()
        )
        self.job_failed = self._gauge(
            "job_failed", "1 while the job stands still after too many crashes.", job_name=()
        )
        self.job_restarts = self._counter("job_restarts_total", "Restarts after a crash.", job_name=())
        self.db_connections = self._gauge(
            "db_pool_connections", "Database connections.", state=("used", "idle")
        )
        self.db_wait = self._histogram(
            "db_pool_wait_seconds",
            "From asking for a connection until it came or was given up.",
            DATABASE_BUCKETS_S,
        )
        self.db_query = self._histogram(
            "db_query_seconds", "Duration of statements, BEGIN and COMMIT among them.", DATABASE_BUCKETS_S
        )
        self.db_leaks = self._gauge(
            "db_pool_leaks", "Database connections held for longer than they may be (database.leak_s)."
        )
        self._add_reading()
        self.alerts = self._gauge("alerts", "Alerts that last.", severity=("warning", "critical"))
        self.alert_messages = self._counter(
            "alert_messages_total", "Messages about alerts to destinations.", destination=(), outcome=()
        )
        self.breaker_state = self._gauge(
            "circuit_breaker_state", "1 for the state that the breaker is in.", breaker=(), state=()
        )
        self.breaker_transitions = self._counter(
            "circuit_breaker_transitions_total",
            "Changes of a breaker's state.",
            **{"breaker": (), "from": (), "to": ()},
        )
        self.breaker_rejected = self._counter(
            "circuit_breaker_rejected_total", "Visits not made since the breaker was open.", breaker=()
        )

        self.model_version = self._gauge(
            "model_version", "The version of the predictor in this role; 0: none.", role=(), site=()
        )
        self.model_error_ratio = self._gauge(
            "model_error_ratio",
            "Squared error of the predictor by that of the mean; 0: not known.",
            role=(),
            site=(),
        )
        self._declare_caches()

    def _declare_caches(self) -> None:
        self.cache_hits = self._counter(
            "cache_hits_total", "Reads of the cache that cost no computation.", namespace=()
        )
        self.cache_misses = self._counter(
            "cache_misses_total", "Reads of the cache that were computed.", namespace=()
        )
        self.cache_dropped = self._counter(
            "cache_dropped_total", "Values that were not kept, by why.", reason=CACHE_DROPPED
        )
        self.cache_entries = self._gauge("cache_entries", "Values in the cache, or keys in its database.")
        self.cache_bytes = self._gauge("cache_bytes", "Memory of the cache, or of its server.")
        self.cache_connections = self._gauge("cache_connections", "Connections to the cache's server.")

    def _add_reading(self) -> None:
        """Of what is read on sites."""
        self.scraped_pages = self._counter(
            "scraped_pages_total",
            "Posts' pages that were looked at for their figures.",
            outcome=("read", "gone", "failed"),
        )
        self.lists_read = self._counter(
            "lists_read_total",
            "Lists of other people's posts, from cache or site; forbidden: by robots.txt.",
            job_name=(),
            outcome=("read", "gone", "failed", "forbidden"),
        )
        self.scrape_slowdown = self._gauge(
            "scrape_slowdown",
            "How many times as seldom as their age says posts are looked at, since reading fails.",
            site=(),
        )
        self.opportunities = self._gauge(
            "opportunities", "Posts of others that a reply would suit, counted once a minute.", state=()
        )
        self.replies_settled = self._gauge(
            "replies_settled", "The latest replies whose figures have settled, 300 at most.", site=()
        )
        self.replies_reacted = self._gauge(
            "replies_reacted", "Those of the settled replies that got a like or an answer.", site=()
        )
        self.opportunities_least = self._gauge(
            "opportunities_least",
            "With fewer open ones, of all sites, hardly any are left; 0 until they are looked for.",
        )

    def declare_cache(self, namespace: str) -> None:
        """The series of one namespace of the cache."""
        self.cache_hits.labels(namespace=namespace)
        self.cache_misses.labels(namespace=namespace)

    def declare_job(self, job: str, *, uses_browser: bool) -> None:
        """The series of one job."""
        if uses_browser:
            self.pool_hold.labels(job_name=job)
        for ending in Ending:
            self.job_runs.labels(job_name=job, outcome=ending)
        self.job_run.labels(job_name=job)
        self.job_last_success.labels(job_name=job)
        self.job_paused.labels(job_name=job)
        self.job_overdue.labels(job_name=job)
        self.job_failed.labels(job_name=job)
        self.job_restarts.labels(job_name=job)

    def declare_check(self, check: str) -> None:
        """The series of one health check."""
        self.check_up.labels(check=check).set(0)
        self.check_seconds.labels(check=check)

    def declare_destination(self, destination: str) -> None:
        """The series of one destination of alerts."""
        for outcome in ("delivered", "failed"):
            self.alert_messages.labels(destination=destination, outcome=outcome)

    def declare_breaker(self, breaker: str, ways: Iterable[tuple[str, Iterable[str]]]) -> None:
        """The series of one breaker; `ways` has each state with those that may follow it."""
        self.breaker_rejected.labels(breaker=breaker)
        for state, followers in ways:
            self.breaker_state.labels(breaker=breaker, state=state)
            for follower in followers:
                self._way(breaker, state, follower)

    def breaker_moved(self, breaker: str, old: str, new: str) -> None:
        """Count a change of a breaker's state."""
        self._way(breaker, old, new).inc()

    def _way(self, breaker: str, old: str, new: str) -> Counter:
        return self.breaker_transitions.labels(**{"breaker": breaker, "from": old, "to": new})

    def show_budget(self, left: float, tier: str) -> None:
        """What is left of the day's budget, from 0 to 1, and the tier that this makes."""
        self.budget_left.set(left)
        for name in BUDGET_TIERS:
            self.budget_tier.labels(tier=name).set(name == tier)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str, **labels: Iterable[str]) -> Gauge:
        return _at_zero(Gauge(f"orchestrator_{name}", text, list(labels), registry=self.registry), labels)

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        return _at_zero(Counter(f"orchestrator_{name}", text, list(labels), registry=self.registry), labels)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], **labels: Iterable[str]
    ) -> Histogram:
        return _at_zero(
            Histogram(f"orchestrator_{name}", text, list(labels), buckets=buckets, registry=self.registry),
            labels,
        )


def _at_zero(metric: M, labels: dict[str, Iterable[str]]) -> M:
    for values in itertools.product(*labels.values()) if labels else ():
        metric.labels(*values)
    return metric
