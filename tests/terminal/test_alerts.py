"""What `ctl alerts` shows."""

from orchestrator.terminal.alerts import render_alerts
from tests.terminal.test_status import line_with, shown

CLOCK = {"now": "2026-05-04T12:10:00+00:00"}
OPS = {"name": "ops", "severity": "warning"}


def alert(**more: object) -> dict[str, object]:
    return {
        "severity": "critical",
        "what": "job plan has failed",
        "remedy": "Start it again",
        "since": "2026-05-04T12:00:00+00:00",
        **more,
    }


def test_an_alert_is_shown_with_what_each_destination_knows() -> None:
    mail = {"destination": "mail", "told_at": "2026-05-04T12:05:00+00:00", "tries": 0}
    ops = {"destination": "ops", "told_at": None, "tries": 3}
    output = shown(
        render_alerts({"alerts": [alert(deliveries=[mail, ops])], "destinations": [OPS], "clock": CLOCK})
    )
    assert "critical  job plan has failed  for 10 min" in output
    assert "→ Start it again" in output
    assert line_with("mail:", output).strip() == "mail: told 5 min ago"
    assert line_with("ops:", output).strip() == "ops: not told yet; 3 tries failed"
    assert "Told: ops (warning)" in output


def test_an_alert_that_is_over_stays_until_that_is_told() -> None:
    over = alert(cleared_at="2026-05-04T12:09:00+00:00", deliveries=[])
    output = shown(render_alerts({"alerts": [over], "destinations": [OPS], "clock": CLOCK}))
    assert "job plan has failed  over 1 min ago" in output
    assert "→" not in output


def test_without_alerts_and_destinations_it_says_so() -> None:
    output = shown(render_alerts({"alerts": [], "destinations": [], "clock": CLOCK}))
    assert "No alert." in output
    assert "No destination is set; alerts are shown here alone." in output
