"""Users' own jobs: the decorator that declares one, and how those of installed packages are found."""

import inspect
import re
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import time
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from orchestrator.actors.job import Job, Run
from orchestrator.errors import SettingsError
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome
from orchestrator.retry import RetryRule

GROUP = "orchestrator.jobs"
"""The entry points that name modules with jobs."""
LOWEST_PRIORITY = 10
NAME = re.compile("[a-z][a-z0-9_]*")
"""What a job may be called: a variable of the environment and a metric's label have it too."""

OwnWork = Callable[[Run, Tools], Awaitable[Outcome]]
"""Does the work of one run with the tools of the house; ends as `actors.job.Work` does."""


@dataclass(frozen=True, slots=True)
class OwnJob:
    """A function with `@job` above it; it can still be called as before."""

    declaration: Job
    """Without tools: its work can't be run."""
    work: OwnWork

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

    def declare(work: OwnWork) -> OwnJob:
        name = _checked_name(work)
        wanted = {
            "every_s": (every_s, (int, float, None)),
            "daily_at": (daily_at, (time, None)),
            "priority": (priority, (int,)),
            "uses_browser": (uses_browser, (bool,)),
            "needs_database": (needs_database, (bool,)),
            "not_in_window": (not_in_window, (bool,)),
            "retry": (retry, (RetryRule, None)),
            "max_run_s": (max_run_s, (int, float)),
        }
        for field, (value, kinds) in wanted.items():
            _check_kind(f"job {name}: {field}", value, kinds)
        if not 0 <= priority <= LOWEST_PRIORITY:
            raise SettingsError(f"job {name}: priority must be 0 to {LOWEST_PRIORITY}, not {priority}")
        _check_names(f"job {name}: after", after)
        declaration = Job(
            name,
            _never_run,
            priority=priority,
            every_s=every_s,
            daily_at=daily_at,
            after=tuple(after),
            uses_browser=uses_browser,
            needs_database=needs_database,
            not_in_window=not_in_window,
            retry=retry,
            max_run_s=max_run_s,
        )
        return OwnJob(declaration, work)

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


def _check_kind(what: str, value: object, kinds: tuple[type | None, ...]) -> None:
    """Subclasses don't count: a bool is a number for Python, and not for us."""
    if (value is None and None in kinds) or type(value) in kinds:
        return
    names = " or ".join("None" if one is None else one.__name__ for one in kinds)
    raise SettingsError(f"{what} must be {names}, not {value!r}")


def _check_names(what: str, value: Any) -> None:
    """A string alone is a sequence of strings too, which nobody wants here."""
    is_alone = isinstance(value, str) or not isinstance(value, Sequence)
    if is_alone or not all(isinstance(one, str) for one in value):
        raise SettingsError(f'{what} must be a tuple of names, such as ("posting",)')


async def _never_run(run: Run) -> Outcome:
    raise AssertionError(f"{run.job} has no tools")


# ── finding them ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Source:
    """An entry point, and how people find it."""

    point: EntryPoint

    @property
    def package(self) -> str:
        found = self.point.dist
        return f"{found.name} {found.version}" if found is not None else "an unknown package"

    def __str__(self) -> str:
        return f"{self.package} (entry point {self.point.name} = {self.point.value})"


@cache
def installed(house: tuple[str, ...]) -> tuple[OwnJob, ...]:
    """The jobs that installed packages add to those of the `house`, by package and name.

    Modules are imported once for the life of the process. Raises SettingsError, which names the package,
    its entry point and what to do, for jobs that can't be had: without them the house would be another one.
    """
    found: dict[str, tuple[OwnJob, _Source]] = {}
    sources = [_Source(point) for point in entry_points(group=GROUP)]
    for source in sorted(sources, key=str):
        for own in _load(source):
            _check_clash(own, source, house, found)
            found[own.name] = own, source
    for own, source in found.values():
        _check_upstream(own, source, (*house, *found))
    return tuple(own for own, _ in found.values())


def _load(source: _Source) -> list[OwnJob]:
    """The jobs of one module, sorted by name."""
    remedy = f"Correct it, or uninstall {source.package.partition(' ')[0]}."
    try:
        module = source.point.load()
    except SettingsError as error:
        raise SettingsError(f"the jobs of {source}: {error}", remedy=error.remedy or remedy) from error
    except (Exception, SystemExit) as error:
        text = f"the jobs of {source} can't be imported: {_describe(error)}"
        raise SettingsError(text, remedy=remedy) from error
    if not isinstance(module, ModuleType):
        text = f"the jobs of {source}: an entry point names a module, without a colon; all its jobs are taken"
        raise SettingsError(text, remedy=remedy)
    jobs = [own for own in vars(module).values() if isinstance(own, OwnJob)]
    if not jobs:
        text = f"the jobs of {source}: no function there has @job(…) above it"
        raise SettingsError(text, remedy=remedy)
    return sorted(jobs, key=lambda own: own.name)


def _describe(error: BaseException) -> str:
    """The error in one line, with the place where it arose."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    is_in_text = isinstance(error, SyntaxError)  # it names its place itself
    return words if is_in_text or not frames else f"{words} ({frames[-1].filename}, line {frames[-1].lineno})"


def _check_clash(
    own: OwnJob, source: _Source, house: tuple[str, ...], found: dict[str, tuple[OwnJob, _Source]]
) -> None:
    other = "of orchestrator itself" if own.name in house else ""
    if own.name in found and found[own.name][0] is not own:
        other = f"of {found[own.name][1]}"
    if other:
        text = f"two jobs are named {own.name}: one {other}, one of {source}"
        raise SettingsError(text, remedy="Rename a function, or uninstall one of the packages.")


def _check_upstream(own: OwnJob, source: _Source, known: Iterable[str]) -> None:
    for upstream in own.declaration.after:
        if upstream not in known:
            text = f"the jobs of {source}: {own.name} comes after {upstream}, which is not there"
            raise SettingsError(text, remedy=f"Jobs: {', '.join(known)}.")
