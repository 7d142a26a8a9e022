"""Alerts and how far each destination has been told of them."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from datetime import datetime
from enum import StrEnum

from orchestrator.db import lease
from orchestrator.db.pool import Connection


class Severity(StrEnum):
    """How soon a person should look, the least first."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(slots=True)
class Delivery:
    """What one destination knows of an alert."""

    destination: str
    told: int = 0
    """How often it was told that the alert lasts."""
    told_at: datetime | None = None
    """The last time."""
    over_at: datetime | None = None
    """When it was told that it is over."""
    tries: int = 0
    """In a row that failed."""
    next_try_at: datetime | None = None
    """Not before; None: at once."""


@dataclass(slots=True)
class Alert:
    """Something that is or was wrong. Of one `key` there is at most one that is not over."""

    id: str
    name: str
    """The kind, such as "job_failed"."""
    subject: str
    """What it is about, such as a job."""
    severity: Severity
    what: str
    remedy: str
    since: datetime
    raised_at: datetime
    cleared_at: datetime | None = None
    deliveries: dict[str, Delivery] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject


async def unfinished(connection: Connection) -> list[Alert]:
    """The alerts that last, and those whose end somebody has not been told of; the oldest first."""
    rows = await connection.fetch(
        """
        SELECT id, name, subject, severity, what, remedy, since, raised_at, cleared_at FROM alerts
        WHERE cleared_at IS NULL
            OR EXISTS (SELECT FROM alert_deliveries WHERE alert = id AND over_at IS NULL)
        ORDER BY raised_at, id
        """
    )
    alerts = {row["id"]: Alert(**{**row, "severity": Severity(row["severity"])}) for row in rows}
    told = await connection.fetch(
        """
        SELECT alert, destination, told, told_at, over_at, tries, next_try_at
        FROM alert_deliveries WHERE alert = ANY($1::text[])
        """,
        list(alerts),
    )
    for row in told:
        alerts[row["alert"]].deliveries[row["destination"]] = Delivery(*list(row.values())[1:])
    return list(alerts.values())


async def save(connection: Connection, alerts: Iterable[Alert], fence: int) -> None:
    """Write the alerts as they are, with their deliveries. Raises FenceLostError."""
    await lease.check(connection, fence)
    for alert in sorted(alerts, key=lambda one: one.cleared_at is None):  # who makes room comes first
        await _save(connection, alert)


async def _save(connection: Connection, alert: Alert) -> None:
    await connection.execute(
        """
        INSERT INTO alerts (id, name, subject, severity, what, remedy, since, raised_at, cleared_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, what = excluded.what,
            remedy = excluded.remedy, cleared_at = excluded.cleared_at
        """,
        alert.id,
        alert.name,
        alert.subject,
        alert.severity,
        alert.what,
        alert.remedy,
        alert.since,
        alert.raised_at,
        alert.cleared_at,
    )
    await connection.executemany(
        """
        INSERT INTO alert_deliveries (alert, destination, told, told_at, over_at, tries, next_try_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (alert, destination) DO UPDATE SET told = excluded.told, told_at = excluded.told_at,
            over_at = excluded.over_at, tries = excluded.tries, next_try_at = excluded.next_try_at
        """,
        [(alert.id, *astuple(delivery)) for delivery in alert.deliveries.values()],
    )
