"""pytest's plugin, as a user's pytest loads it: by its entry point."""

from pathlib import Path

from tests.testing.harness import run_module

TRIO_MODE = "[pytest]\ntrio_mode = true\n"
TEST = """
import trio
from trio.testing import MockClock

async def test_a_day_passes(house):
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    before = house.now
    await trio.sleep(86_400)
    assert (house.now - before).days == 1
"""
MARKED = TEST.replace("async def", "import pytest\n\n@pytest.mark.trio\nasync def")
OWN_FIXTURE = """
import pytest

@pytest.fixture
async def my_house(house):
    house.database.keep("mine", "count", 1)
    return house

async def test_a_day_passes(my_house):
    await __import__("trio").sleep(86_400)
    assert my_house.database.notes_of("mine") == {"count": 1}
"""
OWN_CLOCK = """
import trio

async def test_time_stands_still_until_the_test_moves_it(house, mock_clock):
    with trio.move_on_after(60):
        await trio.testing.wait_all_tasks_blocked()
    before = house.now
    mock_clock.jump(3600)
    assert (house.now - before).total_seconds() == 3600
"""
OWN_HOUSE = """
import pytest

@pytest.fixture
def house():
    return "a house of their own"

def test_it_is_theirs(house):
    assert house == "a house of their own"
"""
UNUSED = """
import sys

def test_nothing_was_imported_that_is_not_needed():
    loaded = {name for name in sys.modules if name.partition(".")[0] == "orchestrator"}
    assert loaded == {"orchestrator", "orchestrator.testing", "orchestrator.testing.plugin"}
"""


def test_the_house_is_there_with_a_clock_that_jumps(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(TRIO_MODE)
    for number, text in enumerate((TEST, MARKED, OWN_FIXTURE, OWN_CLOCK, OWN_HOUSE)):
        (tmp_path / f"test_{number}.py").write_text(text)
    code, said = run_module(tmp_path, "pytest", "-q", "-W", "error")
    assert code == 0, said
    assert "5 passed" in said


def test_it_needs_no_trio_mode(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(MARKED)
    code, said = run_module(tmp_path, "pytest", "-q", "-W", "error")
    assert code == 0, said


def test_a_run_that_does_not_use_it_loads_nothing_more_and_needs_no_pytest_trio(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(UNUSED)
    code, said = run_module(tmp_path, "pytest", "-q", "-p", "no:trio", "-W", "error")
    assert code == 0, said


def test_a_failing_test_of_theirs_fails_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(TRIO_MODE)
    (tmp_path / "test_theirs.py").write_text("async def test_it(house):\n    assert house.ended == [1]\n")
    code, said = run_module(tmp_path, "pytest", "-q", "-W", "error")
    assert code == 1
    assert "assert [] == [1]" in said
