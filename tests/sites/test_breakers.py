"""The sites' breakers: what counts against a site, who is told, and what people see."""

from collections.abc import Collection
from contextlib import suppress
from random import Random

import pytest
import structlog.testing
import trio

from orchestrator.breaker import BreakerRule, BreakerState, Transition, Verdict
from orchestrator.errors import (
    BreakerOpenError,
    BrowserError,
    ContextBrokenError,
    ControlError,
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
from orchestrator.metrics import Metrics
from orchestrator.sites.breakers import SiteBreakers, judge, make_breakers
from orchestrator.testing.house import settings_for
from tests.fakes import Highest

AWAY = SiteUnavailableError("blog: net::ERR_CONNECTION_REFUSED")
NAME = "site:blog"


class Bench:
    """Breakers for two sites, and what was told of them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.changes: list[tuple[str, str]] = []
        self.turned_away: list[list[str]] = []
        self.breakers = SiteBreakers(
            ["blog", "forum"],
            BreakerRule(failures=2, open_s=10),
            rng=Highest(),
            metrics=self.metrics,
            on_change=self._changed,
        )

    def _changed(self, change: Transition, turned_away: Collection[str]) -> None:
        self.changes.append((change.breaker, change.new))
        self.turned_away.append(sorted(turned_away))

    def visit(self, error: Exception | None = None, site: str = "blog", job: str = "posting") -> None:
        with suppress(SiteUnavailableError), self.breakers.permit(site, job):
            if error is not None:
                raise error

    def is_refused(self, site: str = "blog", job: str = "posting") -> bool:
        try:
            self.breakers.check(site, job)
        except BreakerOpenError:
            return True
        return False

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"orchestrator_circuit_breaker_{name}", labels)

    def states(self, breaker: str = NAME) -> list[str]:
        """The states that the metric shows; one, or it is wrong."""
        return [s for s in BreakerState if self.figure("state", breaker=breaker, state=s)]


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


async def test_each_site_with_an_account_has_a_breaker_by_the_settings() -> None:
    settings = settings_for(
        breakers={"failures": 1, "open_s": 2, "open_max_s": 3},
        browser={"visit_timeout_s": 5, "launch_timeout_s": 6},
        sites={name: {"profile": "microblog"} for name in ("murmur", "unused")},
    )
    made = make_breakers(settings, rng=Random(1), metrics=Metrics(), on_change=lambda *_: None)
    assert made.names == ("site:murmur",)
    assert made.of("murmur").rule == BreakerRule(failures=1, open_s=2, open_max_s=3, probes=1, probe_s=11)


async def test_visits_that_fail_open_the_breaker_of_their_site_alone() -> None:
    bench = Bench()
    bench.visit(AWAY)
    assert not bench.is_refused()
    bench.visit(AWAY)
    assert bench.is_refused()
    assert not bench.is_refused("forum")
    with pytest.raises(BreakerOpenError, match=r"site:blog is not asked for 10 s; .*REFUSED"):
        bench.breakers.check("blog", "posting")
    with pytest.raises(BreakerOpenError), bench.breakers.permit("blog", "posting"):
        pytest.fail("there was a permit")


async def test_a_cancelled_visit_says_nothing_of_the_site() -> None:
    bench = Bench()
    for _ in range(3):
        with trio.CancelScope() as scope, bench.breakers.permit("blog", "posting"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    bench.visit(AWAY)
    assert bench.breakers.standing(NAME).view.failures == 1


async def test_jobs_that_were_turned_away_are_told_once_when_the_site_may_be_asked_again(
    autojump_clock: object,
) -> None:
    bench = Bench()
    bench.visit(AWAY)
    bench.visit(AWAY)
    assert bench.is_refused(job="posting")
    assert bench.is_refused(job="learn")
    assert bench.is_refused(job="posting")
    await trio.sleep(11)
    bench.visit()
    assert bench.changes == [(NAME, state) for state in ("open", "half_open", "closed")]
    assert bench.turned_away == [[], [], ["learn", "posting"]]
    bench.breakers.obey(NAME, "open", "ada")
    bench.breakers.obey(NAME, "close", "ada")
    assert bench.turned_away[-1] == []


async def test_metrics_are_there_from_the_start_and_follow(autojump_clock: object) -> None:
    bench = Bench()
    assert bench.states() == bench.states("site:forum") == ["closed"]
    assert bench.figure("rejected_total", breaker=NAME) == 0
    way = {"breaker": NAME, "from": "closed", "to": "open"}
    assert bench.figure("transitions_total", **way) == 0
    bench.visit(AWAY)
    bench.visit(AWAY)
    assert bench.is_refused()
    assert bench.states() == ["open"]
    assert bench.figure("transitions_total", **way) == 1
    assert bench.figure("rejected_total", breaker=NAME) == 1


async def test_opening_is_a_warning_and_closing_is_news(autojump_clock: object) -> None:
    bench = Bench()
    with structlog.testing.capture_logs() as logs:
        bench.visit(AWAY)
        bench.visit(AWAY)
        await trio.sleep(11)
        bench.visit()
    found = [(line["log_level"], line["state"]) for line in logs if line["event"] == "breaker_changed"]
    assert found == [("warning", "open"), ("info", "half_open"), ("info", "closed")]


# ── people ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_look_says_how_it_is_with_the_site_and_what_to_do(autojump_clock: object) -> None:
    bench = Bench()
    assert bench.breakers.look(NAME) == "may be asked"
    bench.visit(AWAY)
    assert bench.breakers.look(NAME) == f"failures in a row: 1, the last: {AWAY}"
    bench.visit(AWAY)
    with pytest.raises(SiteUnavailableError, match="it does not answer: blog: net::ERR") as caught:
        bench.breakers.look(NAME)
    assert "looked at again in 10 s" in caught.value.remedy
    await trio.sleep(11)
    with pytest.raises(SiteUnavailableError) as caught:
        bench.breakers.look(NAME)
    assert "looked at now" in caught.value.remedy


async def test_orders_are_named_with_who_gave_them_and_the_way_back() -> None:
    bench = Bench()
    bench.breakers.obey(NAME, "open", "ada")
    with pytest.raises(SiteUnavailableError, match="nobody goes there, by order of ada") as caught:
        bench.breakers.look(NAME)
    assert "orchestrator ctl breaker site:blog auto" in caught.value.remedy
    bench.breakers.obey(NAME, "close", "grace")
    assert "by order of grace" in bench.breakers.look(NAME)
    bench.visit(AWAY)
    bench.visit(AWAY)
    assert not bench.is_refused()
    bench.breakers.obey(NAME, "auto", "grace")
    standing = bench.breakers.standing(NAME)
    assert (standing.view.state, standing.forced_by) == ("closed", "")


async def test_an_unknown_breaker_or_order_is_refused_with_those_that_are_there() -> None:
    bench = Bench()
    with pytest.raises(ControlError, match="no breaker 'blog'") as caught:
        bench.breakers.obey("blog", "open", "ada")
    assert "site:blog, site:forum" in caught.value.remedy
    with pytest.raises(ControlError, match="no order 'shut'") as caught:
        bench.breakers.obey(NAME, "shut", "ada")
    assert "open, close, auto" in caught.value.remedy
    assert bench.changes == []
