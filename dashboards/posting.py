"""Posting and content: from a text to a post, and what it costs."""

from dashboards.parts import Board, Panel, Query
from dashboards.words import increase, metric, quantile, rate, total

BOARD = Board(
    "orchestrator-posting",
    "Orchestrator: posting and content",
    "From a text to a post, and what that costs.",
    [
        (
            "Posts",
            [
                Panel(
                    "On their way",
                    "Posts that are not at their end; ambiguous ones may be out.",
                    "short",
                    [
                        Query(
                            total(metric("posts", "state!~'published|failed'"), "state"),
                            "{{state}}",
                        )
                    ],
                    "runbook.md#posts-in-doubt",
                    "areas",
                    width=12,
                ),
                Panel(
                    "Final",
                    "Published, and given up for good.",
                    "short",
                    [Query(total(metric("posts", "state=~'published|failed'"), "state"), "{{state}}")],
                    "reliability.md",
                    width=12,
                ),
                Panel(
                    "Late by",
                    "From due to published, by the daemon's clock: half of the posts, and 95 of 100.",
                    "s",
                    [
                        Query(quantile(0.5, "post_delay_seconds"), "half"),
                        Query(quantile(0.95, "post_delay_seconds"), "95 %"),
                    ],
                    "runbook.md#post_overdue",
                    steps=(900, 1800),
                    width=12,
                ),
                Panel(
                    "The one that waits longest",
                    "For how long the post has been due that has been so the longest.",
                    "s",
                    [Query(f"max({metric('post_overdue_seconds')})", "waits")],
                    "runbook.md#post_overdue",
                    steps=(900, 1800),
                    width=12,
                ),
            ],
        ),
        (
            "Accounts and sites",
            [
                Panel(
                    "Accounts that are not well",
                    "Spared since their health is low, or not let in by their site.",
                    "short",
                    [
                        Query(
                            total(metric("accounts", "condition!='well'"), "condition"),
                            "{{condition}}",
                        )
                    ],
                    "accounts.md#health",
                    "areas",
                    width=24,
                ),
                Panel(
                    "Breakers",
                    "The state that each one is in; closed is well.",
                    "none",
                    [Query(f"{metric('circuit_breaker_state')} == 1", "{{breaker}} {{state}}")],
                    "breaker.md",
                    "states",
                    width=12,
                ),
                Panel(
                    "Turned away",
                    "Visits that were not made since the breaker was open, within an hour.",
                    "short",
                    [
                        Query(
                            total(increase("circuit_breaker_rejected_total", "1h"), "breaker"),
                            "{{breaker}}",
                        )
                    ],
                    "breaker.md",
                ),
                Panel(
                    "Changes of breakers",
                    "Within an hour, by the state that they came to.",
                    "short",
                    [Query(total(increase("circuit_breaker_transitions_total", "1h"), "to"), "to {{to}}")],
                    "breaker.md",
                    width=4,
                ),
            ],
        ),
        (
            "Reading",
            [
                Panel(
                    "Pages read",
                    "Within an hour, by how that ended.",
                    "short",
                    [Query(total(increase("scraped_pages_total", "1h"), "outcome"), "{{outcome}}")],
                    "jobs.md",
                    "areas",
                    width=8,
                ),
                Panel(
                    "Others’ lists read",
                    "Within an hour, by job and by how that ended.",
                    "short",
                    [
                        Query(
                            total(increase("lists_read_total", "1h"), "job_name", "outcome"),
                            "{{job_name}} {{outcome}}",
                        )
                    ],
                    "jobs.md",
                    width=8,
                ),
                Panel(
                    "Slowed down",
                    "How many times as seldom as usual posts are looked at, since too many pages fail.",
                    "short",
                    [Query(metric("scrape_slowdown"), "{{site}}")],
                    "jobs.md",
                    steps=(2, 4),
                    width=8,
                ),
            ],
        ),
        (
            "Learning",
            [
                Panel(
                    "Error of the models",
                    "Squared error of predictions by that of the mean: below 1 a model knows something.",
                    "short",
                    [Query(metric("model_error_ratio") + " > 0", "{{site}} {{role}}")],
                    "learning.md",
                    steps=(0.9, 1),
                    width=12,
                ),
                Panel(
                    "Models in use",
                    "Their versions; orchestrator ctl models says what became of each.",
                    "none",
                    [Query(metric("model_version") + " > 0", "{{site}} {{role}}")],
                    "learning.md",
                    width=12,
                ),
            ],
        ),
        (
            "Opportunities for replies",
            [
                Panel(
                    "In the pool",
                    "Open ones, and below which number hardly any are left.",
                    "short",
                    [
                        Query(total(metric("opportunities", "state='open'")), "open"),
                        Query(total(metric("opportunities_least")), "least"),
                    ],
                    "replies.md",
                    width=12,
                ),
                Panel(
                    "What became of them",
                    "Drafted ones wait for a person; stale ones were never answered.",
                    "short",
                    [Query(total(metric("opportunities", "state!='open'"), "state"), "{{state}}")],
                    "replies.md",
                    "areas",
                    width=12,
                ),
                Panel(
                    "What replies earn",
                    "Of the latest replies whose figures have settled, those that got a like or an answer.",
                    "short",
                    [
                        Query(total(metric("replies_settled"), "site"), "{{site}}: settled"),
                        Query(total(metric("replies_reacted"), "site"), "{{site}}: got a reaction"),
                    ],
                    "replies.md#what-replies-teach",
                    width=24,
                ),
            ],
        ),
        (
            "Language model",
            [
                Panel(
                    "Left of the day's budget",
                    "Below 20 % the small model is used, and less often.",
                    "percentunit",
                    [Query(f"min({metric('budget_left_ratio')})", "left")],
                    "budget.md",
                    "number",
                    (0.2, 0.5),
                    is_low_bad=True,
                    width=4,
                    at_most=1,
                ),
                Panel(
                    "Tier",
                    "What the budget allows just now.",
                    "none",
                    [Query(f"{metric('budget_tier')} == 1", "{{tier}}")],
                    "budget.md",
                    "states",
                    width=8,
                ),
                Panel(
                    "Spent",
                    "Within an hour, by what it was for, in the currency of the prices.",
                    "short",
                    [Query(total(increase("budget_spent_total", "1h"), "operation"), "{{operation}}")],
                    "budget.md",
                    "areas",
                    width=6,
                ),
                Panel(
                    "Calls",
                    "A second, by how they ended.",
                    "ops",
                    [Query(total(rate("language_model_calls_total"), "outcome"), "{{outcome}}")],
                    "budget.md",
                    width=6,
                ),
            ],
        ),
    ],
)
