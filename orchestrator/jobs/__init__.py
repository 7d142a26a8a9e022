"""The jobs: one file a family. `all_jobs` is the list of all, those of installed packages included.

What users' own jobs import stands in `__all__`; docs/own-jobs.md shows how it is used.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import cast

from orchestrator.actors.job import Job, Run
from orchestrator.errors import SettingsError
from orchestrator.jobs import (
    account_discovery,
    alert_delivery,
    analytics,
    budget_review,
    competitive_analysis,
    emergency_pool,
    expert_analysis,
    follower_snapshot,
    harvester,
    health_monitor,
    learn,
    memory_keeper,
    metrics_scraper,
    model_review,
    onboarding,
    opportunity_review,
    plan,
    posting,
    reconciliation,
    reply_learning,
    reply_posting,
    retention,
    scrape_background,
    scrape_priority,
    session_keeper,
)
from orchestrator.jobs.alert_delivery import AlertTools
from orchestrator.jobs.own import OwnJob, job
from orchestrator.jobs.packages import installed
from orchestrator.jobs.prospects import has_opportunities
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.model import CheckResult, Ending, Outcome, PostMetrics, done, nothing_to_do, over_budget
from orchestrator.retry import RetryRule
from orchestrator.settings import JobSettings, Settings
from orchestrator.sites.driver import AccountFigures
from orchestrator.sites.profile import load_profile

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
        reply_posting,
        harvester,
        opportunity_review,
        metrics_scraper,
        learn,
        reply_learning,
        model_review,
        budget_review,
        emergency_pool,
        analytics,
        expert_analysis,
        account_discovery,
        scrape_priority,
        scrape_background,
        competitive_analysis,
        reconciliation,
        session_keeper,
        onboarding,
        follower_snapshot,
        health_monitor,
        memory_keeper,
        retention,
        alert_delivery,
    )
)
"""The jobs of the house itself."""
LACKS = "no site has a section"


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
        reply_posting.job(tools),
        harvester.job(tools),
        opportunity_review.job(tools),
        metrics_scraper.job(tools),
        learn.job(tools),
        reply_learning.job(tools),
        model_review.job(tools),
        budget_review.job(tools),
        emergency_pool.job(tools),
        analytics.job(tools),
        expert_analysis.job(tools),
        account_discovery.job(tools),
        scrape_priority.job(tools),
        scrape_background.job(tools),
        competitive_analysis.job(tools),
        reconciliation.job(tools),
        session_keeper.job(tools),
        onboarding.job(tools),
        follower_snapshot.job(tools),
        health_monitor.job(look),
        memory_keeper.job(keep),
        retention.job(tools),
        alert_delivery.job(alerts),
        *(own.with_tools(tools) for own in (*installed_jobs(), *more)),
    ]


def installed_jobs() -> tuple[OwnJob, ...]:
    """The jobs of installed packages. Raises SettingsError for a package whose jobs can't be had."""
    return installed(NAMES)


def idle(settings: Settings) -> dict[str, str]:
    """The jobs that these settings leave nothing to do, each with what is missing. Raises ProfileError."""
    profiles = [load_profile(site.profile) for site in settings.sites.values()]
    found = {}
    if all(profile.reply is None for profile in profiles):
        found[reply_posting.NAME] = f"{LACKS} [reply] in its profile"
    if all(profile.lists is None for profile in profiles):
        reading = (account_discovery.NAME, scrape_priority.NAME, scrape_background.NAME)
        found |= dict.fromkeys(reading, f"{LACKS} [lists] in its profile")
    if not any(map(has_opportunities, profiles)):
        why = "no account's site has both [reply] and [lists] (with home or search) in its profile"
        found |= dict.fromkeys((harvester.NAME, opportunity_review.NAME, reply_learning.NAME), why)
    return found


def declared(
    settings: Mapping[str, JobSettings], more: Sequence[OwnJob] = (), without: Collection[str] = ()
) -> list[Job]:
    """The jobs that are switched on, to be looked at: without tools none of them can run.

    `without` those named: `idle` says which have nothing to do.

    Raises SettingsError for a name that is no job, and for a package whose jobs can't be had.
    """

    async def look() -> list[CheckResult]:
        return []

    async def keep() -> Outcome:
        return done()

    nothing = cast("AlertTools", None)
    return with_settings(all_jobs(cast("Tools", None), look, keep, nothing, more), settings, without)


def with_settings(
    jobs: list[Job], settings: Mapping[str, JobSettings], without: Collection[str] = ()
) -> list[Job]:
    """The jobs that are switched on, with an operator's changes; a job that is off is waited for by none.

    Those of `without` are off.

    Raises SettingsError for a name that is no job.
    """
    names = [job.name for job in jobs]
    for name in settings:
        if name not in names:
            raise SettingsError(f"jobs.{name}: there is no such job", remedy=f"Jobs: {', '.join(names)}.")
    changed = [job.with_settings(settings.get(job.name, JobSettings())) for job in jobs]
    on = {job.name for job in jobs if settings.get(job.name, JobSettings()).enabled} - set(without)
    return [
        replace(job, after=tuple(name for name in job.after if name in on))
        for job in changed
        if job.name in on
    ]
