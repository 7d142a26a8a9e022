"""pytest's plugin: the fixture `house`, for tests that pytest-trio runs.

It is loaded at every start of pytest where orchestrator is installed: it imports nothing before it is used.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trio.abc import Clock, Instrument

    from orchestrator.testing.house import House


@pytest.fixture
def _time_that_jumps(request: pytest.FixtureRequest) -> None:
    """Have pytest-trio run the test with `_run`: it heeds no clock but one that the test itself takes."""
    request.node.add_marker(pytest.mark.trio(run=_run), append=False)


def _run(
    test: "Callable[[], Awaitable[Any]]", *, clock: "Clock | None", instruments: "Sequence[Instrument]"
) -> Any:
    """With `autojump_clock`, unless the test has chosen a clock."""
    import trio
    from trio.testing import MockClock

    return trio.run(test, clock=clock or MockClock(autojump_threshold=0), instruments=instruments)


@pytest.fixture
async def house(_time_that_jumps: None) -> "AsyncIterator[House]":
    """A house in memory around the jobs under test; time passes as soon as everybody waits."""
    from orchestrator.testing.house import open_house

    async with open_house() as opened:
        yield opened
