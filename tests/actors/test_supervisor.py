"""One for one: restarts, failed jobs, dependencies, orders of operators, the end."""

import sys
from random import Random
from typing import Any

import pytest
import trio
from structlog.typing import EventDict

from orchestrator.actors.actor import ActorState
from orchestrator.actors.job import Job
from orchestrator.actors.supervisor import RestartRule
from orchestrator.errors import ControlError, GraphError, PostRefusedError, SiteUnavailableError
from orchestrator.model import Ending, Outcome, done, nothing_to_do, over_budget
from orchestrator.retry import RetryRule
from tests.fakes import Highest, Stage, Step, Work, a_job, a_stage, make_stage, settle

HOUR_S = 3600.0
RULE = RestartRule(budget=3, window_s=100.0, delay=RetryRule(0, base_s=1.0, cap_s=4.0))


def bugs(count: int) -> Work:
    return Work([ZeroDivisionError("division by zero")] * count)


def restarts(stage: Stage, job: str = "plan") -> float:
    found = stage.metrics.registry.get_sample_value("orchestrator_job_restarts_total", {"job_name": job})
    assert found is not None
    return found


def run_now(stage: Stage, job: str = "plan") -> None:
    stage.supervisor.run_now(job, "alice")


async def crash_until_failed(stage: Stage, job: str = "plan") -> None:
    for _ in range(RULE.budget + 1):
        run_now(stage, job)
        await trio.sleep(5)
    assert stage.state(job) is ActorState.FAILED


# ── crashes ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_bug_crashes_only_its_own_actor_which_is_restarted(autojump_clock: object) -> None:
    bad, good = bugs(1), Work(is_held=True)
    async with a_stage([a_job("plan", bad), a_job("posting", good)]) as stage:
        run_now(stage, "posting")
        run_now(stage, "plan")
        await settle()
        assert [(name, outcome.ending, outcome.detail) for name, outcome, _ in stage.ended] == [
            ("plan", Ending.GIVEN_UP, "bug: ZeroDivisionError: division by zero")
        ]
        assert good.under_way == 1
        assert restarts(stage) == 1
        await trio.sleep(1.5 * HOUR_S)
    assert len(bad.runs) == 2


async def test_work_that_exits_the_program_is_a_bug_like_any_other(autojump_clock: object) -> None:
    async def exit_in_a_task() -> Outcome:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            sys.exit(1)

    good = Work(is_held=True)
    async with a_stage(
        [a_job("plan", Work([SystemExit(1), exit_in_a_task])), a_job("posting", good)]
    ) as stage:
        run_now(stage, "posting")
        for _ in range(2):
            run_now(stage, "plan")
            await trio.sleep(5)
        details = [outcome.detail for _, outcome, _ in stage.ended]
        assert details == ["bug: RuntimeError: the work called sys.exit"] * 2
        assert good.under_way == 1


async def test_work_that_ends_without_an_outcome_is_a_bug(autojump_clock: object) -> None:
    async def forget() -> Any:
        return None

    async with a_stage([a_job("plan", Work([forget]))]) as stage:
        run_now(stage)
        await settle()
        assert stage.endings == [Ending.GIVEN_UP]
        assert stage.ended[0][1].detail.startswith("bug: ")


async def test_a_crashed_run_is_not_repeated_before_its_next_turn(autojump_clock: object) -> None:
    work = bugs(1)
    async with a_stage([a_job("plan", work)]):
        await trio.sleep(2.5 * HOUR_S)
    assert work.gaps_s == [HOUR_S]


async def test_a_crash_is_logged_with_its_traceback_and_its_job(
    logs: list[EventDict], autojump_clock: object
) -> None:
    async with a_stage([a_job("plan", bugs(1))]) as stage:
        run_now(stage)
        await settle()
    crashes = [entry for entry in logs if entry["event"] == "actor_crashed"]
    assert [(entry["job"], entry["exc_info"]) for entry in crashes] == [("plan", True)]


