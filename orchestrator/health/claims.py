"""Which problems people outside are told of, and when."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from orchestrator.alerts.desk import Claim
from orchestrator.clock import Clock
from orchestrator.db.alerts import Severity
from orchestrator.health.problems import BREAKER_OPEN, CHECK_DOWN, Row
from orchestrator.settings import AlertsSettings

STAYS_OPEN = "breaker_stays_open"


def claims(rows: Sequence[Row], clock: Clock, settings: AlertsSettings) -> list[Claim]:
    """What to tell of the problems of this moment: checks when they have been down for long enough, a
    breaker when it opens and once more when it has been open for long, all else at once."""
    return [claim for row in rows if "name" in row for claim in _claims(row, clock, settings)]


def _claims(row: Row, clock: Clock, settings: AlertsSettings) -> Iterator[Claim]:
    since = datetime.fromisoformat(row["since"]) if row["since"] else None
    age_s = clock.real_seconds((clock.now() - since).total_seconds()) if since is not None else 0.0
    if row["name"] == CHECK_DOWN and age_s < settings.down_s:
        return
    severity = Severity(row["severity"])
    yield Claim(row["name"], row["subject"], severity, row["what"], row["remedy"], since)
    if row["name"] == BREAKER_OPEN and age_s >= settings.breaker_s:
        what = f"{row['subject']} has been left alone for more than {settings.breaker_s / 60:g} min"
        yield Claim(STAYS_OPEN, row["subject"], Severity.CRITICAL, what, row["remedy"], since)
