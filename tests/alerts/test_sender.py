"""Sending through Apprise to a real server, and what must not be seen of its address."""

import io
import socket
import traceback

import pytest
import structlog
from pydantic import SecretStr

from orchestrator import log
from orchestrator.alerts.messages import Message
from orchestrator.alerts.sender import Sender, check_destinations, send_test
from orchestrator.db.alerts import Severity
from orchestrator.errors import AlertNotDeliveredError, SettingsError
from orchestrator.settings import AlertsSettings, LogSettings
from tests.alerts.webhook import TOKEN, Webhook, webhook

MESSAGE = Message("1 new", "NEW [critical] the browser is down", Severity.CRITICAL)


def sender(hook: Webhook, timeout_s: float = 20) -> Sender:
    return Sender("ops", SecretStr(hook.url), timeout_s)


def settings_of(**urls: str) -> AlertsSettings:
    return AlertsSettings.model_validate({"destinations": {name: {"url": url} for name, url in urls.items()}})


async def test_a_message_arrives_with_its_severity(hook: Webhook) -> None:
    await sender(hook).send(MESSAGE)
    [taken] = hook.taken
    assert (taken["title"], taken["message"], taken["type"]) == (MESSAGE.title, MESSAGE.body, "failure")


async def test_what_is_not_taken_is_an_error_with_its_status(hook: Webhook) -> None:
    hook.does = 500
    with pytest.raises(AlertNotDeliveredError, match="alerts to ops: HTTP 500") as caught:
        await sender(hook).send(MESSAGE)
    assert caught.value.remedy == "Try: orchestrator alerts test ops"
    hook.does = "garbage"
    with pytest.raises(AlertNotDeliveredError, match="alerts to ops: it gave no answer, or refused"):
        await sender(hook).send(MESSAGE)


async def test_a_server_that_hangs_is_given_up_and_holds_up_nothing_else(hook: Webhook) -> None:
    hook.does = "hang"
    await sender(hook).check()  # Apprise loads
    with pytest.raises(AlertNotDeliveredError, match=r"no answer within 0\.2 s"):
        await sender(hook, 0.2).send(MESSAGE)
    with webhook() as other:
        await sender(other).send(MESSAGE)
        assert len(other.taken) == 1


async def test_a_message_goes_to_no_other_host_than_the_address_says(hook: Webhook) -> None:
    with webhook() as other:
        hook.does, hook.location = 307, f"http://127.0.0.1:{other.port}/"
        with pytest.raises(AlertNotDeliveredError, match="HTTP 307"):
            await sender(hook).send(MESSAGE)
        assert other.taken == []


async def test_nothing_of_the_address_is_seen_whatever_happens(hook: Webhook) -> None:
    """Also without the redactor knowing the address, and with everything logged."""
    stream = io.StringIO()
    log.configure(LogSettings(level="debug", format="json"), stream, environ={})
    said = []
    for does in (200, 403, 500, "garbage", "hang"):
        hook.does = does
        try:
            await sender(hook, 20 if does != "hang" else 0.2).send(MESSAGE)
        except AlertNotDeliveredError as error:
            structlog.get_logger("test").exception("not_delivered")
            said += [error.line(), "".join(traceback.format_exception(error))]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"json://127.0.0.1:{closed.getsockname()[1]}/{TOKEN}"
        with pytest.raises(AlertNotDeliveredError) as refused:
            await Sender("ops", SecretStr(url), 20).send(MESSAGE)
    with pytest.raises(SettingsError) as unknown:
        await check_destinations(settings_of(ops=f"nonsense://{TOKEN}"))
    said += ["".join(traceback.format_exception(error.value)) for error in (refused, unknown)]
    assert len(said) == 10
    assert "not_delivered" in stream.getvalue()
    assert TOKEN not in stream.getvalue()
    assert TOKEN not in "".join(said)
    assert TOKEN not in repr(vars(sender(hook)))


async def test_an_address_that_apprise_does_not_know_is_a_wrong_setting(hook: Webhook) -> None:
    await check_destinations(settings_of(ops=hook.url))
    assert hook.taken == []
    with pytest.raises(SettingsError, match=r"destinations\.mail: the URL is none that Apprise knows"):
        await check_destinations(settings_of(ops=hook.url, mail="nonsense://host"))


async def test_a_test_message_goes_to_one_destination_or_to_all(hook: Webhook) -> None:
    with webhook() as other:
        given = settings_of(ops=hook.url, mail=other.url)
        assert await send_test(given, "mail") == ["mail took the message"]
        assert (len(hook.taken), len(other.taken)) == (0, 1)
        assert await send_test(given, None) == ["ops took the message", "mail took the message"]
        with pytest.raises(SettingsError, match="there is no destination 'chat'") as caught:
            await send_test(given, "chat")
        assert caught.value.remedy == "Destinations: ops, mail"
    with pytest.raises(SettingsError, match="no destination is set"):
        await send_test(AlertsSettings(), None)
