"""Serves the control socket: who may ask, what may be asked, and how long anyone may take.

A verb is an entry in a table that the caller hands in; there is no other way to reach the program.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import trio

from orchestrator.control import protocol
from orchestrator.control.listener import adopt_listener, open_listener, path_of
from orchestrator.control.peers import Caller, Level, Peer, Rights, peer_of, rights_from
from orchestrator.errors import ControlError, NotAllowedError, OrchestratorError
from orchestrator.settings import ControlSettings

log = structlog.get_logger("control")

VERB_TIMEOUT_S = 30.0
"""A handler that takes longer is cancelled."""

SEND_TIMEOUT_S = 2.0
"""A client that does not read its answer for so long is dropped."""

MAX_LOGGED_ARGS = 8
HIDDEN = "(hidden)"

Handler = Callable[[Caller, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Verb:
    """Something that may be asked of the daemon.

    `handler` gets the caller and the checked args and returns what JSON can hold. An
    OrchestratorError of its own is the answer's error line.
    """

    name: str
    level: Level
    handler: Handler
    parameters: Mapping[str, type] = field(default_factory=dict)
    """Allowed args and their types (str, int, float, bool, list, dict)."""
    required: frozenset[str] = frozenset()
    """Parameters that may not be left out."""
    secret: frozenset[str] = frozenset()
    """Parameters whose values are never logged."""


async def serve_control(  # noqa: PLR0913 - each is a part of its own
    path: Path,
    verbs: Mapping[str, Verb],
    settings: ControlSettings,
    *,
    handed: socket.socket | None = None,
    read_peer: Callable[[trio.SocketStream], Peer] = peer_of,
    on_count: Callable[[int], None] = lambda count: None,
    task_status: trio.TaskStatus[Path] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled, at `path` or where `handed`, somebody else's socket, does.

    `on_count` is told how many clients there are, `task_status` gets the path once they can connect. Raises
    AddressInUseError and SettingsError as `open_listener`, `adopt_listener` and `rights_from` do.
    """
    rights = rights_from(settings)
    server = _Server(verbs, settings, rights, read_peer, on_count)
    opening = (
        open_listener(path, rights.socket_gid)
        if handed is None
        else adopt_listener(handed, settings.socket, rights.socket_gid)
    )
    with opening as listener:
        task_status.started(path if handed is None else path_of(handed))
        own = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        await trio.serve_listeners(server.serve, [own])


