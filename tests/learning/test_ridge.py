"""Ridge regression: what it finds, and that it is the minimum that it is said to be."""

from random import Random

import pytest

from orchestrator.learning.ridge import MAX_FEATURES, Linear, Row, fit


def loss(model: Linear, rows: list[Row], targets: list[float], strength: float) -> float:
    errors = sum((model.predict(row) - target) ** 2 for row, target in zip(rows, targets, strict=True))
    return errors + strength * sum(weight**2 for weight in model.weights.values())


def cases(count: int) -> tuple[list[Row], list[float]]:
    rng = Random(1)
    rows: list[Row] = [{"a": rng.random(), rng.choice(("b", "c", "d")): 1.0} for _ in range(count)]
    targets = [0.3 * row.get("a", 0.0) + 0.2 * row.get("b", 0.0) + rng.gauss(0, 0.05) for row in rows]
    return rows, targets


def test_a_linear_truth_is_found() -> None:
    rows, targets = cases(400)
    model = fit(rows, targets, 0.01)
    assert model.weights["a"] == pytest.approx(0.3, abs=0.03)
    assert model.weights["b"] - model.weights["c"] == pytest.approx(0.2, abs=0.03)


def test_no_step_away_from_the_solution_lowers_the_loss() -> None:
    rows, targets = cases(60)
    model = fit(rows, targets, 3.0)
    least = loss(model, rows, targets, 3.0)
    for name in model.weights:
        for step in (-0.01, 0.01):
            moved = Linear(model.mean, {**model.weights, name: model.weights[name] + step}, model.centres)
            assert loss(moved, rows, targets, 3.0) > least


def test_what_was_not_known_in_training_plays_no_part() -> None:
    rows, targets = cases(60)
    model = fit(rows, targets, 3.0)
    assert model.predict({"a": 0.5, "e": 9.0}) == model.predict({"a": 0.5})


def test_only_the_commonest_features_are_kept() -> None:
    rows: list[Row] = [{"often": number % 2 + 1.0, f"once {number}": 1.0} for number in range(200)]
    model = fit(rows, [number % 2 for number in range(200)], 1.0)
    assert len(model.weights) == MAX_FEATURES
    assert "often" in model.weights


def test_of_nothing_nothing_is_learned() -> None:
    with pytest.raises(ValueError, match="0 cases"):
        fit([], [], 1.0)
