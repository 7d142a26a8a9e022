from collections.abc import Callable

import pytest

from tests.model import prove

Progress = Callable[[int], None]


def walk(steps: int, seed: int, progress: Progress) -> None:
    """A part that parts from its model at step 30 of seed 7."""
    for step in range(steps):
        progress(step)
        assert (step, seed) != (30, 7), "they differ"


@pytest.fixture(autouse=True)
def _made_up_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "_run_of", lambda part: walk)


def test_a_failure_names_its_step_and_the_command_that_shows_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert prove.main(["breaker", "--steps", "100", "--seed", "7"]) == 1
    said = capsys.readouterr()
    assert "AssertionError: they differ" in said.err
    assert "breaker: FAILED at step 30 of seed 7" in said.out
    assert "    make prove PARTS=breaker STEPS=31 SEED=7\n" in said.out
    assert prove.main(["breaker", "--steps", "31", "--seed", "7"]) == 1
    assert prove.main(["breaker", "--steps", "30", "--seed", "7"]) == 0


def test_one_part_that_fails_does_not_keep_the_next_from_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove.main(["breaker", "allocator", "--steps", "100", "--seed", "7"]) == 1
    assert "allocator: FAILED" in capsys.readouterr().out


def test_a_seed_by_chance_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove.main(["breaker", "--steps", "10"]) == 0
    assert "breaker: 10 steps, seed " in capsys.readouterr().out


@pytest.mark.parametrize("part", prove.PARTS)
def test_each_part_can_be_walked(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert prove.main([part, "--steps", "50", "--seed", "1"]) == 0
