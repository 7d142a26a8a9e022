"""The systemd unit fits the daemon."""

import configparser
from pathlib import Path

from orchestrator.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "orchestrator.service"


def test_the_units_sigterm_is_for_the_daemon_alone_and_leaves_time_for_what_runs() -> None:
    unit = configparser.ConfigParser()
    unit.read(UNIT)
    service = unit["Service"]
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > 2 * Settings().shutdown_deadline_s
    assert service["StateDirectory"] == Settings().state_dir.name
    assert service["ExecStart"].split()[1] == "run"
