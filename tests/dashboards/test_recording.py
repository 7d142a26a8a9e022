"""Recording rules: Prometheus' own tool says what each makes of given series."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.__main__ import BOARDS, file_of
from tests.dashboards.test_rules import DEPLOY, Series, promtool

RECORDING = DEPLOY / "prometheus" / "rules" / "recording.yml"
DOCS = DEPLOY.parent / "docs" / "dashboards.md"
UP = 'up{job="orchestrator", instance="a"}'
READY = 'orchestrator_mode{mode="ready", instance="a"}'
RUNS = "orchestrator_job_runs_total"
DELAY, WAIT = "orchestrator_post_delay_seconds", "orchestrator_pool_wait_seconds"

CASES: dict[str, tuple[Series, int, dict[str, float]]] = {
    # series: what it is made of, after how many minutes, and its value by its labels
    "instance:orchestrator_ready:ratio5m": (
        {UP: "1x2 0 1 0x20", READY: "1x2 _ 0 _x20"},
        4,
        {'{instance="a"}': 3 / 5},
    ),
    "instance:orchestrator_runs_failed:ratio1h": (
        {
            f'{RUNS}{{job_name="plan", outcome="done", instance="a"}}': "0+1x60",
            f'{RUNS}{{job_name="plan", outcome="given_up", instance="a"}}': "0+0.5x60",
            f'{RUNS}{{job_name="learn", outcome="retry", instance="a"}}': "0+0.5x60",
            f'{RUNS}{{job_name="plan", outcome="skipped", instance="a"}}': "0+9x60",
        },
        60,
        {'{instance="a"}': 1 / 2},
    ),
    "instance:orchestrator_posts_published:increase1h": (
        {f'{DELAY}_count{{instance="a"}}': "0+2x60"},
        60,
        {'{instance="a"}': 120},
    ),
    "instance:orchestrator_post_delay_seconds:p95_1h": (
        {
            f'{DELAY}_bucket{{instance="a", le="60.0"}}': "0+9x60",
            f'{DELAY}_bucket{{instance="a", le="300.0"}}': "0+10x60",
            f'{DELAY}_bucket{{instance="a", le="+Inf"}}': "0+10x60",
        },
        60,
        {'{instance="a"}': 180},
    ),
    "instance_lane:orchestrator_pool_wait_seconds:p99_1h": (
        {
            f'{WAIT}_bucket{{instance="a", lane="high", le="1.0"}}': "0+98x60",
            f'{WAIT}_bucket{{instance="a", lane="high", le="5.0"}}': "0+100x60",
            f'{WAIT}_bucket{{instance="a", lane="high", le="+Inf"}}': "0+100x60",
        },
        60,
        {'{instance="a", lane="high"}': 3},
    ),
    "instance:orchestrator_cache_hits:ratio1h": (
        {
            'orchestrator_cache_hits_total{namespace="arms", instance="a"}': "0+3x60",
            'orchestrator_cache_misses_total{namespace="arms", instance="a"}': "0+1x60",
        },
        60,
        {'{instance="a"}': 3 / 4},
    ),
    "instance:orchestrator_memory_bytes:sum": (
        {
            'orchestrator_memory_bytes{part="daemon", instance="a"}': "70x9",
            'orchestrator_memory_bytes{part="browser", instance="a"}': "200x9",
        },
        3,
        {'{instance="a"}': 270},
    ),
}
NEVER_RAN: Series = {f'{RUNS}{{job_name="plan", outcome="done", instance="a"}}': "0x60", UP: "0x60"}


def records() -> list[str]:
    groups = yaml.safe_load(RECORDING.read_text())["groups"]
    return [rule["record"] for group in groups for rule in group["rules"]]


def check(tmp_path: Path, name: str, series: Series, minutes: int, values: dict[str, float]) -> None:
    samples = [{"labels": f"{name}{labels}", "value": value} for labels, value in values.items()]
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": series_name, "values": said} for series_name, said in series.items()],
        "promql_expr_test": [{"expr": name, "eval_time": f"{minutes}m", "exp_samples": samples}],
    }
    file = tmp_path / "test.yml"
    document = {"rule_files": [str(RECORDING)], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(json.dumps(document))
    promtool("test", "rules", str(file))


def test_prometheus_takes_them() -> None:
    promtool("check", "rules", str(RECORDING))


def test_each_series_has_a_case_and_stands_in_the_docs() -> None:
    assert records() == list(CASES)
    text = DOCS.read_text("utf-8")
    assert [name for name in records() if f"`{name}`" not in text] == []


def test_each_series_that_a_dashboard_shows_is_recorded_and_the_other_way_round() -> None:
    shown = " ".join(file_of(board).read_text("utf-8") for board in BOARDS)
    assert [name for name in records() if name not in shown] == []


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_it_is_called(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, *CASES[name])


def test_what_is_gone_is_not_ready(tmp_path: Path) -> None:
    check(tmp_path, "instance:orchestrator_ready:ratio5m", {UP: "0x9"}, 6, {'{instance="a"}': 0})


def test_a_share_of_nothing_is_nothing(tmp_path: Path) -> None:
    for name in ("instance:orchestrator_runs_failed:ratio1h", "instance:orchestrator_cache_hits:ratio1h"):
        check(tmp_path, name, NEVER_RAN, 60, {})
