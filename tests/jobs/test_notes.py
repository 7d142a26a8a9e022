"""What users' own jobs rely on of `recall` and `remember`, kept by the real database and the fake alike."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog

from orchestrator.errors import DatabaseError
from orchestrator.jobs import Run, Tools
from orchestrator.testing.house import open_house
from tests.jobs.house import House

VALUES: list[Any] = [12, 1.5, "ü 🙂", r"\u0000", True, [1, [2]], {"ada": {"followers": 12}}, 0, "", [], {}]
UNSAYABLE: list[Any] = [{1, 2}, object(), float("nan"), float("inf"), "a\0b", "\ud800", ["\0"]]


def run_of(job: str) -> Run:
    return Run(job, 5, "schedule", 1, structlog.get_logger("test"))


MINE, YOURS = run_of("mine"), run_of("yours")


async def what_is_kept_comes_back(tools: Tools) -> None:
    for value in VALUES:
        await tools.remember(MINE, "key", value)
        assert await tools.recall(MINE, "key") == value


async def what_was_never_kept_is_none(tools: Tools) -> None:
    assert await tools.recall(MINE, "key") is None


async def each_job_has_keys_of_its_own(tools: Tools) -> None:
    await tools.remember(MINE, "key", 1)
    await tools.remember(YOURS, "key", 2)
    await tools.remember(MINE, "other", 3)
    assert [await tools.recall(MINE, "key"), await tools.recall(YOURS, "key")] == [1, 2]


async def none_forgets(tools: Tools) -> None:
    await tools.remember(MINE, "key", 1)
    await tools.remember(MINE, "key", None)
    await tools.remember(MINE, "never kept", None)
    assert await tools.recall(MINE, "key") is None


async def what_json_can_not_say_is_refused_and_changes_nothing(tools: Tools) -> None:
    await tools.remember(MINE, "key", 1)
    for value in UNSAYABLE:
        with pytest.raises(DatabaseError):
            await tools.remember(MINE, "key", value)
    assert await tools.recall(MINE, "key") == 1


async def what_is_kept_is_a_copy_as_json_sees_it(tools: Tools) -> None:
    value: Any = {1: (2, 3)}
    await tools.remember(MINE, "key", value)
    value[1] = "changed"
    assert await tools.recall(MINE, "key") == {"1": [2, 3]}


Promise = Callable[[Tools], Awaitable[None]]
PROMISES: list[Promise] = [
    what_is_kept_comes_back,
    what_was_never_kept_is_none,
    each_job_has_keys_of_its_own,
    none_forgets,
    what_json_can_not_say_is_refused_and_changes_nothing,
    what_is_kept_is_a_copy_as_json_sees_it,
]


def name_of(promise: Promise) -> str:
    return getattr(promise, "__name__", "promise")


@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_the_real_database_keeps_its_promises(promise: Promise, house: House) -> None:
    await promise(house.tools)


@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_the_fake_database_keeps_its_promises(promise: Promise) -> None:
    async with open_house() as house:
        await promise(house.tools)
