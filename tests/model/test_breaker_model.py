"""The breaker against its reference model; `make prove` takes a million steps of each part."""

import pytest

from orchestrator.breaker import Breaker, Permit, Verdict
from tests.model.breaker import run


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
