import itertools

import pytest
import trio
import trio.testing
from structlog.typing import EventDict

from orchestrator.actors.actor import ActorState
from orchestrator.actors.mailbox import Kind, Wake
from orchestrator.actors.pacer import BURST, RATE_PER_S, Pacer
from orchestrator.actors.schedule import STAGGER_MAX_S, stagger_s
from orchestrator.actors.watch import LOOK_EVERY_S
from tests.fakes import Work, a_job, a_stage, settle

DAY_S = 86_400.0
MANY = 500


class Crowd:
    """Many jobs, and when each of their runs began."""

    def __init__(self, **changes: object) -> None:
        self.works = [Work() for _ in range(MANY)]
        self.jobs = [a_job(f"job {n}", work, **changes) for n, work in enumerate(self.works)]

    @property
    def starts(self) -> list[float]:
        return sorted(at for work in self.works for at in work.at)


def most_in_a_second(starts: list[float]) -> int:
    return max(sum(begin <= at < begin + 1 for at in starts) for begin in starts)


def assert_paced(crowd: Crowd, *, after_s: float) -> None:
    """Each job ran once, within a minute from `after_s` on, never many at once."""
    assert [len(work.runs) for work in crowd.works] == [1] * MANY
    assert most_in_a_second(crowd.starts) <= RATE_PER_S + BURST
    assert max(crowd.starts) - after_s <= MANY / RATE_PER_S + STAGGER_MAX_S


# ── the pacer alone ─────────────────────────────────────────────────────────────────────────────


async def test_a_few_turns_are_granted_at_once(autojump_clock: object) -> None:
    pacer = Pacer(rate_per_s=2, burst=3)
    turns = [pacer.join(5, lambda: None) for _ in range(4)]
    assert [turn.is_granted for turn in turns] == [True, True, True, False]


async def test_further_turns_come_at_the_rate_and_are_told(autojump_clock: object) -> None:
    pacer, told = Pacer(rate_per_s=2, burst=1), list[float]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pacer.run)
        for _ in range(4):
            pacer.join(5, lambda: told.append(trio.current_time()))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert told == [0.5, 1.0, 1.5]  # the first one was granted at once, so it was not told


async def test_the_line_goes_by_priority_and_then_by_who_came_first(autojump_clock: object) -> None:
    pacer, order = Pacer(rate_per_s=1, burst=1), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pacer.run)
        pacer.join(0, lambda: None)
        for name, priority in (("a", 8), ("b", 5), ("c", 1), ("d", 5)):
            pacer.join(priority, lambda name=name: order.append(name))  # type: ignore[misc]
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert order == ["c", "b", "d", "a"]


async def test_whoever_leaves_the_line_costs_the_others_no_time(autojump_clock: object) -> None:
    pacer, told = Pacer(rate_per_s=1, burst=1), list[float]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pacer.run)
        pacer.join(0, lambda: None)
        gone = [pacer.join(1, lambda: told.append(-1.0)) for _ in range(100)]
        pacer.join(5, lambda: told.append(trio.current_time()))
        for turn in gone:
            pacer.leave(turn)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert told == [1.0]


async def test_an_idle_pacer_saves_up_no_more_than_its_burst(autojump_clock: object) -> None:
    pacer = Pacer(rate_per_s=10, burst=2)
    await trio.sleep(1000)
    assert [pacer.join(5, lambda: None).is_granted for _ in range(3)] == [True, True, False]


async def test_a_pacer_can_be_cancelled_while_it_is_idle_and_while_a_line_waits(
    autojump_clock: object,
) -> None:
    for count in (0, 3):
        pacer = Pacer(rate_per_s=0.001, burst=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pacer.run)
            for _ in range(count):
                pacer.join(5, lambda: None)
            await settle()
            nursery.cancel_scope.cancel()
    assert trio.current_time() == 0


# ── many jobs at once ───────────────────────────────────────────────────────────────────────────


async def test_five_hundred_overdue_jobs_start_one_after_the_other(autojump_clock: object) -> None:
    crowd = Crowd()
    async with a_stage(crowd.jobs, is_overdue=True):
        await trio.sleep(600)
    assert_paced(crowd, after_s=0)
    for work, job in zip(crowd.works, crowd.jobs, strict=True):
        assert work.at[0] >= stagger_s(job) - 1e-3  # the hash still says who comes first


async def test_after_a_long_sleep_of_the_machine_five_hundred_jobs_start_one_after_the_other(
    autojump_clock: object, logs: list[EventDict]
) -> None:
    crowd = Crowd(every_s=DAY_S)
    async with a_stage(crowd.jobs) as stage:
        await trio.sleep(60)
        stage.wall.jump(3 * DAY_S)
        await trio.sleep(LOOK_EVERY_S + MANY / RATE_PER_S + 1)
    assert_paced(crowd, after_s=60 + LOOK_EVERY_S)
    assert "clock_jumped" in [entry["event"] for entry in logs]


