"""Allocator: who gets a browser context, who waits, and for how long."""

from dashboards.parts import Board, Panel, Query
from dashboards.words import average, increase, metric, quantile, rate, total

BOARD = Board(
    "orchestrator-allocator",
    "Orchestrator: allocator",
    "Who gets a browser context, who waits, and for how long.",
    [
        (
            "Waiting",
            [
                Panel(
                    "Queue",
                    "Requests that wait for a context, by lane. More than 10 for long is too much work.",
                    "short",
                    [Query(total(metric("queue_depth"), "lane"), "{{lane}}")],
                    "allocator.md",
                    "areas",
                    (10,),
                    width=12,
                ),
                Panel(
                    "Longest waits",
                    "99 of 100 requests got their context within this time. Critical work has 60 s at most.",
                    "s",
                    [Query(quantile(0.99, "pool_wait_seconds", "lane"), "{{lane}}")],
                    "allocator.md",
                    steps=(60, 300),
                    width=12,
                ),
                Panel(
                    "Usual waits",
                    "Half of the requests got their context within this time.",
                    "s",
                    [Query(quantile(0.5, "pool_wait_seconds", "lane"), "{{lane}}")],
                    "allocator.md",
                    width=12,
                ),
                Panel(
                    "Call-backs",
                    "Leases called back for more urgent work, within an hour, by the lane of their holder.",
                    "short",
                    [Query(total(increase("pool_call_backs_total", "1h"), "lane"), "{{lane}}")],
                    "allocator.md",
                    width=12,
                ),
            ],
        ),
        (
            "Holding",
            [
                Panel(
                    "Contexts",
                    "Free, leased, or broken and being rebuilt. One that stays broken: there is no browser.",
                    "short",
                    [Query(total(metric("pool_slots"), "state"), "{{state}}")],
                    "runbook.md#check_down-browser",
                    "areas",
                ),
                Panel(
                    "Leases",
                    "Contexts that are held now, by lane; one is reserved for the critical one.",
                    "short",
                    [Query(total(metric("pool_leases"), "lane"), "{{lane}}")],
                    "allocator.md",
                    "areas",
                ),
                Panel(
                    "How long jobs hold one",
                    "On average.",
                    "s",
                    [Query(average("pool_hold_seconds", "job_name"), "{{job_name}}")],
                    "jobs.md",
                ),
                Panel(
                    "How leases end",
                    "Released is well; revoked was taken away after its time, broken is a context that died.",
                    "ops",
                    [Query(total(rate("leases_total"), "outcome"), "{{outcome}}")],
                    "allocator.md",
                    width=12,
                ),
                Panel(
                    "Leases by lane",
                    "Leases a second.",
                    "ops",
                    [Query(total(rate("leases_total"), "lane"), "{{lane}}")],
                    "allocator.md",
                    width=12,
                ),
            ],
        ),
    ],
)
