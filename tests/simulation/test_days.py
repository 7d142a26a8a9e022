"""Days of the whole runtime; `make simulation` lives ten thousand of them."""

from collections.abc import Callable

import pytest

from orchestrator.allocator import Allocator
from tests.simulation import run
from tests.simulation.day import live

DAYS = 50
AT_ONCE = 5


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(0, DAYS, AT_ONCE))
def test_whatever_goes_wrong_the_house_gets_through_the_day(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        day = live(seed)
        assert day.runs > 500, "it is no day's work"


def test_the_same_seed_gives_the_same_day() -> None:
    first, second = live(3), live(3)
    assert first.told() == second.told()
    assert first.told() != live(4).told()


@pytest.mark.parametrize(
    ("method", "fault", "seen"),
    [
        ("_hurry", lambda _self, _waiter: None, "starve|critical"),
        ("_call_back", lambda _self: None, "starve|critical"),
        ("_may_take", lambda self, _lane: bool(self._free), "reserve|critical"),
    ],
    ids=["nobody is urgent", "nothing is called back", "the reserve is lent"],
)
def test_a_fault_of_the_allocator_is_seen_within_a_scarce_day(
    method: str, fault: Callable[..., object], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Allocator, method, fault)
    with pytest.RaisesGroup(
        pytest.RaisesExc(AssertionError, match=f"^({seen}): "), flatten_subgroups=True, allow_unwrapped=True
    ):
        live(2)


def test_a_day_with_a_fault_is_told_with_the_command_that_shows_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Allocator, "_settle", lambda _self: None)  # who waits is never served
    assert run.main(["--days", "2", "--first", "7", "--at-once", "1"]) == 1
    said = capsys.readouterr().out
    assert "starve: " in said
    assert "    make simulation DAYS=1 SEED=7\n" in said
    assert "simulation: 0 of 2 days from seed 7 went well" in said
