"""Each destination of alerts as a party that is asked by way of a breaker, named `alerts:NAME`."""

from orchestrator.breaker import judge_by
from orchestrator.breakers import Party, rule_for
from orchestrator.errors import AlertNotDeliveredError
from orchestrator.settings import ALERTS_PREFIX, Settings


def breaker_of(destination: str) -> str:
    """The name of a destination's breaker."""
    return ALERTS_PREFIX + destination


def destination_parties(settings: Settings) -> list[Party]:
    """Without a probe: Apprise knows no question that is no message, so the next message is one."""
    return [
        Party(
            name=breaker_of(name),
            rule=rule_for(settings.breakers, breaker_of(name), settings.alerts.timeout_s + 1),
            judge=judge_by(AlertNotDeliveredError),
            keeps="alerts to it wait",
        )
        for name in settings.alerts.destinations
    ]
