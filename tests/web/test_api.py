import json
from typing import Any

import pytest
import trio
from starlette.types import ASGIApp, Message
from structlog.testing import capture_logs

from orchestrator.web import api
from orchestrator.web.api import make_app

CHECK = {
    "name": "database",
    "state": "up",
    "is_critical": True,
    "duration_s": 0.02,
    "detail": "",
    "remedy": "",
}


class Daemon:
    """What the endpoints look at, and the endpoints."""

    def __init__(self, *hosts: str) -> None:
        self.is_ready = True
        self.mode = ""
        self.app = make_app(
            look=self.look, weigh=self.weigh, metrics=lambda: b"orchestrator_up 1\n", hosts=hosts
        )

    def look(self) -> tuple[bool, dict[str, Any]]:
        mode = self.mode or ("ready" if self.is_ready else "starting")
        return self.is_ready, {"mode": mode, "checks": [CHECK]}

    def weigh(self) -> dict[str, Any]:
        return {"memory": {"daemon_bytes": 7}, "connections": {"http": 1}}


class Answer:
    """One response, read to its end."""

    def __init__(self, messages: list[Message]) -> None:
        start = messages[0]
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


async def get(app: ASGIApp, path: str, host: str | None = "localhost:8700", method: str = "GET") -> Answer:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        messages.append(message)

    headers = [] if host is None else [(b"host", host.encode())]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
    }
    await app(scope, receive, send)
    return Answer(messages)


async def test_livez_is_200_whether_ready_or_not() -> None:
    daemon = Daemon()
    daemon.is_ready = False
    answer = await get(daemon.app, "/livez")
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
async def test_readyz_says_whether_and_names_each_check(is_ready: bool, status: int) -> None:
    daemon = Daemon()
    daemon.is_ready = is_ready
    answer = await get(daemon.app, "/readyz")
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    document = json.loads(answer.body)
    assert document["ready"] is is_ready
    assert document["checks"] == [CHECK]


MODES: dict[str, tuple[bool, int, int, int, int]] = {
    # mode: is it ready, then the status of /livez, /startupz, /readyz and /health
    "starting": (False, 200, 503, 503, 503),
    "ready": (True, 200, 200, 200, 200),
    "degraded": (True, 200, 200, 200, 200),
    "degraded, and a critical check is down": (False, 200, 200, 503, 503),
    "draining": (False, 200, 200, 503, 503),
}


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode_has_the_answers_that_kubernetes_expects(mode: str) -> None:
    daemon = Daemon()
    daemon.is_ready, *expected = MODES[mode]
    daemon.mode = mode.partition(",")[0]
    paths = ("/livez", "/startupz", "/readyz", "/health")
    assert [(await get(daemon.app, path)).status for path in paths] == expected


async def test_livez_asks_nobody() -> None:
    def look() -> tuple[bool, dict[str, Any]]:
        raise AssertionError("it must not depend on others")

    assert (await get(make_app(look=look, metrics=bytes), "/livez")).status == 200


async def test_health_has_memory_and_connections_besides() -> None:
    document = json.loads((await get(Daemon().app, "/health")).body)
    assert document["ready"] is True
    assert document["checks"] == [CHECK]
    assert document["memory"] == {"daemon_bytes": 7}
    assert document["connections"] == {"http": 1}


async def test_metrics_have_the_content_type_that_every_prometheus_reads() -> None:
    answer = await get(Daemon().app, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == b"orchestrator_up 1\n"


async def test_the_index_names_the_endpoints() -> None:
    answer = await get(Daemon().app, "/")
    assert all(path in answer.body.decode() for path in ("/livez", "/readyz", "/metrics"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
async def test_other_methods_are_405_and_told_the_right_ones(method: str) -> None:
    answer = await get(Daemon().app, "/readyz", method=method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_head_is_answered_like_get() -> None:
    assert (await get(Daemon().app, "/livez", method="HEAD")).status == 200


async def test_an_unknown_path_is_404() -> None:
    assert (await get(Daemon().app, "/admin")).status == 404


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8700",
        "127.0.0.1",
        "127.0.0.1:9999",
        "[::1]:8700",
        "[::1]",
        "pi.example:8700",
        "pi.example",
    ],
)
async def test_loopback_names_and_configured_ones_are_served(host: str) -> None:
    assert (await get(Daemon("Pi.example").app, "/livez", host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example:8700",
        "127.0.0.1.nip.io",
        "127.0.0.2",
        "localhost:",
        "localhost:80:80",
        "localhost:123456",
        "localhost:8700@evil.example",
        "::1",
        "localhost ",
    ],
)
async def test_any_other_host_name_is_refused(host: str | None) -> None:
    assert (await get(Daemon().app, "/readyz", host)).status == 400


@pytest.mark.parametrize(
    ("path", "host"), [("/livez", "localhost"), ("/nothing", "localhost"), ("/livez", "evil.example")]
)
async def test_every_response_says_how_long_it_took_and_is_not_kept_or_guessed_at(
    path: str, host: str
) -> None:
    headers = (await get(Daemon().app, path, host)).headers
    assert headers["x-response-time"].endswith("ms")
    assert float(headers["x-response-time"].removesuffix("ms")) >= 0
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'"


async def test_a_bug_is_a_500_without_details_and_is_logged() -> None:
    def look() -> tuple[bool, dict[str, Any]]:
        raise ZeroDivisionError("secret")

    with capture_logs() as logs:
        answer = await get(make_app(look=look, metrics=bytes), "/readyz")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "x-response-time" in answer.headers
    assert [(entry["event"], entry["path"]) for entry in logs] == [("request_failed", "/readyz")]


async def test_a_slow_request_is_logged_with_its_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SLOW_S", -1.0)
    with capture_logs() as logs:
        await get(Daemon().app, "/readyz")
    (entry,) = logs
    assert (entry["event"], entry["method"], entry["path"]) == ("slow_request", "GET", "/readyz")
    assert list(entry["checkpoints"]) == ["look"]
    assert entry["duration_s"] >= entry["checkpoints"]["look"]


async def test_a_cancelled_request_is_cancelled() -> None:
    async def app(_scope: object, _receive: object, _send: object) -> None:
        await trio.sleep_forever()

    edge = api._Edge(app, api.LOOPBACK_HOSTS)
    with trio.move_on_after(0) as scope:
        await get(edge, "/livez")
    assert scope.cancelled_caught
