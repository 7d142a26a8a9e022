from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics import LANES, SLOT_STATES, Metrics
from orchestrator.model import Ending, Mode, PostState


def families(metrics: Metrics) -> dict[str, set[tuple[tuple[str, str], ...]]]:
    """The labels of every series, by the name of its metric."""
    text = metrics.render().decode()
    return {
        family.name: {tuple(sorted(sample.labels.items())) for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def values(metrics: Metrics) -> list[float]:
    text = metrics.render().decode()
    return [sample.value for family in text_string_to_metric_families(text) for sample in family.samples]


def labels(name: str, choices: Iterable[str]) -> set[tuple[tuple[str, str], ...]]:
    return {((name, str(choice)),) for choice in choices}


def test_series_of_closed_sets_are_there_at_zero_from_the_start() -> None:
    metrics = Metrics()
    found = families(metrics)
    assert found["orchestrator_pool_slots"] == labels("state", SLOT_STATES)
    assert found["orchestrator_queue_depth"] == labels("lane", LANES)
    assert found["orchestrator_mode"] == labels("mode", Mode)
    assert found["orchestrator_posts"] == labels("state", PostState)
    assert len(found["orchestrator_leases"]) == len(LANES) * 5
    assert set(values(metrics)) == {0.0}


def test_a_declared_job_has_all_its_series_at_zero() -> None:
    metrics = Metrics()
    metrics.declare_job("plan", uses_browser=True)
    found = families(metrics)
    assert found["orchestrator_job_runs"] == {
        (("job_name", "plan"), ("outcome", ending)) for ending in Ending
    }
    for name in ("job_restarts", "job_paused", "job_last_success_timestamp_seconds"):
        assert found[f"orchestrator_{name}"] == {(("job_name", "plan"),)}, name
    for name in ("job_run_seconds", "pool_hold_seconds"):
        assert (("job_name", "plan"),) in found[f"orchestrator_{name}"], name
    assert set(values(metrics)) == {0.0}


def test_a_declared_check_is_down_until_somebody_looked() -> None:
    metrics = Metrics()
    metrics.declare_check("database")
    assert families(metrics)["orchestrator_check_up"] == {(("check", "database"),)}
    assert set(values(metrics)) == {0.0}


def test_every_metric_is_ours_and_every_time_is_in_seconds() -> None:
    for name in families(Metrics()):
        assert name.startswith("orchestrator_")
        assert not name.endswith(("_ms", "_minutes", "_created"))


def test_two_daemons_in_one_process_do_not_share_figures() -> None:
    one, other = Metrics(), Metrics()
    one.leases.labels(lane="high", outcome="released").inc()
    assert set(values(other)) == {0.0}
    assert sum(values(one)) == 1