class _Server:
    """The connections of one socket.

    Invariant: `_connected` and `_strangers` count the connections that are being served, all of them
    and those below ADMIN; both change only in `_serve_admitted`.
    """

    def __init__(
        self,
        verbs: Mapping[str, Verb],
        settings: ControlSettings,
        rights: Rights,
        read_peer: Callable[[trio.SocketStream], Peer],
        on_count: Callable[[int], None],
    ) -> None:
        self._verbs = verbs
        self._settings = settings
        self._rights = rights
        self._read_peer = read_peer
        self._on_count = on_count
        self._connected = 0
        self._strangers = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection from beginning to end; nothing that happens in it reaches the others."""
        try:
            async with stream:
                await self._admit(stream)
        except (trio.BrokenResourceError, OSError) as error:
            log.debug("control_client_gone", reason=str(error))
        except Exception:
            log.exception("control_connection_failed")

    async def _admit(self, stream: trio.SocketStream) -> None:
        peer = self._read_peer(stream)
        level = self._rights.level_of(peer)
        if level is None:
            log.warning("control_refused", uid=peer.uid, pid=peer.pid)
            await _send_error(stream, _stranger_error(peer))
        elif not self._has_place(level):
            log.warning("control_full", uid=peer.uid, pid=peer.pid, connections=self._connected)
            await _send_error(stream, _full_error(self._settings.max_connections))
        else:
            await self._serve_admitted(stream, Caller(peer.uid, peer.pid, level))

    def _has_place(self, level: Level) -> bool:
        # Callers below ADMIN share one half, so that they can't keep the administrator out.
        limit = self._settings.max_connections
        is_stranger = level < Level.ADMIN
        return self._connected < limit and not (is_stranger and self._strangers >= (limit + 1) // 2)

    async def _serve_admitted(self, stream: trio.SocketStream, caller: Caller) -> None:
        stranger = int(caller.level < Level.ADMIN)
        self._connected += 1
        self._on_count(self._connected)
        self._strangers += stranger
        try:
            while await self._serve_one(stream, caller):
                pass
        finally:
            self._connected -= 1
            self._on_count(self._connected)
            self._strangers -= stranger

    async def _serve_one(self, stream: trio.SocketStream, caller: Caller) -> bool:
        """Read a request and answer it; False when the connection is to be closed."""
        try:
            body = await _read_frame(stream, self._settings.idle_timeout_s)
            if body is None:
                return False
            request = protocol.parse_request(body)
        except ControlError as error:
            log.warning("control_malformed", uid=caller.uid, pid=caller.pid, reason=str(error))
            await _send_error(stream, error)
            return False
        return await _send(stream, await self._answer(caller, request))

    async def _answer(self, caller: Caller, request: protocol.Request) -> bytes:
        problem: OrchestratorError
        try:
            answer = protocol.result_message(await self._carry_out(caller, request), request.id)
            frame = protocol.frame(answer)
        except OrchestratorError as error:
            problem = error
        except Exception:
            log.exception("control_verb_failed", verb=protocol.escaped(request.verb), uid=caller.uid)
            problem = ControlError("internal error", remedy="The daemon's log has the details")
        else:
            self._record(caller, request, "ok")
            return frame
        self._record(caller, request, str(problem))
        return protocol.frame(protocol.error_message(problem, request.id))

    async def _carry_out(self, caller: Caller, request: protocol.Request) -> Any:
        verb = self._find(caller, request)
        with trio.move_on_after(VERB_TIMEOUT_S):
            return await verb.handler(caller, request.args)
        raise ControlError(
            f"{verb.name} did not end within {VERB_TIMEOUT_S:g} s", remedy="Look at the daemon's log"
        )

    def _find(self, caller: Caller, request: protocol.Request) -> Verb:
        verb = self._verbs.get(request.verb)
        if verb is None:
            raise ControlError(
                f"there is no verb {protocol.short(request.verb)}",
                remedy=f"There are: {', '.join(sorted(self._verbs))}",
            )
        if caller.level < verb.level:
            needed, own = verb.level.name.lower(), caller.level.name.lower()
            raise NotAllowedError(
                f"{verb.name} needs the level {needed}; yours is {own}", remedy=_level_remedy(verb.level)
            )
        _check_args(verb, request.args)
        return verb

    def _record(self, caller: Caller, request: protocol.Request, outcome: str) -> None:
        verb = self._verbs.get(request.verb)
        if verb is not None and verb.level is Level.VIEW:
            return
        # A name that the verb does not know may be a misspelt one whose value is secret.
        public = frozenset[str]() if verb is None else verb.parameters.keys() - verb.secret
        shown = [(name, value if name in public else HIDDEN) for name, value in request.args.items()]
        log.info(
            "control_verb",
            verb=protocol.escaped(request.verb),
            uid=caller.uid,
            pid=caller.pid,
            args={
                protocol.escaped(name): protocol.escaped(str(value))
                for name, value in shown[:MAX_LOGGED_ARGS]
            },
            result=outcome,
        )


# ── frames over a stream ────────────────────────────────────────────────────────────────────────


async def _read_frame(stream: trio.SocketStream, timeout_s: float) -> bytes | None:
    """The next frame's body; None when the client left or was idle between two frames.

    One deadline holds for the whole frame, so that a client that drips bytes gains no time.
    """
    received = bytearray()
    why = f"the frame was not complete after {timeout_s:g} s"
    with trio.move_on_after(timeout_s):
        if await _read_up_to(received, stream, protocol.HEADER_BYTES):
            size = protocol.body_bytes(bytes(received), protocol.MAX_REQUEST_BYTES)
            if await _read_up_to(received, stream, protocol.HEADER_BYTES + size):
                return bytes(received[protocol.HEADER_BYTES :])
        why = "the frame is cut short"
    if received:
        raise ControlError(why)
    return None


async def _read_up_to(received: bytearray, stream: trio.SocketStream, size: int) -> bool:
    """Whether `received` has grown to `size` before the client left."""
    while len(received) < size:
        chunk = await stream.receive_some(size - len(received))
        if not chunk:
            return False
        received += chunk
    return True


async def _send(stream: trio.SocketStream, data: bytes) -> bool:
    """Whether the client took the answer in time. Shielded: what was done is also told."""
    with trio.move_on_after(SEND_TIMEOUT_S, shield=True) as scope:
        await stream.send_all(data)
    return not scope.cancelled_caught


async def _send_error(stream: trio.SocketStream, error: OrchestratorError) -> None:
    await _send(stream, protocol.frame(protocol.error_message(error, None)))


# ── what is wrong with a request ────────────────────────────────────────────────────────────────


def _check_args(verb: Verb, args: Mapping[str, Any]) -> None:
    for name in sorted(verb.required - args.keys()):
        raise ControlError(f"{verb.name} needs {name}")
    for name, value in args.items():
        expected = verb.parameters.get(name)
        if expected is None:
            allowed = ", ".join(sorted(verb.parameters)) or "none"
            raise ControlError(f"{verb.name} takes no {protocol.short(name)}", remedy=f"It takes: {allowed}")
        if not _has_type(value, expected):
            raise ControlError(f"{verb.name}: {name} must be of type {expected.__name__}")


def _has_type(value: object, expected: type) -> bool:
    if expected is float:
        return type(value) in (int, float)
    return type(value) is expected  # a bool is no int here


def _stranger_error(peer: Peer) -> NotAllowedError:
    return NotAllowedError(
        f"user {peer.uid} may not use this socket",
        remedy="Become a member of a group in control.view_groups or control.operate_groups",
    )


def _full_error(limit: int) -> ControlError:
    return ControlError(
        f"too many connections (control.max_connections is {limit})", remedy="Try again in a moment"
    )


def _level_remedy(level: Level) -> str:
    if level is Level.ADMIN:
        return "Be root or the daemon's user"
    return f"Become a member of a group in control.{level.name.lower()}_groups"
