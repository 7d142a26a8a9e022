"""Users' own jobs: the decorator that declares one. `packages` finds them."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time
from types import NoneType
from typing import Any

from orchestrator.actors.job import Job, Run
from orchestrator.errors import SettingsError
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome
from orchestrator.retry import RetryRule

LOWEST_PRIORITY = 10
NAME = re.compile("[a-z][a-z0-9_]*")
"""What a job may be called: a variable of the environment and a metric's label have it too."""

KINDS: dict[str, tuple[type, ...]] = {
    "every_s": (int, float, NoneType),
    "daily_at": (time, NoneType),
    "priority": (int,),
    "uses_browser": (bool,),
    "needs_database": (bool,),
    "not_in_window": (bool,),
    "retry": (RetryRule, NoneType),
    "max_run_s": (int, float),
}

OwnWork = Callable[[Run, Tools], Awaitable[Outcome]]
"""Does the work of one run with the tools of the house; ends as `actors.job.Work` does."""


@dataclass(frozen=True, slots=True)
class OwnJob:
    """A function with `@job` above it; it can still be called as before."""

    declaration: Job
    """Without tools: its work can't be run."""
    work: OwnWork
    package: str = ""
    """The installed package that it is of, with its version."""

    @property
    def name(self) -> str:
        return self.declaration.name

    def __call__(self, run: Run, tools: Tools) -> Awaitable[Outcome]:
        return self.work(run, tools)

    def with_tools(self, tools: Tools) -> Job:
        """The job, ready to run."""

        async def work(run: Run) -> Outcome:
            return await self.work(run, tools)

        return replace(self.declaration, work=work)


def job(  # noqa: PLR0913 - as many as a job has properties; all by keyword
    *,
    every_s: float | None = None,
    daily_at: time | None = None,
    priority: int = 5,
    after: Sequence[str] = (),
    uses_browser: bool = False,
    needs_database: bool = True,
    not_in_window: bool = False,
    retry: RetryRule | None = None,
    max_run_s: float = 600.0,
) -> Callable[[OwnWork], OwnJob]:
    """Declare `async def name(run, tools) -> Outcome` as the job `name`.

    `orchestrator.actors.job.Job` says what the arguments mean. The module must be named by an entry point
    of the group `orchestrator.jobs`; docs/own-jobs.md shows all of it. Raises SettingsError for a
    declaration that can't be.
    """

    given: dict[str, Any] = {
        "every_s": every_s,
        "daily_at": daily_at,
        "priority": priority,
        "after": after,
        "uses_browser": uses_browser,
        "needs_database": needs_database,
        "not_in_window": not_in_window,
        "retry": retry,
        "max_run_s": max_run_s,
    }

    def declare(work: OwnWork) -> OwnJob:
        name = _checked_name(work)
        _check(name, given)
        return OwnJob(Job(name, _never_run, **given | {"after": tuple(after)}), work)

    return declare


def _checked_name(work: OwnWork) -> str:
    name = getattr(work, "__name__", repr(work))
    if not NAME.fullmatch(name):
        raise SettingsError(f"job {name}: a job's name has small letters, digits and _ alone")
    if not inspect.iscoroutinefunction(work):
        raise SettingsError(f"job {name}: must be an async function")
    try:
        inspect.signature(work).bind("run", "tools")
    except TypeError as error:
        raise SettingsError(f"job {name}: must take run and tools, and nothing else") from error
    return name


def _check(name: str, given: Mapping[str, Any]) -> None:
    """What `Job` itself does not check, since mypy does it for the jobs of the house."""
    for field, kinds in KINDS.items():
        value = given[field]
        if type(value) not in kinds:  # subclasses don't count: for Python, a bool is a number
            names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
            raise SettingsError(f"job {name}: {field} must be {names}, not {value!r}")
    priority, after = given["priority"], given["after"]
    if not 0 <= priority <= LOWEST_PRIORITY:
        raise SettingsError(f"job {name}: priority must be 0 to {LOWEST_PRIORITY}, not {priority}")
    # A string alone is a sequence of strings too, which nobody wants here.
    is_alone = isinstance(after, str) or not isinstance(after, Sequence)
    if is_alone or not all(isinstance(upstream, str) for upstream in after):
        raise SettingsError(f'job {name}: after must be a tuple of names, such as ("posting",)')


async def _never_run(run: Run) -> Outcome:
    raise AssertionError(f"{run.job} has no tools")
