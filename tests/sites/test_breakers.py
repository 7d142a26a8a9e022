"""The sites as parties with breakers: what counts against one, and by which figures."""

import pytest
import trio

from orchestrator.breaker import BreakerRule, Verdict
from orchestrator.breakers import Probe
from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    DatabaseUnavailableError,
    HostRefusedError,
    LeaseEndedError,
    PageUnexpectedError,
    PostMissingError,
    PostRefusedError,
    PostUnclearError,
    SignedOutError,
    SignInRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.sites.breakers import judge, site_parties
from orchestrator.testing.house import settings_for

AWAY = SiteUnavailableError("blog: net::ERR_CONNECTION_REFUSED")


def unclear(cause: Exception | None) -> PostUnclearError:
    error = PostUnclearError("no clear answer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (AWAY, Verdict.FAILURE),
        (unclear(AWAY), Verdict.FAILURE),
        (unclear(None), Verdict.NEUTRAL),
        (unclear(ContextBrokenError("died")), Verdict.NEUTRAL),
        (SiteRateLimitedError("429"), Verdict.SUCCESS),
        (SignedOutError("sign in"), Verdict.SUCCESS),
        (SignInRefusedError("wrong"), Verdict.SUCCESS),
        (PageUnexpectedError("lacks"), Verdict.SUCCESS),
        (PostRefusedError("no"), Verdict.SUCCESS),
        (PostMissingError("gone"), Verdict.SUCCESS),
        (LeaseEndedError("revoked"), Verdict.NEUTRAL),
        (ContextBrokenError("died"), Verdict.NEUTRAL),
        (BrowserError("refused"), Verdict.NEUTRAL),
        (HostRefusedError("elsewhere"), Verdict.NEUTRAL),
        (DatabaseUnavailableError("away"), Verdict.NEUTRAL),
        (ZeroDivisionError("bug"), Verdict.NEUTRAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_only_a_site_that_gives_no_answer_has_failed(error: Exception, verdict: Verdict) -> None:
    assert judge(error) is verdict


def test_each_site_has_a_breaker_by_the_settings_also_without_an_account() -> None:
    settings = settings_for(
        breakers={"failures": 1, "open_s": 2, "open_max_s": 3},
        browser={"visit_timeout_s": 5, "launch_timeout_s": 6},
        sites={name: {"profile": "microblog"} for name in ("murmur", "later")},
    )
    asked: list[str] = []

    def probe_of(site: str) -> Probe:
        asked.append(site)
        return trio.sleep_forever

    later, party = site_parties(settings, probe_of)
    assert (later.name, party.name) == ("site:later", "site:murmur")
    assert party.judge is judge
    assert party.probe is trio.sleep_forever
    assert asked == ["later", "murmur"]
    assert party.rule == BreakerRule(failures=1, open_s=2, open_max_s=3, probes=1, probe_s=11)


def test_a_site_may_have_figures_of_its_own() -> None:
    settings = settings_for(
        breakers={"failures": 7, "parties": {"site:murmur": {"open_s": 30, "probe_s": 4}}}
    )
    [party] = site_parties(settings, lambda _site: trio.sleep_forever)
    assert party.rule == BreakerRule(failures=7, open_s=30, open_max_s=300, probe_s=4)
