"""The allocator against its reference model; `make prove` takes a million steps of each part."""

import pytest

from orchestrator.allocator import Allocator
from orchestrator.leases import Waiter
from tests.model.allocator import run


@pytest.mark.parametrize("seed", range(4))
def test_the_allocator_does_what_its_model_does_in_thousands_of_random_steps(seed: int) -> None:
    run(5_000, seed, lambda step: None)


def test_an_allocator_that_differs_from_the_model_is_found_at_the_same_step_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forget(self: Allocator, waiter: Waiter) -> None:
        """Leaves a slot that it got in the same step to nobody."""
        if waiter.lease is None:
            self._leave_queue(waiter)
            self._settle()

    monkeypatch.setattr(Allocator, "_forget", forget)
    steps: list[int] = []
    with pytest.RaisesGroup(AssertionError):
        run(5_000, 0, steps.append)
    again: list[int] = []
    with pytest.RaisesGroup(AssertionError):
        run(steps[-1] + 1, 0, again.append)
    assert again == steps
