"""Where the runbook says what to do about an alert: each has an entry of its own there."""

PAGE = "docs/runbook.md"
BY_PART = frozenset({"check_down", "breaker_open"})
"""Alerts whose subject is a part of the house, each part with an entry of its own."""


def link(name: str, subject: str) -> str:
    """The entry of an alert, such as "docs/runbook.md#check_down-database".

    Of a part like `site:blog` the kind counts: there is one entry for all sites.
    """
    part = f"-{subject.partition(':')[0]}" if name in BY_PART else ""
    return f"{PAGE}#{name}{part}"
