"""The house's breakers: who is told, what people see, and parties that come late."""

from collections.abc import Collection
from contextlib import suppress

import pytest
import structlog.testing
import trio
import trio.testing

from orchestrator.breaker import BreakerRule, BreakerState, Transition, judge_by
from orchestrator.breakers import Breakers, Party, Probe, rule_for
from orchestrator.errors import (
    BreakerOpenError,
    ControlError,
    PartyUnavailableError,
    SiteError,
    SiteUnavailableError,
)
from orchestrator.metrics import Metrics
from orchestrator.settings import BreakersSettings
from tests.fakes import Highest

AWAY = SiteUnavailableError("blog: net::ERR_CONNECTION_REFUSED")
NAME, OTHER = "site:blog", "model"


def party(name: str = NAME, probe: Probe | None = trio.sleep_forever) -> Party:
    return Party(name, BreakerRule(failures=2, open_s=10), judge_by(SiteError), "nobody goes there", probe)


class Bench:
    """Breakers for two parties, or for those given, and what was told of them."""

    def __init__(self, *parties: Party) -> None:
        self.metrics = Metrics()
        self.changes: list[tuple[str, str]] = []
        self.may_come: list[list[str]] = []
        self.added: list[str] = []
        self.breakers = Breakers(
            rng=Highest(), metrics=self.metrics, on_change=self._changed, on_add=self.added.append
        )
        for one in parties or (party(), party(OTHER)):
            self.breakers.add(one)

    def _changed(self, change: Transition, may_come: Collection[str]) -> None:
        self.changes.append((change.breaker, change.new))
        self.may_come.append(sorted(may_come))

    def call(self, error: Exception | None = None, name: str = NAME, job: str = "posting") -> None:
        with suppress(SiteUnavailableError), self.breakers.permit(name, job):
            if error is not None:
                raise error

    def is_refused(self, name: str = NAME, job: str = "posting") -> bool:
        try:
            self.breakers.check(name, job)
        except BreakerOpenError:
            return True
        return False

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"orchestrator_circuit_breaker_{name}", labels)

    def states(self, breaker: str = NAME) -> list[str]:
        """The states that the metric shows; one, or it is wrong."""
        return [s for s in BreakerState if self.figure("state", breaker=breaker, state=s)]


async def test_calls_that_fail_open_the_breaker_of_their_party_alone(autojump_clock: object) -> None:
    bench = Bench()
    bench.call(AWAY)
    assert not bench.is_refused()
    bench.call(AWAY)
    assert bench.is_refused()
    assert not bench.is_refused(OTHER)
    with pytest.raises(BreakerOpenError, match=r"site:blog is not asked for 10 s; .*REFUSED"):
        bench.breakers.check(NAME, "posting")
    with pytest.raises(BreakerOpenError), bench.breakers.permit(NAME, "posting"):
        pytest.fail("there was a permit")


