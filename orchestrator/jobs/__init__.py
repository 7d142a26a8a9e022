"""The jobs: one file a family. `all_jobs` is the list of all, those of installed packages included.

What users' own jobs import stands in `__all__`; docs/own-jobs.md shows how it is used.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from orchestrator.actors.job import Job, Run
from orchestrator.errors import SettingsError
from orchestrator.jobs import (
    alert_delivery,
    analytics,
    competitive_analysis,
    expert_analysis,
    health_monitor,
    learn,
    memory_keeper,
    metrics_scraper,
    plan,
    posting,
    reconciliation,
)
from orchestrator.jobs.alert_delivery import AlertTools
from orchestrator.jobs.own import OwnJob, job
from orchestrator.jobs.packages import installed
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.model import CheckResult, Ending, Outcome, PostMetrics, done, nothing_to_do, over_budget
from orchestrator.retry import RetryRule
from orchestrator.settings import JobSettings
from orchestrator.sites.driver import AccountFigures

__all__ = [
    "Account",
    "AccountFigures",
    "Ending",
    "Outcome",
    "OwnJob",
    "PostMetrics",
    "RetryRule",
    "Run",
    "Tools",
    "Visit",
    "done",
    "job",
    "nothing_to_do",
    "over_budget",
]

NAMES = tuple(
    module.NAME
    for module in (
        plan,
        posting,
        metrics_scraper,
        learn,
        analytics,
        expert_analysis,
        competitive_analysis,
        reconciliation,
        health_monitor,
        memory_keeper,
        alert_delivery,
    )
)
"""The jobs of the house itself."""


def all_jobs(
    tools: Tools,
    look: Callable[[], Awaitable[list[CheckResult]]],
    keep: Callable[[], Awaitable[Outcome]],
    alerts: AlertTools,
    more: Sequence[OwnJob] = (),
) -> list[Job]:
    """Every job with its defaults, and `more`; health_monitor does `look`, memory_keeper `keep`.

    Raises SettingsError for a package whose jobs can't be had.
    """
    return [
        plan.job(tools),
        posting.job(tools),
        metrics_scraper.job(tools),
        learn.job(tools),
        analytics.job(tools),
        expert_analysis.job(tools),
        competitive_analysis.job(tools),
        reconciliation.job(tools),
        health_monitor.job(look),
        memory_keeper.job(keep),
        alert_delivery.job(alerts),
        *(own.with_tools(tools) for own in (*installed_jobs(), *more)),
    ]


def installed_jobs() -> tuple[OwnJob, ...]:
    """The jobs of installed packages. Raises SettingsError for a package whose jobs can't be had."""
    return installed(NAMES)


def declared(settings: Mapping[str, JobSettings], more: Sequence[OwnJob] = ()) -> list[Job]:
    """The jobs that are switched on, to be looked at: without tools none of them can run.

    Raises SettingsError for a name that is no job, and for a package whose jobs can't be had.
    """

    async def look() -> list[CheckResult]:
        return []

    async def keep() -> Outcome:
        return done()

    nothing = cast("AlertTools", None)
    return with_settings(all_jobs(cast("Tools", None), look, keep, nothing, more), settings)


def with_settings(jobs: list[Job], settings: Mapping[str, JobSettings]) -> list[Job]:
    """The jobs that are switched on, with an operator's changes; a job that is off is waited for by none.

    Raises SettingsError for a name that is no job.
    """
    names = [job.name for job in jobs]
    for name in settings:
        if name not in names:
            raise SettingsError(f"jobs.{name}: there is no such job", remedy=f"Jobs: {', '.join(names)}.")
    changed = [job.with_settings(settings.get(job.name, JobSettings())) for job in jobs]
    on = {job.name for job in jobs if settings.get(job.name, JobSettings()).enabled}
    return [
        replace(job, after=tuple(name for name in job.after if name in on))
        for job in changed
        if job.name in on
    ]
