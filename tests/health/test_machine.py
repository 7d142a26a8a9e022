"""What the machine must give us, and what is said when it does not."""

import resource
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.health import machine
from tests.disk import CAN_MOUNT, small_disk

MOMENT = machine.EARLIEST.timestamp() + 86_400.0


async def test_this_machine_is_good_enough_for_its_own_tests() -> None:
    assert " of " in await machine.look_at_files() or "without limit" in await machine.look_at_files()
    assert "MiB free" in await machine.look_at_shared_memory()
    assert machine.judge_clock(machine.now(), machine.now()) == "within 0.0 s of the database's"


@pytest.mark.parametrize(("count", "limit"), [(50, 1024), (819, 1024), (90_000, resource.RLIM_INFINITY)])
def test_files_that_suffice(count: int, limit: int) -> None:
    assert str(count) in machine.judge_files(count, limit)


@pytest.mark.parametrize(
    ("count", "limit", "what"),
    [(50, 1023, "only 1023 files may be open"), (820, 1024, "more than 80% of 1024 files")],
)
def test_files_that_do_not(count: int, limit: int, what: str) -> None:
    with pytest.raises(MachineError, match=what) as caught:
        machine.judge_files(count, limit)
    assert "LimitNOFILE" in caught.value.remedy


def test_shared_memory_that_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"shm can't be used: No such file") as caught:
        machine.judge_shared_memory(tmp_path / "shm")
    assert "Mount a tmpfs" in caught.value.remedy


@pytest.mark.skipif(not CAN_MOUNT, reason="only root can mount a small disk")
def test_shared_memory_that_is_too_small_is_named(tmp_path: Path) -> None:
    too_small = pytest.raises(MachineError, match="less than 16 MiB are free")
    with small_disk(tmp_path / "shm", 8) as place, too_small:
        machine.judge_shared_memory(place)


def test_a_clock_that_was_never_set_is_named() -> None:
    with pytest.raises(MachineError, match="this machine's clock says 1970-01-01"):
        machine.judge_clock(0.0, None)


@pytest.mark.parametrize("skew_s", [-60.0, 0.0, 60.0])
def test_clocks_that_nearly_agree_are_well(skew_s: float) -> None:
    assert "of the database's" in machine.judge_clock(MOMENT, MOMENT + skew_s)


@pytest.mark.parametrize("skew_s", [-61.0, 61.0])
def test_clocks_that_differ_are_named(skew_s: float) -> None:
    with pytest.raises(MachineError, match="differ by more than 60 s"):
        machine.judge_clock(MOMENT, MOMENT + skew_s)


def test_without_a_database_there_is_nothing_to_compare_the_clock_with() -> None:
    assert "nothing to compare" in machine.judge_clock(MOMENT, None)
