"""Keeps the alerts: raises and clears them as problems come and go, and knows whom to tell what, and when.

The desk works from memory and writes through to the database, so alerts outlive the daemon, and that the
database is down can be told while it is. What could not be written is written with the next change.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import datetime
from random import Random
from typing import Any

import structlog
import trio

from orchestrator.alerts.messages import Item, Phase
from orchestrator.clock import Clock
from orchestrator.db import alerts as table
from orchestrator.db.alerts import Alert, Delivery, Severity
from orchestrator.db.fence import Fence
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseError, FenceLostError
from orchestrator.metrics import Metrics
from orchestrator.retry import RetryRule
from orchestrator.settings import AlertsSettings

TRY_AGAIN = RetryRule(retries=0, base_s=30.0, cap_s=600.0)
"""Between two tries to tell a destination; there is no last one."""
AT_ONCE = 10
"""So many alerts are told in one message."""

log = structlog.get_logger("alerts")


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that is wrong now and that people are to be told of."""

    name: str
    subject: str
    severity: Severity
    what: str
    remedy: str
    since: datetime | None


class Desk:
    """All alerts that are not over, and those whose end is still to be told."""

    def __init__(
        self,
        settings: AlertsSettings,
        clock: Clock,
        rng: Random,
        metrics: Metrics,
        database: Database,
        fence: Fence,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._database = database
        self._fence = fence
        self._alerts: dict[str, Alert] = {}
        self._unsaved: set[str] = set()
        self._lock = trio.Lock()

    async def load(self) -> None:
        """What an earlier daemon has left to tell. Raises DatabaseError."""
        stored = await self._database.run(table.unfinished)
        self._alerts = {alert.id: alert for alert in stored if not self._is_finished(alert)}
        self._expect()

    def adopt(self, settings: AlertsSettings) -> None:
        """Go by other settings; a destination that is new is told of what lasts."""
        self._settings = settings
        self._expect()

    # ── what is wrong ───────────────────────────────────────────────────────────────────────────

    async def note(self, claims: Sequence[Claim], unknown: Collection[str] = ()) -> None:
        """Raise an alert for each new claim, clear those without one; not those of a name in `unknown`."""
        now = self._clock.now()
        current = {alert.key: alert for alert in self._alerts.values() if alert.cleared_at is None}
        for claim in {(one.name, one.subject): one for one in claims}.values():
            alert = current.pop((claim.name, claim.subject), None)
            if alert is None:
                self._raise(claim, now)
            elif (alert.severity, alert.what, alert.remedy) != (claim.severity, claim.what, claim.remedy):
                alert.severity, alert.what, alert.remedy = claim.severity, claim.what, claim.remedy
                self._unsaved.add(alert.id)
        for alert in current.values():
            if alert.name not in unknown:
                alert.cleared_at = now
                self._unsaved.add(alert.id)
                log.info("alert_over", alert=alert.name, subject=alert.subject, id=alert.id)
        self._expect()
        await self._save()

    def _raise(self, claim: Claim, now: datetime) -> None:
        alert = Alert(
            uuid.uuid4().hex[:12],
            claim.name,
            claim.subject,
            claim.severity,
            claim.what,
            claim.remedy,
            claim.since or now,
            now,
        )
        self._alerts[alert.id] = alert
        self._unsaved.add(alert.id)
        log.warning(
            "alert_raised",
            alert=alert.name,
            subject=alert.subject,
            severity=alert.severity,
            what=alert.what,
            remedy=alert.remedy,
            id=alert.id,
        )

    def _expect(self) -> None:
        """Each destination is to be told of each alert that lasts and is grave enough for it."""
        for alert in self._alerts.values():
            for name, destination in self._settings.destinations.items():
                is_grave = _RANK.index(alert.severity) >= _RANK.index(Severity(destination.severity))
                if is_grave and alert.cleared_at is None and name not in alert.deliveries:
                    alert.deliveries[name] = Delivery(name)
                    self._unsaved.add(alert.id)

    # ── whom to tell ────────────────────────────────────────────────────────────────────────────

    def is_due(self) -> bool:
        """Whether any destination has something to be told now."""
        return any(self.due(name) for name in self._settings.destinations)

    def due(self, destination: str) -> list[Item]:
        """What the destination is to be told now, in one message; the gravest and the oldest first."""
        now, found = self._clock.now(), []
        for alert in self._alerts.values():
            delivery = alert.deliveries.get(destination)
            if delivery is None or self._has_to_wait(delivery, now):
                continue
            if (phase := self._phase(alert, delivery, now)) is not None:
                found.append(Item(alert, delivery, phase))
        found.sort(key=lambda item: (-_RANK.index(item.alert.severity), item.alert.raised_at))
        return found[:AT_ONCE]

    def _phase(self, alert: Alert, delivery: Delivery, now: datetime) -> Phase | None:
        if alert.cleared_at is not None:
            return Phase.OVER if delivery.over_at is None else None
        if delivery.told_at is None:
            return Phase.NEW
        is_long = now - delivery.told_at >= self._clock.span(self._settings.repeat_s)
        return Phase.STILL if is_long else None

    def _has_to_wait(self, delivery: Delivery, now: datetime) -> bool:
        """Not for longer than between two tries: what is later was noted by a clock that was ahead."""
        at = delivery.next_try_at
        return at is not None and now < at <= now + self._clock.span(TRY_AGAIN.cap_s)

    async def told(self, items: Iterable[Item]) -> None:
        """The destination has taken them."""
        now = self._clock.now()
        for item in items:
            delivery = item.delivery
            if item.phase is Phase.OVER:
                delivery.over_at = now
            else:
                delivery.told_at, delivery.told = now, delivery.told + 1
            delivery.tries, delivery.next_try_at = 0, None
            self._unsaved.add(item.alert.id)
        await self._save()

    async def missed(self, items: Iterable[Item]) -> None:
        """The destination has not taken them: they are tried again, ever more rarely."""
        now = self._clock.now()
        for item in items:
            delivery = item.delivery
            delivery.tries += 1
            delivery.next_try_at = now + self._clock.span(TRY_AGAIN.delay_s(delivery.tries, self._rng))
            self._unsaved.add(item.alert.id)
        await self._save()

    # ── people ──────────────────────────────────────────────────────────────────────────────────

    @property
    def destinations(self) -> list[dict[str, str]]:
        """Who is told, and what least."""
        return [{"name": name, "severity": one.severity} for name, one in self._settings.destinations.items()]

    def rows(self) -> list[dict[str, Any]]:
        """The alerts as plain data for people, the newest first."""
        found = sorted(self._alerts.values(), key=lambda alert: alert.raised_at, reverse=True)
        return [
            {
                **{key: _plain(value) for key, value in asdict(alert).items() if key != "deliveries"},
                "deliveries": [
                    {key: _plain(value) for key, value in asdict(delivery).items()}
                    for delivery in alert.deliveries.values()
                ],
            }
            for alert in found
        ]

    # ── the table ───────────────────────────────────────────────────────────────────────────────

    async def _save(self) -> None:
        """Write what has changed, and let go of what is over and told."""
        for severity in Severity:
            lasting = [a for a in self._alerts.values() if a.cleared_at is None and a.severity is severity]
            self._metrics.alerts.labels(severity=severity).set(len(lasting))
        async with self._lock:  # or an older state could be written after a newer one
            changed, self._unsaved = self._unsaved, set()
            if not changed:
                return
            # Copies, since the other thread reads them while destinations are told.
            alerts = [deepcopy(self._alerts[alert_id]) for alert_id in changed]
            is_written = False
            try:
                await self._database.run(table.save, alerts, self._fence.number)
                is_written = True
            except FenceLostError:
                raise
            except DatabaseError as error:
                log.warning("alerts_not_stored", count=len(alerts), error=str(error))
            finally:
                if not is_written:
                    self._unsaved |= changed
        for alert_id in changed - self._unsaved:
            if self._is_finished(self._alerts[alert_id]):
                del self._alerts[alert_id]

    def _is_finished(self, alert: Alert) -> bool:
        waiting = [d for d in alert.deliveries.values() if d.over_at is None]
        return alert.cleared_at is not None and not any(
            delivery.destination in self._settings.destinations for delivery in waiting
        )


_RANK = tuple(Severity)


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
