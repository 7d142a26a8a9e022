"""The rules of the breaker, one by one; `docs/breaker.md` has them in words."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random

import pytest
import trio
import trio.testing

from orchestrator.breaker import (
    TRANSITIONS,
    Breaker,
    BreakerRule,
    BreakerState,
    Permit,
    Transition,
    Verdict,
    judge_by,
)
from orchestrator.errors import (
    BreakerOpenError,
    DatabaseUnavailableError,
    PostRefusedError,
    SiteError,
    SiteUnavailableError,
)
from tests.fakes import Highest, Lowest

AWAY = SiteUnavailableError("blog did not answer")
REFUSED = PostRefusedError("the blog said no")
BUG = ZeroDivisionError("bug")
RULE = BreakerRule(failures=3, open_s=10, open_max_s=60, probes=1, probe_s=4)
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
FORCED_OPEN, FORCED_CLOSED = BreakerState.FORCED_OPEN, BreakerState.FORCED_CLOSED


class Bench:
    """A breaker with a party that can be told how to answer, and a record of what happened."""

    def __init__(self, rule: BreakerRule = RULE, rng: Random | None = None) -> None:
        self.transitions: list[Transition] = []
        self.begun: list[AbstractContextManager[Permit]] = []
        self.asked_at: list[float] = []
        self.answer: Exception | None = None
        self.answers_after_s = 0.0
        self.breaker = Breaker(
            "blog", rule, judge_by(SiteError), rng=rng or Highest(), on_change=self.transitions.append
        )

    @property
    def state(self) -> BreakerState:
        return self.breaker.view().state

    @property
    def ways(self) -> list[tuple[BreakerState, BreakerState]]:
        return [(way.old, way.new) for way in self.transitions]

    def call(self, *answers: BaseException | None) -> None:
        for answer in answers:
            try:
                with self.breaker.permit():
                    if answer is not None:
                        raise answer
            except type(answer or BUG):
                pass

    def open(self) -> None:
        self.call(*[AWAY] * self.breaker.rule.failures)
        assert self.state is OPEN

    async def open_and_wait(self) -> None:
        self.open()
        await trio.sleep(self.breaker.rule.open_s)
        assert self.state is HALF_OPEN

    def is_refused(self) -> bool:
        """What `check` foresees, which takes nothing, is what becomes of a permit."""
        is_foreseen = False
        try:
            self.breaker.check()
        except BreakerOpenError:
            is_foreseen = True
        try:
            with self.breaker.permit():
                raise BUG  # neutral: asking is all we want
        except BreakerOpenError:
            assert is_foreseen
            return True
        except ZeroDivisionError:
            assert not is_foreseen
            return False

    def begin(self) -> AbstractContextManager[Permit]:
        call = self.breaker.permit()
        call.__enter__()
        self.begun.append(call)  # or the garbage collector would end it
        return call

    async def probe(self) -> None:
        self.asked_at.append(trio.current_time())
        await trio.sleep(self.answers_after_s)
        if self.answer is not None:
            raise self.answer


def end(call: AbstractContextManager[Permit], error: BaseException | None = None) -> None:
    """End a call that `Bench.begin` began."""
    if error is None:
        call.__exit__(None, None, None)
    else:
        assert not call.__exit__(type(error), error, None)


# ── closed: rule 1 ──────────────────────────────────────────────────────────────────────────────


async def test_so_many_failures_in_a_row_open_it_and_not_one_fewer(autojump_clock: object) -> None:
    bench = Bench()
    bench.call(AWAY, AWAY)
    assert bench.state is CLOSED
    bench.call(AWAY)
    assert bench.state is OPEN
    assert bench.is_refused()


@pytest.mark.parametrize("success", [None, REFUSED], ids=["an answer", "a refusal: the party is alive"])
async def test_a_success_between_them_counts_anew(success: Exception | None, autojump_clock: object) -> None:
    bench = Bench()
    bench.call(AWAY, AWAY, success, AWAY, AWAY)
    assert bench.state is CLOSED


@pytest.mark.parametrize("neutral", [BUG, DatabaseUnavailableError("another party"), KeyboardInterrupt()])
async def test_what_says_nothing_of_the_party_neither_counts_nor_counts_anew(
    neutral: BaseException, autojump_clock: object
) -> None:
    bench = Bench()
    bench.call(*[neutral] * 5)
    assert bench.state is CLOSED
    bench.call(AWAY, AWAY, neutral, AWAY)
    assert bench.state is OPEN


async def test_a_cancelled_call_is_neutral(autojump_clock: object) -> None:
    bench = Bench()
    bench.call(AWAY, AWAY)
    for _ in range(5):
        with trio.move_on_after(1), bench.breaker.permit():
            await trio.sleep_forever()
    assert bench.breaker.view().failures == 2


async def test_a_cancellation_among_several_errors_is_neutral(autojump_clock: object) -> None:
    bench = Bench()
    with pytest.RaisesGroup(SiteUnavailableError), trio.CancelScope() as scope, bench.breaker.permit():
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            raise BaseExceptionGroup("both", [cancelled, AWAY]) from None  # noqa: ASYNC104 - raised in a group
    assert bench.breaker.view().failures == 0


@pytest.mark.parametrize(
    ("errors", "failures"),
    [
        ([REFUSED, ExceptionGroup("inner", [BUG, AWAY])], 3),
        ([REFUSED, BUG], 2),
        ([REFUSED, REFUSED], 0),
    ],
    ids=["one is a failure", "one is neutral", "all are answers"],
)
async def test_a_group_is_a_failure_if_one_of_its_errors_is_else_neutral_if_one_is(
    errors: list[Exception], failures: int, autojump_clock: object
) -> None:
    bench = Bench(BreakerRule(failures=9))
    bench.call(AWAY, AWAY, ExceptionGroup("group", errors))
    view = bench.breaker.view()
    assert (view.failures, view.last_error) == (failures, "blog did not answer")


async def test_a_judge_with_a_bug_leaks_no_permit(autojump_clock: object) -> None:
    def judge(error: Exception) -> Verdict:
        if error is BUG:
            raise RuntimeError("a bug in the judge")
        return Verdict.FAILURE

    breaker = Breaker("blog", RULE, judge, rng=Highest())
    breaker.force_open()
    breaker.unforce()
    with pytest.raises(RuntimeError), breaker.permit():
        raise BUG
    assert breaker.view().probes == 0


# ── open: rules 2 and 6 ─────────────────────────────────────────────────────────────────────────


async def test_open_it_refuses_until_the_open_time_is_over(autojump_clock: object) -> None:
    bench = Bench()
    bench.open()
    await trio.sleep(9.9)
    assert (bench.state, bench.is_refused()) == (OPEN, True)
    await trio.sleep(0.1)
    assert (bench.state, bench.is_refused()) == (HALF_OPEN, False)


async def test_the_refusal_says_when_and_why_and_costs_no_attempt(autojump_clock: object) -> None:
    bench = Bench()
    bench.open()
    await trio.sleep(4)
    with pytest.raises(BreakerOpenError) as caught, bench.breaker.permit():
        pytest.fail("a call was let through")
    error = caught.value
    assert str(error) == "blog is not asked for 6 s; its latest failure: blog did not answer"
    assert (error.breaker, error.retry_in_s, error.last_error) == ("blog", 6, "blog did not answer")
    assert (error.failure, error.costs_attempt) == ("transient", False)


async def test_each_opening_in_a_row_lasts_twice_as_long_up_to_the_cap(autojump_clock: object) -> None:
    bench = Bench()
    bench.open()
    times_s = []
    for _ in range(5):
        wait_s = bench.breaker.view().next_probe_in_s
        assert wait_s is not None
        times_s.append(wait_s)
        await trio.sleep(wait_s)
        bench.call(AWAY)
    assert times_s == [10, 20, 40, 60, 60]


async def test_closing_begins_anew_with_the_shortest_open_time(autojump_clock: object) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.call(AWAY)
    await trio.sleep(20)
    bench.call(None)
    assert bench.state is CLOSED
    bench.call(AWAY, AWAY)
    assert bench.state is CLOSED
    bench.call(AWAY)
    assert bench.breaker.view().next_probe_in_s == 10


async def test_the_open_time_is_drawn_from_the_upper_half_of_its_bound(autojump_clock: object) -> None:
    highest, lowest = Highest(), Lowest()
    Bench(rng=highest).open()
    assert highest.draws == [(5, 10)]
    bench = Bench(rng=lowest)
    bench.open()
    assert bench.breaker.view().next_probe_in_s == 5


async def test_the_wall_clock_plays_no_part(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.open()
    for day in (1, -1, 400):
        monkeypatch.setattr(time, "time", lambda day=day: 1.8e9 + day * 86_400)
        monkeypatch.setattr(time, "monotonic", lambda day=day: day * 86_400.0)
        assert (bench.state, bench.breaker.view().next_probe_in_s) == (OPEN, 10)
    await trio.sleep(10)
    assert bench.state is HALF_OPEN


# ── half-open: rules 3, 4 and 5 ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answer", [None, REFUSED])
async def test_a_probe_that_the_party_answers_closes_it(
    answer: Exception | None, autojump_clock: object
) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.call(answer)
    assert bench.state is CLOSED
    assert bench.breaker.view().failures == 0


async def test_a_probe_that_fails_opens_it_again(autojump_clock: object) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.call(AWAY)
    assert bench.state is OPEN
    assert bench.breaker.view().failures == 4


@pytest.mark.parametrize("probes", [1, 3])
async def test_never_more_probes_at_once_than_the_rule_allows(probes: int, autojump_clock: object) -> None:
    bench = Bench(BreakerRule(failures=3, probes=probes, open_s=10, open_max_s=60))
    await bench.open_and_wait()
    calls = [bench.begin() for _ in range(probes)]
    assert bench.breaker.view().probes == probes
    assert bench.is_refused()
    with pytest.raises(BreakerOpenError, match="blog is not asked while it is being probed"):
        bench.begin()
    end(calls.pop())
    assert bench.state is CLOSED


@pytest.mark.parametrize("neutral", [trio.Cancelled._create(source="unknown"), BUG])
async def test_a_neutral_probe_decides_nothing_and_makes_room_for_the_next(
    neutral: BaseException, autojump_clock: object
) -> None:
    bench = Bench()
    await bench.open_and_wait()
    call = bench.begin()
    assert bench.is_refused()
    end(call, neutral)
    assert bench.state is HALF_OPEN
    assert not bench.is_refused()


async def test_a_probe_that_never_comes_back_has_failed_at_its_deadline(autojump_clock: object) -> None:
    bench = Bench()
    await bench.open_and_wait()
    dropped = bench.begin()
    await trio.sleep(3.9)
    assert bench.state is HALF_OPEN
    await trio.sleep(0.1)
    view = bench.breaker.view()
    assert (view.state, view.failures, view.probes) == (OPEN, 4, 0)
    assert view.last_error == "a probe did not come back within 4 s"
    assert view.next_probe_in_s == 20
    end(dropped)
    assert bench.state is OPEN, "an answer after the deadline is none"


async def test_the_oldest_probe_alone_decides_when_it_does_not_come_back(autojump_clock: object) -> None:
    bench = Bench(BreakerRule(failures=3, open_s=10, open_max_s=60, probes=2, probe_s=4))
    await bench.open_and_wait()
    bench.begin()
    await trio.sleep(3)
    end(bench.begin(), BUG)
    younger = bench.begin()
    await trio.sleep(1)
    assert bench.state is OPEN
    end(younger)
    assert bench.state is OPEN, "it belongs to an older generation"


@pytest.mark.parametrize("late", [None, AWAY])
async def test_a_call_that_began_before_a_change_changes_nothing_after_it(
    late: Exception | None, autojump_clock: object
) -> None:
    bench = Bench()
    calls = [bench.begin() for _ in range(12)]
    bench.open()
    end(calls.pop(), late)
    assert (bench.state, bench.breaker.view().failures) == (OPEN, 3)
    await trio.sleep(10)
    end(calls.pop(), late)
    assert bench.state is HALF_OPEN
    bench.call(None)
    for call in calls:
        end(call, late)
    assert (bench.state, bench.breaker.view().failures) == (CLOSED, 0)


async def test_what_was_due_counts_from_when_it_was_due_however_late_somebody_looks(
    autojump_clock: object,
) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.begin()
    await trio.sleep(4 + 20 + 5)  # the probe's deadline, the second open time, and more
    view = bench.breaker.view()
    assert (view.state, view.in_state_s) == (HALF_OPEN, 5)
    assert bench.ways[-2:] == [(HALF_OPEN, OPEN), (OPEN, HALF_OPEN)]


# ── the keeper: rule 7 ──────────────────────────────────────────────────────────────────────────


async def test_it_comes_back_without_traffic_as_soon_as_the_open_time_is_over(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    bench = Bench()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    bench.answers_after_s = 1
    begin = trio.current_time()
    bench.open()
    await trio.sleep(10.9)
    assert bench.asked_at == [begin + 10]
    assert bench.state is HALF_OPEN
    await trio.sleep(0.1)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.state is CLOSED
    await trio.sleep(1000)
    assert len(bench.asked_at) == 1, "a closed breaker is not probed"


@pytest.mark.parametrize("answer", [AWAY, BUG], ids=["failed", "can't tell"])
async def test_it_goes_on_probing_with_growing_pauses_while_the_party_is_away(
    answer: Exception, autojump_clock: object, nursery: trio.Nursery
) -> None:
    bench = Bench()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    bench.answer = answer
    begin = trio.current_time()
    bench.open()
    await trio.sleep(200)
    assert bench.asked_at == [begin + moment for moment in (10, 30, 70, 130, 190)]
    assert bench.breaker.view().failures == 3 + 5
    assert str(answer) in bench.breaker.view().last_error
    bench.answer = None
    await trio.sleep(60)
    assert bench.state is CLOSED


async def test_a_probe_of_the_keeper_that_hangs_is_cancelled_at_its_deadline(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    bench = Bench()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    bench.answers_after_s = 1e6
    begin = trio.current_time()
    bench.open()
    await trio.sleep(100)
    assert bench.asked_at == [begin + moment for moment in (10, 10 + 4 + 20, 34 + 4 + 40)]
    assert bench.breaker.view().last_error == "a probe did not come back within 4 s"


async def test_an_answer_that_says_no_is_a_sign_of_life(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    bench = Bench()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    bench.answer = REFUSED
    bench.open()
    await trio.sleep(11)
    assert bench.state is CLOSED


async def test_nobody_takes_the_place_of_the_keeper(autojump_clock: object, nursery: trio.Nursery) -> None:
    bench = Bench()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    await trio.testing.wait_all_tasks_blocked()
    bench.breaker.force_open()
    bench.breaker.unforce()
    assert (bench.state, bench.is_refused()) == (HALF_OPEN, True), "before the keeper has had its turn"
    await trio.testing.wait_all_tasks_blocked()
    assert bench.state is CLOSED


async def test_further_probes_are_for_callers(autojump_clock: object, nursery: trio.Nursery) -> None:
    bench = Bench(BreakerRule(failures=3, open_s=10, open_max_s=60, probes=2, probe_s=4))
    bench.answers_after_s = 2
    nursery.start_soon(bench.breaker.keep, bench.probe)
    await bench.open_and_wait()
    await trio.testing.wait_all_tasks_blocked()
    call = bench.begin()
    assert (bench.breaker.view().probes, bench.is_refused()) == (2, True)
    end(call)
    assert bench.state is CLOSED


async def test_with_a_keeper_that_hangs_callers_probe(autojump_clock: object, nursery: trio.Nursery) -> None:
    async def hang() -> None:
        with trio.CancelScope(shield=True):
            await released.wait()

    bench, released = Bench(), trio.Event()
    nursery.start_soon(bench.breaker.keep, hang)
    bench.open()
    await trio.sleep(10 + 4)
    assert bench.state is OPEN, "the probe's deadline holds even if the probe does not end"
    await trio.sleep(20)
    bench.call(None)
    assert bench.state is CLOSED
    released.set()


async def test_the_keeper_comes_back_when_callers_have_dropped_every_probe(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.begin()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    await trio.sleep(4 + 20)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.state is CLOSED


async def test_the_keeper_probes_at_once_when_a_neutral_end_makes_room(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    bench = Bench()
    await bench.open_and_wait()
    call = bench.begin()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.asked_at == []
    end(call, BUG)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.state is CLOSED


async def test_a_cancelled_keeper_leaves_its_probe_and_its_place_to_others(autojump_clock: object) -> None:
    bench = Bench()
    bench.answers_after_s = 3
    await bench.open_and_wait()
    with trio.move_on_after(1):
        await bench.breaker.keep(bench.probe)
    assert (bench.state, bench.breaker.view().probes) == (HALF_OPEN, 0)
    assert not bench.is_refused()
    bench.call(None)
    with trio.move_on_after(1):
        await bench.breaker.keep(bench.probe)
    await bench.open_and_wait()
    assert not bench.is_refused(), "nor does one that was cancelled while it waited"


# ── operators: rule 8 ───────────────────────────────────────────────────────────────────────────


async def test_forced_open_it_refuses_until_it_is_unforced_and_a_probe_succeeds(
    autojump_clock: object,
) -> None:
    bench = Bench()
    bench.breaker.force_open()
    await trio.sleep(86_400)
    assert bench.state is FORCED_OPEN
    with pytest.raises(BreakerOpenError, match="blog is not asked, by order of an operator") as caught:
        bench.begin()
    assert caught.value.retry_in_s is None
    bench.breaker.unforce()
    assert bench.state is HALF_OPEN
    bench.call(None)
    assert bench.state is CLOSED


async def test_forced_open_it_is_not_even_probed(autojump_clock: object, nursery: trio.Nursery) -> None:
    bench = Bench()
    nursery.start_soon(bench.breaker.keep, bench.probe)
    bench.open()
    bench.breaker.force_open()
    await trio.sleep(86_400)
    assert bench.asked_at == []
    bench.breaker.unforce()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.state is CLOSED


async def test_forced_closed_it_lets_everything_through_whatever_comes_of_it(autojump_clock: object) -> None:
    bench = Bench()
    bench.open()
    bench.breaker.force_closed()
    bench.call(*[AWAY] * 10)
    assert not bench.is_refused()
    bench.breaker.unforce()
    view = bench.breaker.view()
    assert (view.state, view.failures) == (CLOSED, 0)


async def test_an_operators_word_begins_anew_with_the_shortest_open_time(autojump_clock: object) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.call(AWAY)
    bench.breaker.force_open()
    bench.breaker.unforce()
    bench.call(AWAY)
    view = bench.breaker.view()
    assert (view.failures, view.next_probe_in_s) == (1, 10)


@pytest.mark.parametrize(
    "say", [Breaker.unforce, Breaker.force_open, Breaker.force_closed], ids=lambda say: say.__name__
)
async def test_the_same_word_twice_is_one_change(
    say: Callable[[Breaker], None], autojump_clock: object
) -> None:
    bench = Bench()
    say(bench.breaker)
    before = list(bench.transitions)
    call = bench.begin() if say is not Breaker.force_open else None
    say(bench.breaker)
    assert bench.transitions == before
    if call is not None:
        end(call)


# ── what people see ─────────────────────────────────────────────────────────────────────────────


async def test_it_tells_of_each_change_and_why(autojump_clock: object) -> None:
    bench = Bench()
    await bench.open_and_wait()
    bench.call(None)
    bench.breaker.force_closed()
    bench.breaker.unforce()
    assert bench.transitions == [
        Transition("blog", CLOSED, OPEN, "failures in a row: 3, the last: blog did not answer"),
        Transition("blog", OPEN, HALF_OPEN, "the open time is over"),
        Transition("blog", HALF_OPEN, CLOSED, "a probe succeeded"),
        Transition("blog", CLOSED, FORCED_CLOSED, "by an operator"),
        Transition("blog", FORCED_CLOSED, CLOSED, "not forced any more"),
    ]
    assert all(new in TRANSITIONS[old] for old, new in bench.ways)


async def test_whoever_is_told_of_a_change_sees_it_made(autojump_clock: object) -> None:
    seen: list[tuple[BreakerState, BreakerState]] = []
    breaker = Breaker(
        "blog",
        BreakerRule(failures=1),
        lambda error: Verdict.FAILURE,
        rng=Highest(),
        on_change=lambda way: seen.append((way.new, breaker.view().state)),
    )
    with pytest.raises(ZeroDivisionError), breaker.permit():
        raise BUG
    assert seen == [(OPEN, OPEN)]


async def test_the_view_says_where_it_stands_since_when_and_what_comes_next(autojump_clock: object) -> None:
    bench = Bench()
    await trio.sleep(5)
    view = bench.breaker.view()
    assert (view.name, view.state, view.in_state_s, view.next_probe_in_s) == ("blog", CLOSED, 5, None)
    assert (view.failures, view.probes, view.last_error) == (0, 0, "")
    bench.call(AWAY, AWAY, SiteUnavailableError("two\nlines"))
    await trio.sleep(3)
    view = bench.breaker.view()
    assert (view.state, view.in_state_s, view.next_probe_in_s) == (OPEN, 3, 7)
    assert (view.failures, view.last_error) == (3, "two lines")
    await trio.sleep(8)
    view = bench.breaker.view()
    assert (view.state, view.in_state_s, view.next_probe_in_s) == (HALF_OPEN, 1, 0)


@pytest.mark.parametrize(
    "figures",
    [
        {"failures": 0},
        {"probes": 0},
        {"probe_s": 0},
        {"open_s": 0},
        {"open_s": 10, "open_max_s": 9},
    ],
)
def test_a_rule_with_which_it_would_stick_is_refused(figures: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a breaker needs"):
        BreakerRule(**figures)  # type: ignore[arg-type]
