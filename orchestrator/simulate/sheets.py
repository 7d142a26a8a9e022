"""The tables of a simulation, as words; the terminal and the page show the same."""

from dataclasses import dataclass

from orchestrator.simulate.figures import LATE_S, Figures, JobFigures, LaneFigures
from orchestrator.simulate.words import NONE, number, share, wait

EXPLAINED = (
    f"Late: the work began more than {wait(LATE_S)} after it was due. Missed: due times that passed without "
    "a run, because a whole interval went by before the work began. Called back: leases that somebody with "
    "more right asked for; revoked: those of them that were taken away."
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table; the first column has names, the others figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def without(self, name: str) -> "Sheet":
        """The same with one column less."""
        at = self.columns.index(name)
        return Sheet(_cut(self.columns, at), tuple(_cut(row, at) for row in self.rows))

    def filled(self) -> "Sheet":
        """The same without columns in which nothing stands."""
        sheet = self
        for at, name in enumerate(self.columns):
            if all(row[at] in ("", NONE) for row in self.rows):
                sheet = sheet.without(name)
        return sheet


def _cut(row: tuple[str, ...], at: int) -> tuple[str, ...]:
    return row[:at] + row[at + 1 :]


def title(figures: Figures) -> str:
    """What was simulated."""
    return f"{figures.load}: {figures.jobs_count} jobs on {figures.contexts} contexts, {figures.policy}"


def summary(figures: Figures) -> str:
    """The figures of the whole in one sentence."""
    days = f"{figures.days:g} day{'' if figures.days == 1 else 's'}"
    return (
        f"{days}, seed {figures.seed}. Contexts in use {share(figures.use)} of the time; "
        f"{figures.mean_depth:.2f} wait in the mean, {figures.deepest} at most; "
        f"{figures.late} runs late, {figures.missed} missed."
    )


def lanes(figures: Figures) -> Sheet:
    """A row for each lane."""
    columns = (
        "lane",
        "requests",
        "p50",
        "p95",
        "p99",
        "longest wait",
        "use",
        "called back",
        "revoked",
        "expired",
        "lost",
    )
    return Sheet(columns, tuple(_lane(lane) for lane in figures.lanes))


def jobs(figures: Figures) -> Sheet:
    """A row for each job, by priority."""
    columns = (
        "job",
        "priority",
        "runs",
        "late",
        "missed",
        "latest",
        "p95 wait",
        "longest wait",
        "held",
        "called back",
        "revoked",
        "retried",
        "given up",
    )
    return Sheet(columns, tuple(_job(job) for job in figures.jobs))


def _lane(lane: LaneFigures) -> tuple[str, ...]:
    waits, leases = lane.waits, lane.leases
    seconds = (waits.p50_s, waits.p95_s, waits.p99_s, waits.max_s)
    return (
        lane.lane,
        number(waits.count),
        *(wait(one) if waits.count else NONE for one in seconds),
        share(lane.use) if waits.count else NONE,
        number(leases.called_back),
        number(leases.revoked),
        number(leases.expired),
        wait(leases.lost_s) if leases.lost_s else number(0),
    )


def _job(job: JobFigures) -> tuple[str, ...]:
    of_contexts = (job.waits.p95_s, job.waits.max_s, job.leases.held_s)
    return (
        job.job,
        str(job.priority),
        number(job.runs),
        number(job.late),
        number(job.missed),
        wait(job.latest_s),
        *(wait(seconds) if job.waits.count else NONE for seconds in of_contexts),
        number(job.leases.called_back),
        number(job.leases.revoked),
        number(job.retried),
        number(job.given_up),
    )