async def test_restarts_back_off_with_full_jitter_and_a_cap(autojump_clock: object) -> None:
    rng = Highest()
    async with a_stage([a_job("plan", bugs(9))], rng=rng, rule=RestartRule(9, 600, RULE.delay)) as stage:
        for bound_s in (1.0, 2.0, 4.0, 4.0):
            run_now(stage)
            await trio.sleep(bound_s - 0.1)
            assert stage.state() is ActorState.BACKING_OFF
            assert rng.draws[-1] == (0.0, bound_s)
            await trio.sleep(0.2)
            assert stage.state() is ActorState.WAITING


async def test_what_wakes_a_crashed_actor_is_answered_after_its_restart(autojump_clock: object) -> None:
    work = bugs(1)
    async with a_stage([a_job("plan", work)], rng=Highest()) as stage:
        run_now(stage)
        await settle()
        stage.supervisor.wake("plan", "something happened")
        await trio.sleep(2)
    assert work.triggers == ["asked by alice", "something happened"]


async def test_more_crashes_than_the_budget_make_the_job_failed(autojump_clock: object) -> None:
    work = bugs(99)
    async with a_stage([a_job("plan", work), a_job("posting")], rule=RULE) as stage:
        await crash_until_failed(stage)
        actor = stage.supervisor.actors["plan"]
        assert actor.detail == "crashed 4 times in 100 s: ZeroDivisionError: division by zero"
        stage.supervisor.wake("plan", "something happened")
        await trio.sleep(24 * HOUR_S)
        assert stage.state("plan") is ActorState.FAILED
        assert [name for name, outcome, _ in stage.ended if outcome.ending is Ending.DONE] == ["posting"] * 24
    assert len(work.runs) == 4


async def test_crashes_far_apart_with_successes_between_them_never_make_a_job_failed(
    autojump_clock: object,
) -> None:
    bug = ZeroDivisionError("division by zero")
    steps: list[Step] = [bug, bug, done()] * 7
    async with a_stage([a_job("plan", Work(steps))], rule=RULE) as stage:
        for _ in steps:
            run_now(stage)
            await trio.sleep(40)
            assert stage.state() is ActorState.WAITING


async def test_a_slow_job_that_only_crashes_is_failed_too(autojump_clock: object) -> None:
    work = bugs(99)
    async with a_stage([a_job("plan", work)], rule=RULE) as stage:
        await trio.sleep(6 * HOUR_S)
        assert stage.state() is ActorState.FAILED
        assert stage.actor.detail == "crashed 4 times in a row: ZeroDivisionError: division by zero"
    assert len(work.runs) == 4


async def test_crashes_between_successes_make_a_job_failed_when_they_come_thick(
    autojump_clock: object,
) -> None:
    bug = ZeroDivisionError("division by zero")
    async with a_stage([a_job("plan", Work([bug, done()] * 9))], rule=RULE) as stage:
        for _ in range(7):
            run_now(stage)
            await trio.sleep(5)
        assert stage.state() is ActorState.FAILED
        assert stage.actor.detail == "crashed 4 times in 100 s: ZeroDivisionError: division by zero"


