"""Each site as a party that is asked by way of a breaker, named `site:NAME` after it in the settings."""

from collections.abc import Callable

from orchestrator.breaker import Verdict
from orchestrator.breakers import Party, Probe, rule_for
from orchestrator.errors import PostUnclearError, SiteError, SiteUnavailableError
from orchestrator.settings import SITE_PREFIX, Settings


def breaker_of(site: str) -> str:
    """The name of a site's breaker."""
    return SITE_PREFIX + site


def judge(error: Exception) -> Verdict:
    """A site that gives no answer has failed; one that says no, whatever to, is alive.

    A submit without a clear answer is the failure that lies behind it. Anything else is not the site's.
    """
    if isinstance(error, PostUnclearError):
        is_silent = isinstance(error.__cause__, SiteUnavailableError)
        return Verdict.FAILURE if is_silent else Verdict.NEUTRAL
    if isinstance(error, SiteUnavailableError):
        return Verdict.FAILURE
    return Verdict.SUCCESS if isinstance(error, SiteError) else Verdict.NEUTRAL


def site_parties(settings: Settings, probe_of: Callable[[str], Probe]) -> list[Party]:
    """Each site, also one that has no account yet; `probe_of` gives what looks at it."""
    # A probe ends by itself: the browser's start and a visit have limits of their own.
    probe_s = settings.browser.launch_timeout_s + settings.browser.visit_timeout_s
    return [
        Party(
            name=breaker_of(site),
            rule=rule_for(settings.breakers, breaker_of(site), probe_s),
            judge=judge,
            keeps="nobody goes there",
            probe=probe_of(site),
        )
        for site in sorted(settings.sites)
    ]
