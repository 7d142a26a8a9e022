"""What a message says: all that is new to one destination, in one text."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.alerts import runbook
from orchestrator.db.alerts import Alert, Delivery, Severity

MAX_WHAT_CHARS = 300
"""Of one alert's sentence: some destinations take 2,000 characters in all."""


class Phase(StrEnum):
    """What is told of an alert."""

    NEW = "NEW"
    STILL = "STILL"
    OVER = "OVER"


@dataclass(frozen=True, slots=True)
class Item:
    """One alert in a message."""

    alert: Alert
    delivery: Delivery
    phase: Phase

    @property
    def id(self) -> str:
        """The same however often it is sent, so that who gets it twice can tell."""
        return f"{self.alert.id}-{'over' if self.phase is Phase.OVER else self.delivery.told + 1}"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    title: str
    body: str
    severity: Severity | None
    """None: good news only."""


def compose(items: Sequence[Item]) -> Message:
    lasting = [item.alert.severity for item in items if item.phase is not Phase.OVER]
    counts = [(phase, sum(item.phase is phase for item in items)) for phase in Phase]
    title = ", ".join(f"{count} {phase.lower()}" for phase, count in counts if count)
    severity = Severity.CRITICAL if Severity.CRITICAL in lasting else Severity.WARNING
    return Message(
        f"orchestrator on {socket.gethostname()}: {title}",
        "\n\n".join(map(_paragraph, items)),
        severity if lasting else None,
    )


def test_message() -> Message:
    """For `orchestrator alerts test`."""
    title = f"orchestrator on {socket.gethostname()}: a test"
    return Message(title, "This destination gets alerts. Nothing is wrong.", None)


def _paragraph(item: Item) -> str:
    alert = item.alert
    lines = [f"{item.phase} [{alert.severity}] {_cut(alert.what)}"]
    if item.phase is Phase.OVER and alert.cleared_at is not None:
        lines.append(f"from {_shown(alert.since)} to {_shown(alert.cleared_at)}")
    else:
        lines.append(f"since {_shown(alert.since)}")
        lines += [f"→ {_cut(alert.remedy)}"] if alert.remedy else []
        lines.append(f"see {runbook.link(alert.name, alert.subject)}")
    return "\n".join([*lines, f"({alert.name} {_cut(alert.subject)}, id {item.id})"])


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_WHAT_CHARS else f"{text[: MAX_WHAT_CHARS - 1]}…"


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
