"""Resources: memory, database, cache, checks, messages."""

from dashboards.parts import Board, Panel, Query
from dashboards.words import average, increase, metric, quantile, rate, share, total

BOARD = Board(
    "orchestrator-resources",
    "Orchestrator: resources",
    "Memory, database, cache, and what the daemon's looks at them cost.",
    [
        (
            "Memory",
            [
                Panel(
                    "Memory by part",
                    "Shared pages in proportion. A part that only ever grows is a leak.",
                    "bytes",
                    [
                        Query(total(metric("memory_bytes"), "part"), "{{part}}"),
                    ],
                    "memory.md",
                    "areas",
                    width=12,
                ),
                Panel(
                    "All of it, and the limits",
                    "Above `warning` work is shed in steps, above `critical` at once.",
                    "bytes",
                    [
                        Query(total(metric("memory_bytes")), "used"),
                        Query(f"max by (limit) ({metric('memory_limit_bytes')})", "{{limit}}"),
                    ],
                    "memory.md",
                    width=12,
                ),
                Panel(
                    "Largest page process",
                    "Above 100 MB its context is renewed.",
                    "bytes",
                    [Query(f"max({metric('largest_renderer_bytes')})", "largest")],
                    "memory.md",
                ),
                Panel(
                    "Given up for want of memory",
                    "`none` is well.",
                    "none",
                    [Query(f"{metric('memory_step')} == 1", "{{step}}")],
                    "memory.md",
                    "states",
                ),
                Panel(
                    "Contexts closed for their weight",
                    "Within an hour.",
                    "short",
                    [Query(total(increase("memory_contexts_closed_total", "1h"), "how"), "{{how}}")],
                    "memory.md",
                ),
            ],
        ),
        (
            "Database",
            [
                Panel(
                    "Connections",
                    "More than 8 of 10 used for long: something holds them.",
                    "short",
                    [Query(total(metric("db_pool_connections"), "state"), "{{state}}")],
                    "runbook.md#check_down-database",
                    "areas",
                ),
                Panel(
                    "Held for too long",
                    "Connections that were not given back in time; the log says by whom.",
                    "short",
                    [Query(total(metric("db_pool_leaks")), "held")],
                    "runbook.md#check_down-database",
                    steps=(1,),
                    width=4,
                ),
                Panel(
                    "Waits for a connection",
                    "99 of 100 had one within this time; 5 s is an alert.",
                    "s",
                    [Query(quantile(0.99, "db_pool_wait_seconds"), "99 %")],
                    "runbook.md#check_down-database",
                    steps=(5,),
                    width=6,
                ),
                Panel(
                    "Statements take",
                    "Half of them, and 99 of 100; 5 s is an alert, and above 1 s the log has them.",
                    "s",
                    [
                        Query(quantile(0.5, "db_query_seconds"), "half"),
                        Query(quantile(0.99, "db_query_seconds"), "99 %"),
                    ],
                    "runbook.md#check_down-database",
                    steps=(1, 5),
                    width=6,
                ),
            ],
        ),
        (
            "Cache",
            [
                Panel(
                    "Hit rate",
                    "Reads that cost no computation; 80 % and more is usual.",
                    "percentunit",
                    [
                        Query(
                            share(rate("cache_hits_total"), rate("cache_misses_total"), "namespace"),
                            "{{namespace}}",
                        )
                    ],
                    "cache.md",
                    at_most=1,
                ),
                Panel(
                    "Size",
                    "Of the cache, or of its server.",
                    "bytes",
                    [Query(f"max({metric('cache_bytes')})", "bytes")],
                    "cache.md",
                    width=4,
                ),
                Panel(
                    "Values",
                    "How many it holds.",
                    "short",
                    [Query(f"max({metric('cache_entries')})", "values")],
                    "cache.md",
                    width=4,
                ),
                Panel(
                    "Connections to the cache",
                    "5 at most; more than 4 for long means that something is slow.",
                    "short",
                    [Query(f"max({metric('cache_connections')})", "connections")],
                    "cache.md",
                    steps=(5,),
                    width=4,
                ),
                Panel(
                    "Not kept",
                    "Values that were dropped, within an hour, by why.",
                    "short",
                    [Query(total(increase("cache_dropped_total", "1h"), "reason"), "{{reason}}")],
                    "cache.md",
                    width=4,
                ),
            ],
        ),
        (
            "Looks and messages",
            [
                Panel(
                    "How long looks take",
                    "Each check, on average.",
                    "s",
                    [Query(average("check_seconds", "check"), "{{check}}")],
                    "runbook.md",
                    width=12,
                ),
                Panel(
                    "Listeners of the live page",
                    "Connections of the live feed, and what it sends to them.",
                    "short",
                    [
                        Query(total(metric("feed_clients")), "listeners"),
                        Query(rate("feed_bytes_total"), "bytes a second"),
                    ],
                    "page.md#the-live-feed",
                    width=12,
                ),
                Panel(
                    "Messages to people",
                    "Alerts told within an hour, by destination.",
                    "short",
                    [
                        Query(
                            total(increase("alert_messages_total", "1h"), "destination", "outcome"),
                            "{{destination}} {{outcome}}",
                        )
                    ],
                    "alerts.md#what-is-told-and-when",
                    width=12,
                ),
            ],
        ),
    ],
)
