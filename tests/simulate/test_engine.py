"""Days that can be reckoned by hand."""

import os
import subprocess
import sys

import pytest
from trio._core import _run

from orchestrator.allocator import LeaseEnd
from orchestrator.errors import GraphError
from orchestrator.model import Ending
from orchestrator.settings import AllocatorSettings
from orchestrator.simulate.engine import Options, Policy, simulate
from orchestrator.simulate.figures import figures_of
from orchestrator.simulate.load import read_load
from orchestrator.simulate.work import SimulatedWork
from tests.simulate.loads import a_job, requests, run, waits

FIRST = a_job("first", 90, at="00:10")
SECOND = a_job("second", 30, at="00:11")


@pytest.mark.parametrize("policy", Policy)
def test_of_two_jobs_on_one_context_the_second_waits_for_the_rest_of_the_firsts_run(policy: Policy) -> None:
    trace = run(FIRST, SECOND, policy=policy)
    assert (waits(trace, "first"), waits(trace, "second")) == ([0], [30])
    assert [request.held_s for request in trace.requests] == pytest.approx([90, 30])
    assert [start.late_s for start in trace.starts] == pytest.approx([0, 30], abs=1e-3)


LONG = a_job("long", 180, at="00:10")
LOW = a_job("low", 30, at="00:11", priority=8)
CRITICAL = a_job("critical", 30, at="00:12", priority=0)


def test_first_come_first_served_lets_critical_work_wait_for_all_who_came_before() -> None:
    trace = run(LONG, LOW, CRITICAL, policy=Policy.FIFO)
    assert (waits(trace, "low"), waits(trace, "critical")) == ([120], [90])


def test_the_allocator_takes_the_context_for_critical_work_from_a_holder_that_does_not_listen() -> None:
    # Its patience is 60 - 15 - 15 = 30 s, then the holder has 15 s.
    trace = run(LONG, LOW, CRITICAL, critical_wait_s=60, grace_s=15, cleanup_s=15)
    assert waits(trace, "critical") == [45]
    taken = requests(trace, "long")[0]
    assert (taken.end, taken.is_called_back) == (LeaseEnd.REVOKED, True)
    assert taken.held_s == pytest.approx(165)


def test_a_batch_gives_its_context_back_between_two_items_and_goes_on_with_the_rest_later() -> None:
    batch = a_job("long", 180, at="00:10", items=20)
    trace = run(batch, LOW, CRITICAL, critical_wait_s=60, grace_s=15, cleanup_s=15)
    # Called back after 150 s, in the 17th item of 9 s. Then critical 30 s, low 30 s, and the last 3 items.
    assert (waits(trace, "critical"), waits(trace, "low"), waits(trace, "long")) == ([33], [123], [0, 60])
    assert [request.held_s for request in requests(trace, "long")] == pytest.approx([153, 27])
    assert {request.end for request in trace.requests} == {LeaseEnd.RELEASED}
    assert trace.endings["long"] == {Ending.DONE: 1}


def test_a_batch_has_a_lease_for_so_many_items() -> None:
    trace = run(a_job("batch", 50, at="00:10", items=5, batch=2))
    assert [request.held_s for request in trace.requests] == pytest.approx([20, 20, 10])


def test_a_lease_that_is_held_too_long_expires_and_its_context_is_rebuilt() -> None:
    trace = run(a_job("long", 180, at="00:10"), a_job("next", 10, at="00:11"), max_hold_s=100)
    assert requests(trace, "long")[0].end is LeaseEnd.EXPIRED
    assert waits(trace, "next") == [41]  # 100 s of hold and 1 s to rebuild it, from 60 s on


def test_a_job_without_a_context_waits_for_nobody() -> None:
    trace = run(LONG, a_job("free", 5, at="00:11", context=False))
    assert [start.late_s for start in trace.starts] == pytest.approx([0, 0], abs=1e-3)
    assert requests(trace, "free") == []


def test_a_job_that_is_done_wakes_what_comes_after() -> None:
    trace = run(FIRST, a_job("follower", 10, at="05:00", after=("first",)))
    (start,) = [start for start in trace.starts if start.job == "follower"]
    assert [start.due_s, start.started_s] == pytest.approx([690, 690])


def test_a_run_that_finds_nothing_to_do_takes_no_context_and_wakes_nobody() -> None:
    idle = a_job("idle", 90, at="00:10", idle_share=1.0)
    trace = run(idle, a_job("follower", 10, at="05:00", after=("idle",)))
    assert trace.requests == []
    assert trace.endings == {"idle": {Ending.NOTHING_TO_DO: 1}}


def test_a_run_that_fails_is_tried_again_and_counts_as_one_run() -> None:
    trace = run(a_job("failing", 10, at="00:10", failure_rate=1.0))
    assert trace.endings["failing"][Ending.GIVEN_UP] == 1
    assert len(trace.requests) == 1 + trace.endings["failing"][Ending.RETRY] > 1
    assert len(trace.starts) == 1


def test_a_request_that_waits_at_the_end_counts_with_its_wait_so_far() -> None:
    trace = run(a_job("long", 1700, at="00:45"), a_job("late", 10, at="00:50"), max_hold_s=1800)
    assert requests(trace, "late")[0].granted_s is None
    assert waits(trace, "late") == [600]


def test_the_same_seed_gives_the_same_trace_and_another_one_another() -> None:
    load = read_load("system-a")
    first, again, other = (simulate(load, Options(0.1, AllocatorSettings(), seed=n)) for n in (7, 7, 8))
    assert first.requests == again.requests
    assert first.starts == again.starts
    assert first.requests != other.requests


def test_the_same_seed_gives_the_same_figures_in_another_process() -> None:
    command = [sys.executable, "-m", "orchestrator", "simulate", "--jobs", "ours", "--days", "0.05", "--json"]
    shown = [
        subprocess.check_output(command, env={**os.environ, "PYTHONHASHSEED": seed}, text=True)
        for seed in ("1", "2")
    ]
    assert shown[0] == shown[1]


def test_both_policies_meet_runs_of_the_same_lengths() -> None:
    held = [[request.held_s for request in run(FIRST, SECOND, policy=policy).requests] for policy in Policy]
    assert held[0] == pytest.approx(held[1])


def test_in_system_as_load_critical_work_waits_at_most_a_minute_with_the_allocator() -> None:
    load = read_load("system-a")
    longest = {}
    for policy in Policy:
        how = Options(0.4, AllocatorSettings(), policy)
        longest[policy] = figures_of(load, how, simulate(load, how)).lanes[0].waits.max_s
    assert longest[Policy.PRIORITY] <= 60
    assert longest[Policy.FIFO] > longest[Policy.PRIORITY]


def test_dependencies_that_cannot_be_are_refused() -> None:
    with pytest.raises(GraphError, match="after nobody"):
        run(a_job("lost", 1, at="00:10", after=("nobody",)))


def test_a_bug_in_the_work_ends_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SimulatedWork, "_spend", fail)
    with pytest.raises(RuntimeError, match="the actor of broken crashed"):
        run(a_job("broken", 1, at="00:10", context=False))


def test_trio_is_as_random_as_before_when_a_simulation_has_ended() -> None:
    before = (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate())
    run(FIRST)
    assert (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()) == before