async def test_resume_starts_a_failed_job_afresh_with_a_whole_budget(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", bugs(4 + RULE.budget))], rule=RULE) as stage:
        await crash_until_failed(stage)
        stage.supervisor.resume("plan")
        await settle()
        for _ in range(RULE.budget):
            assert stage.state() is ActorState.WAITING
            run_now(stage)
            await trio.sleep(5)
        assert stage.endings == [Ending.GIVEN_UP] * (4 + RULE.budget)


async def test_an_operator_who_asks_for_a_run_of_a_failed_job_gets_it(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", bugs(4))], rule=RULE) as stage:
        await crash_until_failed(stage)
        run_now(stage)
        await settle()
        assert stage.endings == [Ending.GIVEN_UP] * 4 + [Ending.DONE]
        assert stage.state() is ActorState.WAITING


async def test_an_operator_who_asks_for_a_run_does_not_wait_for_the_restart(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", bugs(1))], rng=Highest()) as stage:
        run_now(stage)
        await settle()
        run_now(stage)
        await settle()
        assert stage.endings == [Ending.GIVEN_UP, Ending.DONE]
    assert trio.current_time() == 0


async def test_a_failure_that_was_foreseen_is_no_crash(autojump_clock: object) -> None:
    work = Work([PostRefusedError("the site says no"), SiteUnavailableError("no answer")])
    async with a_stage([a_job("plan", work)]) as stage:
        run_now(stage)
        await settle()
        run_now(stage)
        await settle()
        assert restarts_or_none(stage) is None


def restarts_or_none(stage: Stage) -> float | None:
    return stage.metrics.registry.get_sample_value("orchestrator_job_restarts_total", {"job_name": "plan"})


# ── dependencies ────────────────────────────────────────────────────────────────────────────────


async def test_success_wakes_what_comes_after_through_the_whole_chain(autojump_clock: object) -> None:
    posting, metrics, learn = Work(), Work(), Work()
    jobs = [
        a_job("plan"),
        a_job("posting", posting, after=("plan",)),
        a_job("metrics", metrics, after=("posting",)),
        a_job("learn", learn, after=("metrics",)),
    ]
    async with a_stage(jobs) as stage:
        run_now(stage, "plan")
        await settle()
    assert posting.triggers == ["plan is done"]
    assert metrics.triggers == ["posting is done"]
    assert learn.triggers == ["metrics is done"]


@pytest.mark.parametrize(
    "step",
    [
        nothing_to_do("no post"),
        over_budget("spent"),
        PostRefusedError("no"),
        SiteUnavailableError("no answer"),
        ZeroDivisionError("bug"),
    ],
    ids=str,
)
async def test_any_other_ending_wakes_nothing(step: Step, autojump_clock: object) -> None:
    posting = Work()
    plan = Work([step] * 4)
    async with a_stage([a_job("plan", plan), a_job("posting", posting, after=("plan",))]) as stage:
        run_now(stage, "plan")
        await settle()
    assert posting.runs == []


async def test_a_job_that_was_skipped_wakes_nothing(autojump_clock: object) -> None:
    posting = Work()
    async with a_stage([a_job("plan"), a_job("posting", posting, after=("plan",))]) as stage:
        stage.reasons["plan"] = "the database is down"
        run_now(stage, "plan")
        await settle()
    assert posting.runs == []


async def test_a_wake_for_a_job_that_is_off_is_no_error(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        stage.supervisor.wake("reconciliation", "a post is ambiguous")
        await settle()
        assert stage.ended == []


def test_wrong_dependencies_are_refused_before_anything_runs() -> None:
    with pytest.raises(GraphError, match="two jobs are named plan"):
        trio.run(_make, [a_job("plan"), a_job("plan")])
    with pytest.raises(GraphError, match="wait for each other"):
        trio.run(_make, [a_job("plan", after=("posting",)), a_job("posting", after=("plan",))])


async def _make(jobs: list[Job]) -> None:
    make_stage(jobs)


# ── orders of operators ─────────────────────────────────────────────────────────────────────────


async def test_a_pause_of_all_leaves_the_upkeep_of_the_house_going(autojump_clock: object) -> None:
    plan, health = Work(), Work()
    async with a_stage([a_job("plan", plan), a_job("health_monitor", health, is_upkeep=True)]) as stage:
        stage.supervisor.pause(None)
        await trio.sleep(3.5 * HOUR_S)
        assert (len(plan.runs), len(health.runs)) == (0, 3)
        stage.supervisor.resume(None)
        await settle()
    assert len(plan.runs) == 1


async def test_resume_of_all_resumes_upkeep_that_was_paused_by_name(autojump_clock: object) -> None:
    async with a_stage([a_job("health_monitor", is_upkeep=True)]) as stage:
        stage.supervisor.pause("health_monitor")
        stage.supervisor.resume(None)
        assert not stage.actor.is_paused


async def test_all_is_paused_when_every_job_but_the_upkeep_is(autojump_clock: object) -> None:
    jobs = [a_job("plan"), a_job("posting"), a_job("health_monitor", is_upkeep=True)]
    async with a_stage(jobs) as stage:
        supervisor, seen = stage.supervisor, []
        for order, name in (
            (supervisor.pause, "plan"),
            (supervisor.pause, "posting"),
            (supervisor.resume, "plan"),
            (supervisor.pause, None),
            (supervisor.resume, None),
        ):
            order(name)
            seen.append(supervisor.is_paused)
        assert seen == [False, True, False, True, False]


async def test_one_job_can_be_resumed_out_of_a_pause_of_all(autojump_clock: object) -> None:
    plan, posting = Work(), Work()
    async with a_stage([a_job("plan", plan), a_job("posting", posting)]) as stage:
        stage.supervisor.pause(None)
        stage.supervisor.resume("plan")
        await trio.sleep(1.5 * HOUR_S)
    assert (len(plan.runs), len(posting.runs)) == (1, 0)


async def test_an_unknown_job_is_a_clear_error_that_names_the_jobs(autojump_clock: object) -> None:
    async with a_stage([a_job("posting"), a_job("plan")]) as stage:
        supervisor = stage.supervisor
        for order in (supervisor.pause, supervisor.resume, lambda job: supervisor.run_now(job, "alice")):
            with pytest.raises(ControlError) as caught:
                order("postign")
            assert caught.value.line() == "there is no job 'postign'. Jobs: plan, posting."


async def test_the_jobs_that_run_now_are_known(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work(is_held=True)), a_job("posting")]) as stage:
        run_now(stage, "plan")
        await settle()
        assert stage.supervisor.running == ["plan"]


async def test_a_look_tells_of_failed_jobs_and_is_refused_when_one_is_stuck(autojump_clock: object) -> None:
    async def shielded() -> Outcome:
        with trio.CancelScope(shield=True):
            await trio.sleep(HOUR_S)
        return done()

    jobs = [a_job("plan", bugs(9)), a_job("posting", Work([shielded]), max_run_s=60)]
    async with a_stage(jobs, rule=RULE) as stage:
        assert stage.supervisor.look() == "2 jobs"
        await crash_until_failed(stage)
        assert stage.supervisor.look() == "2 jobs, failed: plan"
        run_now(stage, "posting")
        await trio.sleep(150)
        with pytest.raises(ControlError) as caught:
            stage.supervisor.look()
        assert caught.value.line() == "stuck: posting. Restart the daemon, and report the bug"


# ── the end ─────────────────────────────────────────────────────────────────────────────────────


async def test_drain_ends_waiting_paused_backing_off_crashed_and_failed_actors_at_once(
    autojump_clock: object,
) -> None:
    jobs = [
        a_job("waiting"),
        a_job("paused"),
        a_job("backing", Work([SiteUnavailableError("no answer")])),
        a_job("crashed", bugs(1)),
        a_job("failed", bugs(4)),
    ]
    async with a_stage(jobs, rng=Highest(), rule=RULE) as stage:
        await crash_until_failed(stage, "failed")
        stage.supervisor.pause("paused")
        run_now(stage, "backing")
        run_now(stage, "crashed")
        await settle()
        actors = stage.supervisor.actors
        assert [actor.state.value for actor in actors.values()] == [
            "waiting",
            "paused",
            "backing_off",
            "backing_off",
            "failed",
        ]
        start = trio.current_time()
        stage.supervisor.drain()
        await settle()
        assert stage.is_over
        assert trio.current_time() == start
        assert {actor.state for actor in actors.values()} == {ActorState.OFF}


async def test_drain_lets_running_jobs_finish_and_starts_nothing_new(autojump_clock: object) -> None:
    plan, posting = Work(is_held=True), Work()
    async with a_stage([a_job("plan", plan), a_job("posting", posting, after=("plan",))]) as stage:
        run_now(stage, "plan")
        await settle()
        stage.supervisor.drain()
        run_now(stage, "plan")
        run_now(stage, "posting")
        await trio.sleep(100)
        assert (stage.is_over, plan.under_way) == (False, 1)
        plan.release()
        await settle()
        assert stage.is_over
        assert stage.run_log.endings == [Ending.DONE]
    assert (len(plan.runs), posting.runs) == (1, [])


async def test_a_run_that_crashes_during_the_drain_delays_nothing(autojump_clock: object) -> None:
    work = Work([ZeroDivisionError("bug")], is_held=True)
    async with a_stage([a_job("plan", work)], rng=Highest(), rule=RestartRule(budget=0)) as stage:
        run_now(stage)
        await settle()
        stage.supervisor.drain()
        work.release()
        await settle()
        assert stage.is_over
    assert trio.current_time() == 0


async def test_a_run_that_fails_during_the_drain_is_not_retried(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")], is_held=True)
    async with a_stage([a_job("plan", work)], rng=Highest()) as stage:
        run_now(stage)
        await settle()
        stage.supervisor.drain()
        work.release()
        await settle()
        assert stage.is_over
        assert stage.endings == [Ending.RETRY]


async def test_a_drain_overrules_a_run_that_was_asked_for_in_the_same_breath(
    autojump_clock: object,
) -> None:
    waiting, backing = Work(), Work([SiteUnavailableError("no answer")])
    async with a_stage([a_job("waiting", waiting), a_job("backing", backing)], rng=Highest()) as stage:
        run_now(stage, "backing")
        await settle()
        run_now(stage, "waiting")
        run_now(stage, "backing")
        stage.supervisor.drain()
        await settle()
        assert stage.is_over
    assert (len(waiting.runs), len(backing.runs)) == (0, 1)


async def test_a_drain_before_the_start_ends_the_supervisor_at_once(autojump_clock: object) -> None:
    stage = make_stage([a_job("plan")])
    stage.supervisor.drain()
    await stage.supervisor.run()
    assert stage.ended == []


async def test_cancellation_ends_a_failed_and_a_crashed_actor(autojump_clock: object) -> None:
    async with a_stage(
        [a_job("plan", bugs(4)), a_job("posting", bugs(1))], rng=Highest(), rule=RULE
    ) as stage:
        await crash_until_failed(stage)
        run_now(stage, "posting")
        await settle()
        assert stage.state("posting") is ActorState.BACKING_OFF
        start = trio.current_time()
    assert trio.current_time() == start
    assert not stage.is_over


async def test_whatever_operators_do_no_job_runs_twice_at_once_and_none_is_lost(
    autojump_clock: object,
) -> None:
    rng = Random(7)
    steps: list[Step] = [SiteUnavailableError("no answer"), PostRefusedError("no"), ZeroDivisionError("bug")]
    works = {name: Work(rng.choices(steps, k=30)) for name in ("plan", "posting", "learn")}
    jobs = [a_job(name, work, every_s=60.0) for name, work in works.items()]
    async with a_stage(jobs, rng=rng) as stage:
        for _ in range(500):
            name = rng.choice(list(works))
            match rng.randrange(3):
                case 0:
                    run_now(stage, name)
                case 1:
                    stage.supervisor.pause(rng.choice([name, name, None]))
                case _:
                    stage.supervisor.resume(rng.choice([name, name, None]))
            stage.wall.jump(rng.uniform(-100, 100))
            await trio.sleep(rng.uniform(0, 20))
        stage.supervisor.resume(None)
        for name, work in works.items():
            work.script = ()
            before = len(work.runs)
            await trio.sleep(200)
            assert len(work.runs) > before, name
        assert not stage.is_over
    assert {work.most_at_once for work in works.values()} == {1}
