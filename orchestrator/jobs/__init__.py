"""The jobs: one file a family. `all_jobs` is the list of all."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import cast

from orchestrator.actors.job import Job
from orchestrator.errors import SettingsError
from orchestrator.jobs import health_monitor, learn, metrics_scraper, plan, posting, reconciliation
from orchestrator.jobs.tools import Tools
from orchestrator.model import CheckResult
from orchestrator.settings import JobSettings

NAMES = tuple(
    module.NAME for module in (plan, posting, metrics_scraper, learn, reconciliation, health_monitor)
)


def all_jobs(tools: Tools, look: Callable[[], Awaitable[list[CheckResult]]]) -> list[Job]:
    """Every job with its defaults."""
    return [
        plan.job(tools),
        posting.job(tools),
        metrics_scraper.job(tools),
        learn.job(tools),
        reconciliation.job(tools),
        health_monitor.job(look),
    ]


def declared(settings: Mapping[str, JobSettings]) -> list[Job]:
    """The jobs that are switched on, to be looked at: without tools none of them can run.

    Raises SettingsError for a name that is no job.
    """

    async def look() -> list[CheckResult]:
        return []

    return with_settings(all_jobs(cast("Tools", None), look), settings)


def check_names(settings: Mapping[str, JobSettings]) -> None:
    """Raises SettingsError for a name that is no job."""
    for name in settings:
        if name not in NAMES:
            raise SettingsError(f"jobs.{name}: there is no such job", remedy=f"Jobs: {', '.join(NAMES)}.")


def with_settings(jobs: list[Job], settings: Mapping[str, JobSettings]) -> list[Job]:
    """The jobs that are switched on, with an operator's changes; a job that is off is waited for by none.

    Raises SettingsError for a name that is no job.
    """
    check_names(settings)
    changed = [job.with_settings(settings.get(job.name, JobSettings())) for job in jobs]
    on = {job.name for job in jobs if settings.get(job.name, JobSettings()).enabled}
    return [
        replace(job, after=tuple(name for name in job.after if name in on))
        for job in changed
        if job.name in on
    ]
