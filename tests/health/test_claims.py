"""Which problems become alerts, and when."""

from datetime import timedelta

from orchestrator.alerts.desk import Claim
from orchestrator.db.alerts import Severity
from orchestrator.health.claims import STAYS_OPEN, claims
from orchestrator.health.problems import BREAKER_OPEN, CHECK_DOWN, Kind, Row, iso, problem
from orchestrator.settings import AlertsSettings
from tests.jobs.house import Moment
from tests.rows import NOON

SETTINGS = AlertsSettings(down_s=120, breaker_s=1800)


def down(name: str, since_s: float) -> Row:
    kind = Kind(name, "browser" if name == CHECK_DOWN else "site:blog", Severity.WARNING)
    return problem(f"{kind.subject} is down", iso(NOON - timedelta(seconds=since_s)), "Mend it", kind)


def names(*found: Row, speed: float = 1) -> list[str]:
    return [claim.name for claim in claims(found, Moment().clock(speed), SETTINGS)]


def test_a_check_is_an_alert_when_it_has_been_down_for_long_enough() -> None:
    assert names(down(CHECK_DOWN, 119)) == []
    assert names(down(CHECK_DOWN, 120)) == [CHECK_DOWN]


def test_what_is_long_enough_is_real_time() -> None:
    assert names(down(CHECK_DOWN, 120 * 239), speed=240) == []
    assert names(down(CHECK_DOWN, 120 * 240), speed=240) == [CHECK_DOWN]


def test_a_breaker_is_one_at_once_and_a_grave_one_when_it_stays_open() -> None:
    assert names(down(BREAKER_OPEN, 0)) == [BREAKER_OPEN]
    assert names(down(BREAKER_OPEN, 1799)) == [BREAKER_OPEN]
    listed = claims([down(BREAKER_OPEN, 1800)], Moment().clock(), SETTINGS)
    assert [(claim.name, claim.subject, claim.severity) for claim in listed] == [
        (BREAKER_OPEN, "site:blog", Severity.WARNING),
        (STAYS_OPEN, "site:blog", Severity.CRITICAL),
    ]
    assert listed[1].what == "site:blog has been left alone for more than 30 min"


def test_any_other_problem_is_told_at_once_as_it_stands_and_those_without_a_name_never() -> None:
    found = [
        problem("job plan has failed", iso(NOON), "Resume it", Kind("job_failed", "plan", Severity.CRITICAL)),
        problem("ada: p9 has the text of post 8", None, "Look", Kind("site_differs")),
        problem("3 posts are ambiguous", None, "Reconciliation is looking"),
    ]
    assert claims(found, Moment().clock(), SETTINGS) == [
        Claim("job_failed", "plan", Severity.CRITICAL, "job plan has failed", "Resume it", NOON),
        Claim("site_differs", found[1]["what"], Severity.WARNING, found[1]["what"], "Look", None),
    ]
