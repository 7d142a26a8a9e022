"""That the days' rules can be broken: what they are about comes to pass, and a planted fault is seen."""

from collections import Counter
from collections.abc import Callable

import pytest

from orchestrator.actors.actor import Actor
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Allocator
from tests.simulation.day import live

DAYS = 8


@pytest.mark.timeout(120)
def test_what_the_rules_are_about_comes_to_pass_within_a_few_days() -> None:
    seen: Counter[str] = Counter()
    for seed in range(DAYS):
        seen.update(live(seed).witness.seen)
    assert set(seen) == {
        "cut off",
        "drained",
        "failed by a burst",
        "failed by a streak",
        "paced",
        "tries left",
        "tries used up",
        "woken",
    }


def stumble(*_: object) -> None:
    raise KeyError("nobody planted this")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("owner", "method", "fault", "seen"),
    [
        (Allocator, "_take_now", stumble, "error: "),
        (Actor, "_plan_next", stumble, "error: the actor of "),
        (Supervisor, "drain", lambda _self: None, "shutdown: "),
    ],
    ids=["an error in a run", "an error of the actor itself", "drain does nothing"],
)
def test_a_fault_that_the_house_would_hide_is_seen(
    owner: type, method: str, fault: Callable[..., object], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, fault)
    with pytest.RaisesGroup(
        pytest.RaisesExc(AssertionError, match=seen), flatten_subgroups=True, allow_unwrapped=True
    ):
        live(0)
