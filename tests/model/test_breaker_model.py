"""The breaker against its reference model; `make prove` takes a million steps of each part."""

import datetime
import time

import pytest

from orchestrator import breaker
from orchestrator.breaker import Breaker, Permit, Verdict
from tests.model.breaker import WallClock, run, wall_shows


@pytest.mark.parametrize("seed", range(4))
def test_the_breaker_does_what_its_model_does_in_thousands_of_random_steps(seed: int) -> None:
    run(5_000, seed, lambda step: None)


def test_a_breaker_that_differs_from_the_model_is_found_at_the_same_step_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_back = Breaker._give_back

    def believe_all(self: Breaker, permit: Permit, verdict: Verdict, line: str) -> None:
        give_back(self, Permit(self._generation, permit.deadline), verdict, line)

    monkeypatch.setattr(Breaker, "_give_back", believe_all)
    steps: list[int] = []
    with pytest.RaisesGroup(AssertionError):
        run(5_000, 0, steps.append)
    again: list[int] = []
    with pytest.RaisesGroup(AssertionError):
        run(steps[-1] + 1, 0, again.append)
    assert again == steps


def test_in_a_walk_every_reading_of_the_wall_clock_shows_the_walks_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "clock", time.time, raising=False)
    monkeypatch.setattr(breaker, "Moment", datetime.datetime, raising=False)
    wall = WallClock()
    with wall_shows(wall):
        wall.shows += 86_400
        assert time.time() == time.time_ns() / 1e9 == wall.shows
        assert vars(breaker)["clock"]() == wall.shows
        for moments in (datetime.datetime, vars(breaker)["Moment"]):
            assert moments.now().timestamp() == moments.now(datetime.UTC).timestamp() == wall.shows
            assert moments.utcnow().replace(tzinfo=datetime.UTC).timestamp() == wall.shows
            assert moments.today().timestamp() == wall.shows
    assert time.time() != wall.shows
