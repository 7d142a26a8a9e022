"""Alert rules: Prometheus' own tool says that each fires when it has to, and is quiet just before that."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules" / "orchestrator.yml"

Series = dict[str, str]
CRITICAL = 'lane="critical", instance="a"'
TIERS = {'orchestrator_budget_tier{tier="low", instance="a"}': "1x30"}


def slower_than_5_s(histogram: str) -> tuple[Series, Series]:
    """Two of eight observations took more, and none."""
    count, bucket = f"orchestrator_{histogram}_count", f'orchestrator_{histogram}_bucket{{le="5.0"}}'
    return {count: "0 4 8x9", bucket: "0 4 6x9"}, {count: "0 4 8x9", bucket: "0 4 8x9"}


CASES: dict[str, tuple[Series, Series, int]] = {
    # alert: what makes it fire, what just does not, and after how many minutes
    "OrchestratorGone": (
        {'up{job="orchestrator", instance="a"}': "1 0x9"},
        {'up{job="orchestrator", instance="a"}': "1 0 0 1x9"},
        4,
    ),
    "OrchestratorStarting": (
        {'orchestrator_mode{mode="starting"}': "1x9"},
        {'orchestrator_mode{mode="starting"}': "1x3 0x9"},
        6,
    ),
    "OrchestratorDegraded": (
        {'orchestrator_mode{mode="degraded"}': "1x9"},
        {'orchestrator_mode{mode="degraded"}': "1x3 0 1x4"},
        6,
    ),
    "OrchestratorCheckDown": (
        {'orchestrator_check_up{check="browser"}': "1 0x9"},
        {'orchestrator_check_up{check="browser"}': "1 0 1x9"},
        4,
    ),
    "OrchestratorMessagesNotTaken": (
        {
            'orchestrator_alert_messages_total{destination="ops", outcome="failed"}': "0x5 1x30",
            'orchestrator_alert_messages_total{destination="ops", outcome="delivered"}': "7x35",
        },
        {
            'orchestrator_alert_messages_total{destination="ops", outcome="failed"}': "0x5 1x30",
            'orchestrator_alert_messages_total{destination="ops", outcome="delivered"}': "7x20 8x15",
        },
        30,
    ),
    "OrchestratorJobOverdue": (
        {'orchestrator_job_overdue{job_name="plan"}': "0 1x9"},
        {'orchestrator_job_overdue{job_name="plan"}': "0 1 0x9"},
        3,
    ),
    "OrchestratorJobFailed": (
        {'orchestrator_job_failed{job_name="plan"}': "0 1x9"},
        {'orchestrator_job_failed{job_name="plan"}': "0x9"},
        2,
    ),
    "OrchestratorJobCrashed": (
        {'orchestrator_job_restarts_total{job_name="plan"}': "0 0 1x9"},
        {'orchestrator_job_restarts_total{job_name="plan"}': "1x9"},
        5,
    ),
    "OrchestratorQueueLong": (
        {
            'orchestrator_queue_depth{lane="high"}': "6x9",
            'orchestrator_queue_depth{lane="background"}': "5x9",
        },
        {
            'orchestrator_queue_depth{lane="high"}': "5x9",
            'orchestrator_queue_depth{lane="background"}': "5x9",
        },
        3,
    ),
    "OrchestratorCriticalWorkWaited": (
        {
            f"orchestrator_pool_wait_seconds_count{{{CRITICAL}}}": "0 4 8x9",
            f'orchestrator_pool_wait_seconds_bucket{{{CRITICAL}, le="60.0"}}': "0 4 6x9",
        },
        {
            f"orchestrator_pool_wait_seconds_count{{{CRITICAL}}}": "0 4 8x9",
            f'orchestrator_pool_wait_seconds_bucket{{{CRITICAL}, le="60.0"}}': "0 4 8x9",
        },
        5,
    ),
    "OrchestratorContextsBroken": (
        {'orchestrator_pool_slots{state="broken"}': "1x9"},
        {'orchestrator_pool_slots{state="broken"}': "1x3 0 1x4"},
        6,
    ),
    "OrchestratorPostsInDoubt": (
        {'orchestrator_posts{state="ambiguous"}': "1x12"},
        {'orchestrator_posts{state="ambiguous"}': "1x8 0 1x4", 'orchestrator_posts{state="queued"}': "9x12"},
        11,
    ),
    "OrchestratorPostLate": (
        {"orchestrator_post_overdue_seconds": "800 901 961x9"},
        {"orchestrator_post_overdue_seconds": "900x9"},
        4,
    ),
    "OrchestratorOpportunitiesFew": (
        {'orchestrator_opportunities{state="open"}': "49x200", "orchestrator_opportunities_least": "50x200"},
        {
            'orchestrator_opportunities{state="open"}': "49x60 50 49x140",
            "orchestrator_opportunities_least": "50x200",
        },
        121,
    ),
    "OrchestratorBreakerOpen": (
        {'orchestrator_circuit_breaker_state{breaker="site:blog", state="open"}': "0 1x9"},
        {
            'orchestrator_circuit_breaker_state{breaker="site:blog", state="open"}': "1 0x9",
            'orchestrator_circuit_breaker_state{breaker="site:blog", state="closed"}': "0 1x9",
            'orchestrator_circuit_breaker_state{breaker="site:shop", state="forced_closed"}': "1x9",
        },
        2,
    ),
    "OrchestratorBreakerStaysOpen": (
        {
            'orchestrator_circuit_breaker_state{breaker="site:blog", state="open"}': "1x15 0 1x25",
            'orchestrator_circuit_breaker_state{breaker="site:blog", state="half_open"}': "0x15 1 0x25",
        },
        {
            'orchestrator_circuit_breaker_state{breaker="site:blog", state="open"}': "1x15 0 1x25",
            'orchestrator_circuit_breaker_state{breaker="site:blog", state="half_open"}': "0x41",
        },
        32,
    ),
    "OrchestratorDatabasePoolFull": (
        {'orchestrator_db_pool_connections{state="used"}': "9x9"},
        {
            'orchestrator_db_pool_connections{state="used"}': "8x9",
            'orchestrator_db_pool_connections{state="idle"}': "9x9",
        },
        3,
    ),
    "OrchestratorDatabaseConnectionHeld": (
        {"orchestrator_db_pool_leaks": "0 1x9"},
        {"orchestrator_db_pool_leaks": "0 1 0x9"},
        3,
    ),
    "OrchestratorDatabaseConnectionAwaited": (*slower_than_5_s("db_pool_wait_seconds"), 5),
    "OrchestratorQuerySlow": (*slower_than_5_s("db_query_seconds"), 5),
    "OrchestratorMemoryShort": (
        {'orchestrator_memory_step{step="none"}': "0x9", 'orchestrator_memory_step{step="paused"}': "1x9"},
        {'orchestrator_memory_step{step="none"}': "0x9", 'orchestrator_memory_step{step="paused"}': "0x9"},
        6,
    ),
    "OrchestratorMemoryCritical": (
        {
            'orchestrator_memory_bytes{part="daemon"}': "300x9",
            'orchestrator_memory_bytes{part="browser"}': "200x9",
            'orchestrator_memory_limit_bytes{limit="critical"}': "450x9",
        },
        {
            'orchestrator_memory_bytes{part="daemon"}': "300x9",
            'orchestrator_memory_bytes{part="browser"}': "100x9",
            'orchestrator_memory_limit_bytes{limit="critical"}': "450x9",
            'orchestrator_memory_limit_bytes{limit="warning"}': "350x9",
        },
        3,
    ),
    "OrchestratorCacheConnections": (
        {"orchestrator_cache_connections": "5x9"},
        {"orchestrator_cache_connections": "4x9"},
        3,
    ),
    "OrchestratorBudgetLow": (
        {'orchestrator_budget_left_ratio{instance="a"}': "0.19x9", **TIERS},
        {'orchestrator_budget_left_ratio{instance="a"}': "0.2x9", **TIERS},
        3,
    ),
}
NO_MODEL: Series = {
    'orchestrator_budget_left_ratio{instance="a"}': "0x9",
    'orchestrator_budget_tier{tier="low", instance="a"}': "0x9",
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: str) -> None:
    tool = shutil.which("promtool")
    assert tool is not None, "the tests need Debian's package prometheus"
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def firing(tmp_path: Path, alert: str, series: Series, minutes: int, times: int) -> None:
    """Check how many times the alert fires at that minute."""
    count = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": count, "eval_time": f"{minutes}m", "exp_samples": [{"labels": "{}", "value": times}]}
        ],
    }
    file = tmp_path / f"{alert}.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(json.dumps(document))  # JSON is YAML
    promtool("test", "rules", str(file))


def test_prometheus_takes_configuration_and_rules() -> None:
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yml"))
    promtool("check", "rules", str(RULES))


def test_alertmanager_takes_its_configuration() -> None:
    tool = shutil.which("amtool")
    assert tool is not None, "the tests need Debian's package prometheus-alertmanager"
    subprocess.run([tool, "check-config", str(DEPLOY / "alertmanager" / "alertmanager.yml")], check=True)


def test_each_alert_has_a_case_and_each_case_an_alert() -> None:
    assert [rule["alert"] for rule in rules()] == list(CASES)


@pytest.mark.parametrize("alert", CASES)
def test_it_fires(tmp_path: Path, alert: str) -> None:
    series, _, minutes = CASES[alert]
    firing(tmp_path, alert, series, minutes, 1)


@pytest.mark.parametrize("alert", CASES)
def test_it_is_quiet(tmp_path: Path, alert: str) -> None:
    _, series, minutes = CASES[alert]
    firing(tmp_path, alert, series, minutes, 0)


def test_without_a_language_model_its_budget_is_not_low(tmp_path: Path) -> None:
    firing(tmp_path, "OrchestratorBudgetLow", NO_MODEL, 3, 0)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_how_grave_it_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]


def slug(heading: str) -> str:
    """The anchor that Git hosts and MkDocs give a heading."""
    words = re.sub(r"[^\w\s-]", "", heading.lstrip("# ").lower())
    return re.sub(r"\s", "-", words.strip())