async def test_after_a_resume_of_all_five_hundred_jobs_start_one_after_the_other(
    autojump_clock: object,
) -> None:
    crowd = Crowd()
    async with a_stage(crowd.jobs) as stage:
        stage.supervisor.pause(None)
        await trio.sleep(5 * 3600)
        stage.supervisor.resume(None)
        await trio.sleep(60)
    assert_paced(crowd, after_s=5 * 3600)


async def test_when_the_house_recovers_what_was_skipped_starts_one_after_the_other(
    autojump_clock: object,
) -> None:
    crowd = Crowd()
    async with a_stage(crowd.jobs) as stage:
        for actor in stage.supervisor.actors.values():
            actor.mailbox.put(Wake(Kind.EVENT, "the house has recovered"))
        await trio.sleep(60)
    assert_paced(crowd, after_s=0)


async def test_critical_jobs_upkeep_and_what_an_operator_asks_for_are_not_held_up(
    autojump_clock: object,
) -> None:
    crowd, posting, upkeep = Crowd(every_s=DAY_S), Work(), Work()
    jobs = [
        *crowd.jobs,
        a_job("posting", posting, priority=0, every_s=DAY_S),
        a_job("health_monitor", upkeep, is_upkeep=True, priority=9, every_s=DAY_S),
    ]
    async with a_stage(jobs) as stage:
        stage.wall.jump(2 * DAY_S)
        await trio.sleep(LOOK_EVERY_S + 0.05)
        assert (posting.at, upkeep.at) == ([LOOK_EVERY_S], [LOOK_EVERY_S])
        waiting = [name for name, actor in stage.supervisor.actors.items() if actor.detail]
        assert len(waiting) == MANY - BURST
        stage.supervisor.run_now(waiting[-1], "alice")
        await settle()
        assert stage.supervisor.actors[waiting[-1]].history.last is not None
        await trio.sleep(100)
    assert [len(work.runs) for work in crowd.works] == [1] * MANY


async def test_more_urgent_jobs_start_before_the_others(autojump_clock: object) -> None:
    crowd, urgent = Crowd(every_s=DAY_S, priority=8), [Work() for _ in range(5)]
    jobs = [*crowd.jobs, *(a_job(f"a {n}", w, every_s=DAY_S, priority=1) for n, w in enumerate(urgent))]
    async with a_stage(jobs) as stage:
        stage.wall.jump(2 * DAY_S)
        await trio.sleep(200)
    assert max(at for work in urgent for at in work.at) <= LOOK_EVERY_S + 2


async def test_whoever_waits_for_its_turn_says_so_and_can_be_paused_and_drained(
    autojump_clock: object,
) -> None:
    jobs = [a_job(f"job {n}", every_s=DAY_S) for n in range(5)]
    async with a_stage(jobs, pacer=Pacer(rate_per_s=0.01, burst=1)) as stage:
        stage.wall.jump(2 * DAY_S)
        await trio.sleep(LOOK_EVERY_S + 1)
        actors = list(stage.supervisor.actors.values())
        said = "for its turn: many jobs are due and start one by one"
        assert sorted(actor.detail for actor in actors) == ["", said, said, said, said]
        held = [actor for actor in actors if actor.detail]
        stage.supervisor.pause(held[0].job.name)
        await settle()
        assert (held[0].state, held[0].detail) == (ActorState.PAUSED, "")
        await trio.sleep(100)
        assert len(stage.ended) == 2
        stage.supervisor.drain()
        await settle()
        assert stage.is_over


async def test_on_a_usual_day_nobody_waits(autojump_clock: object) -> None:
    plan, posting, learn = Work(), Work(), Work()
    jobs = [
        a_job("plan", plan),
        a_job("posting", posting, after=("plan",)),
        a_job("learn", learn, after=("posting",)),
    ]
    async with a_stage(jobs) as stage:
        stage.supervisor.run_now("plan", "alice")
        await settle()
    assert [work.at for work in (plan, posting, learn)] == [[0.0]] * 3


@pytest.mark.parametrize("rate_per_s", [0.3, 3.0, 7.0])
async def test_the_rate_holds_over_any_stretch_of_time(rate_per_s: float, autojump_clock: object) -> None:
    pacer, told = Pacer(rate_per_s, burst=1), list[float]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pacer.run)
        for _ in range(200):
            pacer.join(5, lambda: told.append(trio.current_time()))
        await trio.sleep(1000)
        nursery.cancel_scope.cancel()
    assert min(b - a for a, b in itertools.pairwise(told)) == pytest.approx(1 / rate_per_s)
