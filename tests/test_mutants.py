"""The tool that puts small faults into the code, on a part made up for it."""

import dataclasses
import re
from pathlib import Path

import pytest
import trio

from tools.mutants import ROOT, TABLES, Mutant, Table, load, misfits, try_tables

PART = """\
def double(x):
    return 2 * x


def half(x):
    return x / 2
"""
TESTS = """\
from part import double


def test_double():
    assert double(2) == 4
"""
CAUGHT = Mutant("thrice", "part.py", "2 * x", "3 * x", "twice is twice")
SURVIVOR = Mutant("a third", "part.py", "x / 2", "x / 3", "half is half")
UNUSABLE = Mutant("gibberish", "part.py", "return 2 * x", "return 2 *", "it can be read")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "part.py").write_text(PART)
    (tmp_path / "tests" / "test_part.py").write_text(TESTS)
    return tmp_path


def is_proven(root: Path, *its: Mutant) -> bool:
    return trio.run(try_tables, [Table("part", ("tests/test_part.py",), its)], root)


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_mutant_fits_the_code_as_it_is(path: Path) -> None:
    table = load(path)
    assert table.mutants
    assert misfits(table, ROOT) == []
    assert all((ROOT / test).exists() for test in table.tests)


@pytest.mark.timeout(180)  # it starts pytest four times
def test_mutants_are_caught_with_the_finders_name_and_any_other_is_a_failure(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_proven(root, CAUGHT, SURVIVOR, UNUSABLE)
    said = capsys.readouterr().out
    assert re.search(r"caught +[0-9.]+ s  thrice\n +tests/test_part.py::test_double\n", said)
    assert "part: 1 of 3 mutants caught" in said
    assert "part: SURVIVED: “a third” (half is half)" in said
    assert "part: BROKEN: “gibberish” (it can be read)" in said
    assert (root / "part.py").read_text() == PART


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"old": "4 * x"}, "“thrice”: its old text stands 0 times in part.py"),
        ({"old": "return"}, "“thrice”: its old text stands 2 times in part.py"),
        ({"new": "2 * x"}, "“thrice” changes nothing"),
        ({"name": "a third"}, "two are named “a third”"),
    ],
)
def test_a_mutant_that_does_not_fit_is_named_and_nothing_is_run(
    change: dict[str, str], complaint: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_proven(root, dataclasses.replace(CAUGHT, **change), SURVIVOR)
    assert capsys.readouterr().out == f"part: {complaint}\n"


def test_tests_that_fail_without_any_mutant_prove_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "part.py").write_text(PART.replace("2 * x", "5 * x"))
    assert not is_proven(root, SURVIVOR)
    assert "its tests fail without any mutant: tests/test_part.py::test_double" in capsys.readouterr().out
