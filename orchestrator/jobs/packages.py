"""Finds the jobs that installed packages add, by their entry points."""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from orchestrator.actors.graph import ring_of
from orchestrator.errors import SettingsError
from orchestrator.jobs.own import OwnJob

GROUP = "orchestrator.jobs"
"""The entry points that name modules with jobs."""


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
    _check_ring(found)
    return tuple(replace(own, package=source.package) for own, source in found.values())


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


def _check_ring(found: dict[str, tuple[OwnJob, _Source]]) -> None:
    """No job of the house comes after one of a package, so a ring has jobs of packages alone."""
    if ring := ring_of({own.name: own.declaration.after for own, _ in found.values()}):
        packages = " and ".join(sorted({str(found[name][1]) for name in ring}))
        text = f"the jobs of {packages} wait for each other: {' → '.join(ring)}"
        raise SettingsError(text, remedy="Correct one's after=, or uninstall the package.")
