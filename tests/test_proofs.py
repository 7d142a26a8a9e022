"""The commands that prove something: none of them ends well without having proven anything."""

from collections.abc import Callable, Sequence

import pytest

from tests.chaos import campaign
from tests.model import prove
from tests.simulation import run
from tools import mutants

Main = Callable[[Sequence[str]], int]


@pytest.mark.parametrize("count", ["0", "-2"])
@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (prove.main, ["breaker", "--steps"]),
        (run.main, ["--days"]),
        (campaign.main, ["--cycles"]),
    ],
    ids=["prove", "simulation", "chaos"],
)
def test_less_than_one_is_refused(
    main: Main, arguments: list[str], count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments[:-1], f"{arguments[-1]}={count}"])
    assert end.value.code == 2
    assert f"argument {arguments[-1]}: {count} is not at least 1" in capsys.readouterr().err


def test_a_name_that_no_mutant_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        mutants.main(["breaker", "--only", "zzz"])
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith("no mutant's name contains zzz\n")
