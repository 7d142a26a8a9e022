"""Ridge regression on few features, in closed form; docs/dependencies.md: why no library does it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

Row = Mapping[str, float]
"""The features of one case that are not 0."""

MAX_FEATURES = 120
"""The commonest are kept: solving takes their cube, 0.2 s for so many."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A prediction is `mean` plus the weight of each feature times what it is beyond its own mean.

    A feature that was not known in training plays no part.
    """

    mean: float
    weights: Mapping[str, float]
    centres: Mapping[str, float]

    def predict(self, row: Row) -> float:
        return self.mean + sum(
            weight * (row.get(name, 0.0) - self.centres[name]) for name, weight in self.weights.items()
        )


def fit(rows: Sequence[Row], targets: Sequence[float], strength: float) -> Linear:
    """The weights that minimise the squared error plus `strength` (> 0) times their squares.

    Raises ValueError without a case, or when there are not as many targets as rows.
    """
    if not rows or len(rows) != len(targets):
        raise ValueError(f"{len(rows)} cases have {len(targets)} outcomes")
    count, mean = len(rows), sum(targets) / len(targets)
    seen = Counter(name for row in rows for name in row)
    names = sorted(name for name, _ in seen.most_common(MAX_FEATURES))
    place = {name: index for index, name in enumerate(names)}
    totals, crossed = [0.0] * len(names), [0.0] * len(names)
    gram = [[0.0] * len(names) for _ in names]
    for row, target in zip(rows, targets, strict=True):
        here = [(place[name], value) for name, value in row.items() if name in place]
        for index, value in here:
            totals[index] += value
            crossed[index] += value * (target - mean)
            line = gram[index]
            for other, with_value in here:
                line[other] += value * with_value
    for index, line in enumerate(gram):
        for other in range(len(names)):
            line[other] -= totals[index] * totals[other] / count
        line[index] += strength
    weights = _solve(gram, crossed)
    centres = [total / count for total in totals]
    return Linear(mean, dict(zip(names, weights, strict=True)), dict(zip(names, centres, strict=True)))


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """By Cholesky's method: the matrix is symmetric and, by the ridge, positive definite."""
    size = len(right)
    lower: list[list[float]] = []
    half: list[float] = []
    for i in range(size):
        line: list[float] = []
        for j in range(i):
            done = sum(a * b for a, b in zip(line, lower[j], strict=False))
            line.append((matrix[i][j] - done) / lower[j][j])
        line.append(sqrt(matrix[i][i] - sum(a * a for a in line)))
        lower.append(line)
        half.append((right[i] - sum(a * b for a, b in zip(line, half, strict=False))) / line[i])
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (half[i] - sum(lower[j][i] * found[j] for j in range(i + 1, size))) / lower[i][i]
    return found
