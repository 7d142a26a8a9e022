"""What is simulated: jobs with their schedules, and how long their runs take."""

from dataclasses import dataclass
from datetime import time
from pathlib import Path

from pydantic import Field, ValidationError

from orchestrator.actors.job import MAX_RUN_S, Job, Run
from orchestrator.errors import SettingsError
from orchestrator.model import Outcome, done
from orchestrator.settings.base import Seconds, Section, Share
from orchestrator.settings.sources import read_toml
from orchestrator.settings.words import Complaints, Schema
from orchestrator.simulate.lengths import Constant, Empirical, Length, LogNormal, Uniform
from orchestrator.simulate.mistakes import mistakes

BUNDLED = Path(__file__).with_name("loads")


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """A job's declaration, and what stands for its work."""

    job: Job
    length: Length
    failure_rate: float = 0.0
    """The share of runs that fail, in a way that may pass, at their end."""
    idle_share: float = 0.0
    """The share of runs that find nothing to do: they take no time and no context, and wake nobody."""
    items: int = 1
    """Equal pieces of a run, such as pages; between two of them the context can be called back."""
    batch: int | None = None
    """Items that are done under one lease; None: all."""


@dataclass(frozen=True, slots=True)
class Load:
    """All jobs of a simulation. `about` says where the figures come from."""

    name: str
    about: str
    jobs: tuple[SimulatedJob, ...]


class LengthSection(Section):
    """How long a run takes, in seconds, without the wait for a context. Exactly one way is given."""

    constant: Seconds | None = None
    uniform: tuple[Seconds, Seconds] | None = None
    median: Seconds | None = None
    p95: Seconds | None = None
    seen: list[Seconds] | None = Field(None, min_length=1)

    def length(self) -> Length:
        if self.constant is not None:
            return Constant(self.constant)
        if self.uniform is not None:
            return Uniform(*self.uniform)
        if self.median is not None and self.p95 is not None:
            return LogNormal(self.median, self.p95)
        assert self.seen is not None
        return Empirical(self.seen)


class JobSection(Section):
    """One job of a load."""

    priority: int = Field(ge=0, le=10)
    every_s: Seconds | None = None
    daily_at: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM, in UTC")
    after: tuple[str, ...] = ()
    context: bool = Field(False, description="whether a run needs a browser context")
    length_s: LengthSection
    failure_rate: Share = 0.0
    idle_share: Share = 0.0
    items: int = Field(1, ge=1, description="pages of a run; between two the context can be called back")
    batch: int | None = Field(None, ge=1, description="pages under one lease; all, if not given")


class LoadSection(Section):
    """A file with a load."""

    about: str = Field("", description="where the figures come from")
    max_run_s: float = Field(
        600, gt=0, le=MAX_RUN_S, description="a run is stopped after so long, its wait for contexts included"
    )
    jobs: dict[str, JobSection] = Field(default_factory=dict)


def bundled_loads() -> list[str]:
    """The names of the loads that come with the program."""
    return sorted(path.stem for path in BUNDLED.glob("*.toml"))


def read_load(name_or_path: str) -> Load:
    """The bundled load of that name, or the one in that TOML file.

    Raises SettingsError with a line, which names file and key, for each thing that is wrong.
    """
    path = BUNDLED / f"{name_or_path}.toml" if name_or_path in bundled_loads() else Path(name_or_path)
    if not path.is_file():
        raise SettingsError(
            f"{name_or_path}: there is no such file", remedy=f"Bundled loads: {', '.join(bundled_loads())}."
        )
    section = _checked(path)
    jobs = tuple(_job(name, job, section.max_run_s) for name, job in section.jobs.items())
    return Load(path.stem, " ".join(section.about.split()), jobs)


def _checked(path: Path) -> LoadSection:
    """The file's content. Raises SettingsError with all that is wrong with it."""
    layer = read_toml(path)
    complaints, lines = Complaints(Schema(LoadSection), [layer], layer.values), list[str]()
    section = None
    try:
        section = LoadSection.model_validate(layer.values)
    except ValidationError as error:
        lines = complaints.lines(error)
    for route, problem in mistakes(layer.values, JobSection.model_fields, LengthSection.model_fields):
        lines.append(complaints.line(route, problem) if route else f"{path}: {problem}")
    if section is None or lines:
        raise SettingsError("\n".join(lines))
    return section


def _job(name: str, section: JobSection, max_run_s: float) -> SimulatedJob:
    job = Job(
        name,
        no_work,
        section.priority,
        every_s=section.every_s,
        daily_at=time.fromisoformat(section.daily_at + "+00:00") if section.daily_at else None,
        after=section.after,
        uses_browser=section.context,
        max_run_s=max_run_s,
    )
    return SimulatedJob(
        job,
        section.length_s.length(),
        section.failure_rate,
        section.idle_share,
        section.items,
        section.batch,
    )


async def no_work(_run: Run) -> Outcome:
    """Stands in a declaration until the engine puts its own work there."""
    return done()
