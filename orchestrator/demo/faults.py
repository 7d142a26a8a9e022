"""Faults on demand: slow answers, errors, rubbish, rate limits and connections that just end.

A test switches them on through the admin pages. Each fault has a rate, may be limited to a path prefix, a
method and a number of times, and says whether the request is carried out before the fault hides it.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import trio
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ABORT_EXTENSION = "murmur.abort"
"""Key in the scope's extensions: an async function that ends the connection without another byte."""
_EXEMPT = ("/admin", "/healthz")
_MAX_SLOW_S = 600.0


class FaultsError(ValueError):
    """The asked-for faults make no sense; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One switch. `times` counts down; None is without end."""

    rate: float = 1.0
    times: int | None = None
    path: str = "/"
    method: str | None = None
    processed: bool = False
    """Whether the request is carried out all the same, with only its answer lost."""
    seconds: float = 0.0
    """Slow: how long; rate limit: the Retry-After."""


_DEFAULTS = {
    "slow_s": Fault(),
    "rate_limit_429": Fault(seconds=30),
    "error_500": Fault(),
    "garbage": Fault(),
    "drop_answer": Fault(path="/compose", method="POST", processed=True),
}
_OPTIONS = {
    "rate": (int, float),
    "times": (int, type(None)),
    "path": (str,),
    "method": (str, type(None)),
    "processed": (bool,),
    "seconds": (int, float),
}


@dataclass(slots=True)
class Faults:
    """The switches that are on now, by name."""

    rng: random.Random
    on: dict[str, Fault] = field(default_factory=dict)

    def set(self, wanted: object) -> None:
        """Replace all switches by `wanted`, as it came in JSON. Raises FaultsError and changes nothing."""
        if not isinstance(wanted, dict):
            raise FaultsError("expected a JSON object of faults")
        self.on = {name: _parse(name, value) for name, value in wanted.items()}

    def as_json(self) -> dict[str, dict[str, Any]]:
        return {name: asdict(fault) for name, fault in self.on.items()}

    def take(self, name: str, method: str, path: str) -> Fault | None:
        """The fault, if it is on for this request and its dice say so; uses up one of its times."""
        fault = self.on.get(name)
        if fault is None or not path.startswith(fault.path) or fault.method not in (None, method):
            return None
        if fault.times == 0 or self.rng.random() >= fault.rate:
            return None
        if fault.times is not None:
            self.on[name] = replace(fault, times=fault.times - 1)
        return fault

    def give_back(self, name: str, fault: Fault) -> None:
        """Undo a `take` that came to nothing, unless the switch was changed since."""
        now = self.on.get(name)
        if fault.times is not None and now is not None and now.times is not None and now.path == fault.path:
            self.on[name] = replace(now, times=now.times + 1)


def _parse(name: str, value: object) -> Fault:
    if name not in _DEFAULTS:
        raise FaultsError(f"unknown fault {name!r}; there are {', '.join(_DEFAULTS)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = {"seconds" if name == "slow_s" else "rate": value}
    if not isinstance(value, dict):
        raise FaultsError(f"{name}: expected a number or an object with any of {', '.join(_OPTIONS)}")
    for option, given in value.items():
        _check_option(name, option, given)
    return replace(_DEFAULTS[name], **value)


def _check_option(name: str, option: str, given: object) -> None:
    kinds = _OPTIONS.get(option)
    if kinds is None:
        raise FaultsError(f"{name}: unknown option {option!r}; there are {', '.join(_OPTIONS)}")
    if not isinstance(given, kinds) or (isinstance(given, bool) and bool not in kinds):
        raise FaultsError(f"{name}.{option}: {given!r} has the wrong type")
    limit = {"rate": 1, "seconds": _MAX_SLOW_S}.get(option, float("inf"))
    if isinstance(given, (int, float)) and not 0 <= given <= limit:
        hint = ' (for a number of times use {"times": n})' if option == "rate" else ""
        raise FaultsError(f"{name}.{option}: {given!r} is not from 0 to {limit}{hint}")


class FaultyApp:
    """An ASGI app that answers as `inner` does, but for the faults."""

    def __init__(self, inner: ASGIApp, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_EXEMPT):
            await self._inner(scope, receive, send)
            return
        slow = self._take("slow_s", scope)
        if slow is not None:
            await trio.sleep(slow.seconds)
        for name, hide in _HIDING.items():
            fault = self._take(name, scope)
            if fault is not None:
                await self._hide(name, fault, hide, scope, receive, send)
                return
        await self._inner(scope, receive, send)

    def _take(self, name: str, scope: Scope) -> Fault | None:
        return self._faults.take(name, scope["method"], scope["path"])

    async def _hide(
        self, name: str, fault: Fault, hide: "Hide", scope: Scope, receive: Receive, send: Send
    ) -> None:
        if fault.processed:
            answer = _Answer()
            await self._inner(scope, receive, answer.keep)
            if answer.status >= 400:  # refused by the site itself: there was no success to hide
                self._faults.give_back(name, fault)
                await answer.send_to(send)
                return
        await hide(fault, scope, receive, send)


class _Answer:
    """An answer held back whole, to be sent or forgotten."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self.status = 500

    async def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self._messages.append(message)

    async def send_to(self, send: Send) -> None:
        for message in self._messages:
            await send(message)


async def _drop(_fault: Fault, scope: Scope, _receive: Receive, _send: Send) -> None:
    abort: Callable[[], Awaitable[None]] = scope["extensions"][ABORT_EXTENSION]
    await abort()


async def _rate_limit(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    page = _plain_page("Slow down", f"Too many requests. Please try again in {fault.seconds:g} seconds.", 429)
    page.headers["retry-after"] = f"{fault.seconds:.0f}"
    await page(scope, receive, send)


async def _error(_fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    await _plain_page("Out of order", "Something broke on our side. Please try again.", 500)(
        scope, receive, send
    )


async def _garbage(_fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    rubbish = "<!doctype html><html><p>\ufffd&#x0;<div clas='po <<tr><td>0x7f \x00\x1b[31m</p></html" * 3
    await HTMLResponse(rubbish)(scope, receive, send)


Hide = Callable[[Fault, Scope, Receive, Send], Awaitable[None]]
_HIDING: dict[str, Hide] = {
    "rate_limit_429": _rate_limit,
    "error_500": _error,
    "garbage": _garbage,
    "drop_answer": _drop,
}


def _plain_page(title: str, message: str, status: int) -> Response:
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} · Murmur</title>'
        '<link rel="stylesheet" href="/static/murmur.css">'
        f'<main class="lone"><h1>{title}</h1><p class="error" role="alert">{message}</p></main></html>'
    )
    return HTMLResponse(html, status)
