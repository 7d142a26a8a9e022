"""Databases that a test can look at and break."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from orchestrator.db.pool import Database

Hook = Callable[[], Awaitable[None]]
"""Called at a moment that a test chose; what it raises is what the caller gets."""


class ScriptedDatabase(Database):
    """Nothing but answers by hand, by the name of the work."""

    def __init__(self, answer: Callable[[str], object]) -> None:
        self._answer = answer
        self.asked: list[str] = []
        self.doubts = 0

    def doubt(self) -> None:
        self.doubts += 1

    async def run(self, work: Callable[..., Any], /, *_args: Any, **_options: Any) -> Any:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        self.asked.append(work.__name__)
        return self._answer(work.__name__)


class WatchedDatabase(Database):
    """A real one; by the name of the work a test may do something just before it, or just after its commit.

    A hook is used once. One that raises before the work stands for a database that is away; one that
    raises after it, for an answer that was lost.
    """

    def __init__(self, real: Database) -> None:
        self._real = real
        self.asked: list[str] = []
        self._before: dict[str, list[Hook]] = defaultdict(list)
        self._after: dict[str, list[Hook]] = defaultdict(list)
        self.is_down: Callable[[], Exception] | None = None
        """When set, every work gets this error."""

    def before(self, work: str, *hooks: Hook) -> None:
        self._before[work] += hooks

    def after(self, work: str, *hooks: Hook) -> None:
        self._after[work] += hooks

    def forget_hooks(self) -> None:
        self._before.clear()
        self._after.clear()

    async def run(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        name = work.__name__
        self.asked.append(name)
        await _use_up(self._before[name])
        if self.is_down is not None:
            await trio.lowlevel.checkpoint()
            raise self.is_down()
        result = await self._real.run(work, *args, **options)
        await _use_up(self._after[name])
        return result


async def _use_up(hooks: list[Hook]) -> None:
    if hooks:
        await hooks.pop(0)()


def raising(error: Exception) -> Hook:
    """A hook that raises."""

    async def hook() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    return hook


def cancelling(scope: trio.CancelScope) -> Hook:
    """A hook that cancels the scope, and is itself the first to notice."""

    async def hook() -> None:
        scope.cancel()
        await trio.lowlevel.checkpoint()

    return hook
