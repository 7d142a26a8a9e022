"""Overview: is it well, and what needs me?"""

from dashboards.parts import Board, Panel, Query
from dashboards.words import NO_YES, UP_DOWN, increase, metric, or_zero, recorded, total

BOARD = Board(
    "orchestrator-overview",
    "Orchestrator: overview",
    "Is all well, and if not, what needs a person?",
    [
        (
            "Now",
            [
                Panel(
                    "Mode",
                    "Ready is well. Degraded: the checks below say which part is down; the others work on.",
                    "none",
                    [Query(f"{metric('mode')} == 1", "{{mode}}")],
                    "runbook.md",
                    "word",
                    width=4,
                    height=5,
                ),
                Panel(
                    "Checks that are down",
                    "The parts of the house that do not work just now.",
                    "short",
                    [Query(or_zero(f"count({metric('check_up')} == 0)"), "down")],
                    "runbook.md",
                    "number",
                    (1,),
                    width=4,
                    height=5,
                ),
                Panel(
                    "Alerts that last",
                    "As `orchestrator ctl alerts` lists them.",
                    "short",
                    [Query(total(metric("alerts"), "severity"), "{{severity}}")],
                    "alerts.md#what-becomes-an-alert",
                    "number",
                    (1,),
                    width=4,
                    height=5,
                ),
                Panel(
                    "Posts in doubt",
                    "Ambiguous: they may be out. Most are settled within minutes; what stays needs a person.",
                    "short",
                    [Query(total(metric("posts", "state='ambiguous'")), "ambiguous")],
                    "runbook.md#posts-in-doubt",
                    "number",
                    (1, 5),
                    width=4,
                    height=5,
                ),
                Panel(
                    "Oldest due post waits for",
                    "By the daemon's clock; half an hour is a problem.",
                    "s",
                    [Query(f"max({metric('post_overdue_seconds')})", "waits")],
                    "runbook.md#post_overdue",
                    "number",
                    (900, 1800),
                    width=4,
                    height=5,
                ),
                Panel(
                    "Open breakers",
                    "Sites and services that are left alone, since they failed too often in a row.",
                    "short",
                    [
                        Query(
                            or_zero(total(metric("circuit_breaker_state", "state!~'.*closed'"))),
                            "open",
                        )
                    ],
                    "breaker.md",
                    "number",
                    (1,),
                    width=4,
                    height=5,
                ),
            ],
        ),
        (
            "Over time",
            [
                Panel(
                    "Checks",
                    "Each part of the house, up or down.",
                    "none",
                    [Query(metric("check_up"), "{{check}}")],
                    "runbook.md",
                    "states",
                    names=UP_DOWN,
                    width=12,
                ),
                Panel(
                    "Overdue jobs",
                    "1 while a job has had no success for an interval and a half.",
                    "none",
                    [Query(metric("job_overdue"), "{{job_name}}")],
                    "jobs.md#how-a-job-is-looked-after",
                    "states",
                    names=NO_YES,
                    width=12,
                    height=10,
                ),
                Panel(
                    "Posts published",
                    "Within an hour, by how many runs of `posting` were done.",
                    "short",
                    [
                        Query(
                            total(increase("job_runs_total", "1h", "job_name='posting'", "outcome='done'")),
                            "published",
                        )
                    ],
                    "runbook.md#nothing-is-wrong-and-nothing-is-posted",
                    width=12,
                ),
                Panel(
                    "Runs that failed",
                    "Given up, or tried again; within an hour, by job.",
                    "short",
                    [
                        Query(
                            total(increase("job_runs_total", "1h", "outcome=~'given_up|retry'"), "job_name"),
                            "{{job_name}}",
                        )
                    ],
                    "runbook.md#job_gave_up",
                    steps=(1, 10),
                    width=12,
                ),
            ],
        ),
        (
            "Over weeks",
            [
                Panel(
                    "Ready",
                    "The share of time that the daemon was there and ready.",
                    "percentunit",
                    [Query(recorded("instance:orchestrator_ready:ratio5m"), "{{instance}}")],
                    "dashboards.md#over-weeks",
                    at_most=1,
                    width=6,
                ),
                Panel(
                    "Posts within an hour",
                    "How many went out; none for hours is worth a look.",
                    "short",
                    [Query(recorded("instance:orchestrator_posts_published:increase1h"), "{{instance}}")],
                    "runbook.md#nothing-is-wrong-and-nothing-is-posted",
                    width=6,
                ),
                Panel(
                    "Late within an hour",
                    "95 of 100 posts were out so long after they were due.",
                    "s",
                    [Query(recorded("instance:orchestrator_post_delay_seconds:p95_1h"), "{{instance}}")],
                    "runbook.md#post_overdue",
                    steps=(900, 1800),
                    width=6,
                ),
                Panel(
                    "Waits within an hour",
                    "99 of 100 requests had their context within this time.",
                    "s",
                    [Query(recorded("instance_lane:orchestrator_pool_wait_seconds:p99_1h"), "{{lane}}")],
                    "allocator.md",
                    steps=(60, 300),
                    width=6,
                ),
                Panel(
                    "Share of runs that failed",
                    "Given up, or tried again, within an hour.",
                    "percentunit",
                    [Query(recorded("instance:orchestrator_runs_failed:ratio1h"), "{{instance}}")],
                    "runbook.md#job_gave_up",
                    steps=(0.1, 0.3),
                ),
                Panel(
                    "Cache",
                    "The share of its reads, within an hour, that cost no computation.",
                    "percentunit",
                    [Query(recorded("instance:orchestrator_cache_hits:ratio1h"), "{{instance}}")],
                    "cache.md",
                    at_most=1,
                ),
                Panel(
                    "Memory",
                    "All parts together: what only grows over weeks is a leak.",
                    "bytes",
                    [Query(recorded("instance:orchestrator_memory_bytes:sum"), "{{instance}}")],
                    "memory.md",
                ),
            ],
        ),
    ],
)
