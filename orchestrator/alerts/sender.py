"""Sends a message to one destination through Apprise, whose calls block: each in a thread, one at a time.

An Apprise URL is a secret, and Apprise and its HTTP library write parts of it to their logs. So their
loggers go nowhere, and nothing that they say is passed on but an HTTP status.
"""

import logging
import re
import threading
from typing import TYPE_CHECKING

import trio
from pydantic import SecretStr

from orchestrator.alerts.messages import Message, test_message
from orchestrator.db.alerts import Severity
from orchestrator.errors import AlertNotDeliveredError, SettingsError
from orchestrator.settings import AlertsSettings

if TYPE_CHECKING:
    from apprise import NotifyBase, NotifyType

_LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_STATUS = re.compile(r"\berror=(\d{3})\b")


class Sender:
    """Knows the way to one destination; opened when first needed, since Apprise takes a while to load."""

    def __init__(self, name: str, url: SecretStr, timeout_s: float) -> None:
        self.name = name
        self._url = url
        self._timeout_s = timeout_s
        self._notifier: NotifyBase | None = None
        self._limiter = trio.CapacityLimiter(1)

    async def check(self) -> None:
        """Raises SettingsError when the URL is none that Apprise knows."""
        await trio.to_thread.run_sync(self._open, limiter=self._limiter)

    async def send(self, message: Message) -> None:
        """Raises AlertNotDeliveredError when it was not taken, or not within the time limit.

        A call that hangs keeps the destination busy, and nothing else.
        """
        with trio.move_on_after(self._timeout_s):
            await trio.to_thread.run_sync(self._send, message, limiter=self._limiter, abandon_on_cancel=True)
            return
        raise self._error(f"no answer within {self._timeout_s:g} s")

    def _send(self, message: Message) -> None:
        notifier = self._open()
        said = _Said(threading.get_ident())
        logger = logging.getLogger("apprise")
        logger.addHandler(said)
        try:
            is_sent = notifier.notify(
                title=message.title, body=message.body, notify_type=_type_of(message.severity)
            )
        except Exception as error:  # noqa: BLE001 - raised again, without text and cause: they may show the URL
            raise self._error(f"it failed with {type(error).__name__}") from None
        finally:
            logger.removeHandler(said)
        if not is_sent:
            raise self._error(f"HTTP {said.status}" if said.status else "it gave no answer, or refused")

    def _open(self) -> "NotifyBase":
        if self._notifier is None:
            self._notifier = _open(self.name, self._url)
        return self._notifier

    def _error(self, why: str) -> AlertNotDeliveredError:
        return AlertNotDeliveredError(
            f"alerts to {self.name}: {why}", remedy=f"Try: orchestrator alerts test {self.name}"
        )


def open_senders(settings: AlertsSettings) -> dict[str, Sender]:
    """The way to each destination. Raises SettingsError for a file with an address that can't be read."""
    return {name: Sender(name, settings.read_url(name), settings.timeout_s) for name in settings.destinations}


async def check_destinations(settings: AlertsSettings) -> None:
    """Raises SettingsError for an address that Apprise does not know."""
    for sender in open_senders(settings).values():
        await sender.check()


async def send_test(settings: AlertsSettings, name: str | None) -> list[str]:
    """Send a test message to one destination or all of them; a line for each that took it.

    Raises AlertNotDeliveredError for the first that did not, SettingsError for one that is not there.
    """
    senders = open_senders(settings)
    if name is not None and name not in senders:
        known = ", ".join(senders) or "none is set; see docs/alerts.md"
        raise SettingsError(f"there is no destination {name!r}", remedy=f"Destinations: {known}")
    if not senders:
        raise SettingsError("no destination is set", remedy="See docs/alerts.md")
    told = []
    for sender in [senders[name]] if name is not None else senders.values():
        await sender.send(test_message())
        told.append(f"{sender.name} took the message")
    return told


class _Said(logging.Handler):
    """Hears which HTTP status made a call of one thread fail."""

    def __init__(self, thread: int) -> None:
        super().__init__(logging.WARNING)
        self._thread = thread
        self.status = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and (found := _STATUS.search(record.getMessage())):
            self.status = found[1]


def _open(name: str, url: SecretStr) -> "NotifyBase":
    for logger_name in _LOGGERS:
        logger = logging.getLogger(logger_name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else the standard library's last resort speaks
    from apprise import Apprise, AppriseAsset, OverflowMode

    # A redirect could take the message to another host, and makes a GET of it.
    asset = AppriseAsset(app_id="orchestrator", app_desc="orchestrator", http_redirects=False)
    notifier = Apprise.instantiate(url.get_secret_value(), asset=asset)
    if notifier is None:
        raise SettingsError(
            f"alerts.destinations.{name}: the URL is none that Apprise knows",
            remedy="docs/alerts.md has examples",
        )
    notifier.overflow_mode = OverflowMode.SPLIT  # what is too long for the service goes in parts
    return notifier


def _type_of(severity: Severity | None) -> "NotifyType":
    from apprise import NotifyType

    if severity is None:
        return NotifyType.SUCCESS
    return NotifyType.FAILURE if severity is Severity.CRITICAL else NotifyType.WARNING
