"""Whether a soak shows a flat line: a linear fit of the lows of each figure after the warm-up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.soak.samples import Sample

WARM_UP_SHARE = 0.25
"""Of the samples: caches fill, contexts open, arenas grow to what a busy minute needs."""
LEAST = 8
"""With fewer samples after the warm-up nothing is said."""
LOW_OF = 5
"""So many samples in a row count with their lowest. How many pages are at work at the moment of a sample is
chance, 150 MB up or down; what leaks is there at every moment, and lifts the lowest as fast as the rest."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a figure may grow, by the fitted line, from the end of the warm-up to the end of the soak."""

    name: str
    unit: str
    most: float
    of: Callable[[Sample], float]


LIMITS = (
    Limit("memory of the daemon", "MB", 10, lambda sample: sample.memory_mb["daemon"]),
    Limit("memory of the driver", "MB", 20, lambda sample: sample.memory_mb["driver"]),
    Limit("memory of the browser", "MB", 30, lambda s: s.memory_mb["browser"] + s.memory_mb["renderers"]),
    Limit("memory of the database", "MB", 20, lambda sample: sample.memory_mb["database"]),
    Limit("memory of all", "MB", 50, lambda sample: sample.total_mb),
    Limit("open files", "", 20, lambda sample: sample.files),
    Limit("processes", "", 3, lambda sample: sample.processes),
    Limit("threads", "", 15, lambda sample: sample.threads),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure's line."""

    limit: Limit
    start: float
    growth: float
    is_flat: bool

    def __str__(self) -> str:
        unit = f" {self.limit.unit}" if self.limit.unit else ""
        word = "flat" if self.is_flat else "GROWS"
        return (
            f"{word:5}  {self.limit.name}: {self.start:.0f}{unit} after the warm-up, "
            f"{self.growth:+.1f}{unit} since; at most {self.limit.most:g}{unit} are allowed"
        )


def judge(samples: Sequence[Sample], limits: Sequence[Limit] = LIMITS) -> list[Finding]:
    """The line of each figure. Raises ValueError when there are too few samples."""
    settled = samples[int(len(samples) * WARM_UP_SHARE) :]
    if len(settled) < LEAST:
        raise ValueError(f"{len(settled)} samples after the warm-up are too few for a line: {LEAST}")
    minutes = [sample.minute for sample in settled]
    findings = []
    for limit in limits:
        lows = lows_of([limit.of(sample) for sample in settled])
        start, slope = fit(minutes[-len(lows) :], lows)
        growth = slope * (minutes[-1] - minutes[0])
        findings.append(Finding(limit, start, growth, growth <= limit.most))
    return findings


def lows_of(values: Sequence[float]) -> list[float]:
    """The lowest of each `LOW_OF` in a row."""
    return [min(values[end - LOW_OF : end]) for end in range(LOW_OF, len(values) + 1)]


def fit(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Least squares: the line's value at the first x, and its slope."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum(
        (x - mean_x) ** 2 for x in xs
    )
    return mean_y + slope * (xs[0] - mean_x), slope