async def test_a_cancelled_call_says_nothing_of_the_party() -> None:
    bench = Bench()
    for _ in range(3):
        with trio.CancelScope() as scope, bench.breakers.permit(NAME, "posting"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    bench.call(AWAY)
    assert bench.breakers.standing(NAME).view.failures == 1


async def test_jobs_that_were_turned_away_are_told_once_when_the_party_may_be_asked_again(
    autojump_clock: object,
) -> None:
    bench = Bench()
    bench.call(AWAY)
    bench.call(AWAY)
    assert bench.is_refused(job="posting")
    assert bench.is_refused(job="learn")
    assert bench.is_refused(job="posting")
    await trio.sleep(11)
    bench.call()
    assert bench.changes == [(NAME, state) for state in ("open", "half_open", "closed")]
    assert bench.may_come == [[], [], ["learn", "posting"]]
    bench.breakers.obey(NAME, "open", "ada")
    bench.breakers.obey(NAME, "close", "ada")
    assert bench.may_come[-1] == []


async def test_metrics_are_there_from_the_start_and_follow(autojump_clock: object) -> None:
    bench = Bench()
    assert bench.states() == bench.states(OTHER) == ["closed"]
    assert bench.figure("rejected_total", breaker=NAME) == 0
    way = {"breaker": NAME, "from": "closed", "to": "open"}
    assert bench.figure("transitions_total", **way) == 0
    bench.call(AWAY)
    bench.call(AWAY)
    assert bench.is_refused()
    assert bench.states() == ["open"]
    assert bench.figure("transitions_total", **way) == 1
    assert bench.figure("rejected_total", breaker=NAME) == 1


async def test_opening_is_a_warning_and_closing_is_news(autojump_clock: object) -> None:
    bench = Bench()
    with structlog.testing.capture_logs() as logs:
        bench.call(AWAY)
        bench.call(AWAY)
        await trio.sleep(11)
        bench.call()
    found = [(line["log_level"], line["state"]) for line in logs if line["event"] == "breaker_changed"]
    assert found == [("warning", "open"), ("info", "half_open"), ("info", "closed")]


# ── people ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_look_says_how_it_is_with_the_party_and_what_to_do(autojump_clock: object) -> None:
    bench = Bench()
    assert bench.breakers.look(NAME) == "may be asked"
    bench.call(AWAY)
    assert bench.breakers.look(NAME) == f"failures in a row: 1, the last: {AWAY}"
    bench.call(AWAY)
    with pytest.raises(PartyUnavailableError, match="it does not answer: blog: net::ERR") as caught:
        bench.breakers.look(NAME)
    assert "nobody goes there; it is asked again in 10 s" in caught.value.remedy
    await trio.sleep(11)
    with pytest.raises(PartyUnavailableError) as caught:
        bench.breakers.look(NAME)
    assert "it is asked now" in caught.value.remedy


async def test_orders_are_named_with_who_gave_them_and_the_way_back() -> None:
    bench = Bench()
    bench.breakers.obey(NAME, "open", "ada")
    with pytest.raises(PartyUnavailableError, match="nobody goes there, by order of ada") as caught:
        bench.breakers.look(NAME)
    assert "orchestrator ctl breaker site:blog auto" in caught.value.remedy
    bench.breakers.obey(NAME, "close", "grace")
    assert "by order of grace" in bench.breakers.look(NAME)
    bench.call(AWAY)
    bench.call(AWAY)
    assert not bench.is_refused()
    bench.breakers.obey(NAME, "auto", "grace")
    standing = bench.breakers.standing(NAME)
    assert (standing.view.state, standing.forced_by) == ("closed", "")


async def test_an_unknown_breaker_or_order_is_refused_with_those_that_are_there() -> None:
    bench = Bench()
    with pytest.raises(ControlError, match="no breaker 'blog'") as caught:
        bench.breakers.obey("blog", "open", "ada")
    assert "site:blog, model" in caught.value.remedy
    with pytest.raises(ControlError, match="no order 'shut'") as caught:
        bench.breakers.obey(NAME, "shut", "ada")
    assert "open, close, auto" in caught.value.remedy
    assert bench.changes == []


# ── who comes back ──────────────────────────────────────────────────────────────────────────────


async def test_a_job_whose_call_failed_before_the_breaker_opened_is_told_too(autojump_clock: object) -> None:
    bench = Bench()
    bench.call(AWAY, job="learn")
    bench.call(job="plan")
    bench.call(AWAY, job="plan")
    bench.call(AWAY, job="posting")
    await trio.sleep(11)
    bench.call(job="another")
    assert bench.may_come[-1] == ["learn", "plan", "posting"]


async def test_a_job_whose_next_call_went_well_has_nothing_to_come_back_for(autojump_clock: object) -> None:
    bench = Bench()
    bench.call(AWAY, job="learn")
    bench.call(job="learn")
    bench.call(AWAY, job="posting")
    bench.call(AWAY, job="posting")
    await trio.sleep(11)
    bench.call(job="another")
    assert bench.may_come[-1] == ["posting"]


async def test_a_party_without_a_probe_is_asked_by_the_jobs_that_wait_for_it(autojump_clock: object) -> None:
    bench = Bench(party(probe=None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.breakers.run)
        bench.call(AWAY)
        bench.call(AWAY, job="learn")
        assert bench.is_refused(job="plan")
        await trio.sleep(10.5)  # and nobody looks meanwhile
        assert bench.changes[-1] == (NAME, "half_open")
        assert bench.may_come[-1] == ["learn", "plan", "posting"]
        bench.call(AWAY)
        await trio.sleep(20.5)
        assert bench.may_come[-1] == ["posting"]
        bench.call()
        assert bench.changes[-1] == (NAME, "closed")
        nursery.cancel_scope.cancel()


# ── parties that come late ──────────────────────────────────────────────────────────────────────


async def test_each_party_is_probed_whenever_it_was_added(autojump_clock: object) -> None:
    asked: list[str] = []

    async def ask_first() -> None:
        asked.append(NAME)

    async def ask_late() -> None:
        asked.append(OTHER)

    bench = Bench(party(NAME, ask_first))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.breakers.run)
        await trio.testing.wait_all_tasks_blocked()
        bench.breakers.add(party(OTHER, ask_late))
        assert bench.added == [NAME, OTHER]
        assert bench.states(OTHER) == ["closed"]
        for name in (NAME, OTHER):
            bench.call(AWAY, name)
            bench.call(AWAY, name)
        await trio.sleep(11)
        assert sorted(asked) == sorted([NAME, OTHER])
        assert not bench.is_refused(NAME)
        assert not bench.is_refused(OTHER)
        nursery.cancel_scope.cancel()


async def test_a_kept_order_waits_for_its_party() -> None:
    bench = Bench(party())
    bench.breakers.restore([(NAME, "open", "ada"), (OTHER, "close", "grace")])
    assert bench.breakers.standing(NAME).view.state == "forced_open"
    bench.breakers.add(party(OTHER))
    standing = bench.breakers.standing(OTHER)
    assert (standing.view.state, standing.forced_by) == ("forced_closed", "grace")


async def test_two_parties_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="there is a breaker 'model' already"):
        Bench(party(OTHER), party(OTHER))


def test_each_party_has_its_own_figures_and_those_of_all_where_it_has_none() -> None:
    settings = BreakersSettings.model_validate(
        {"failures": 7, "open_s": 20, "parties": {"model": {"open_max_s": 60, "failures": 2, "probe_s": 3}}}
    )
    assert rule_for(settings, "model", 9) == BreakerRule(2, 20, 60, probe_s=3)
    assert rule_for(settings, "cache", 9) == BreakerRule(7, 20, 300, probe_s=9)
