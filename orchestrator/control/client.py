"""Asks the daemon for something over its control socket. Blocking, and quick to import."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.control import protocol
from orchestrator.errors import ControlError, NoDaemonError

TIMEOUT_S = 45.0
"""Longer than the server lets a verb run, so that its own error comes first."""


def request(
    path: Path, verb: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
) -> Any:
    """Send one verb and return its result.

    Raises NoDaemonError when nobody listens at `path`, ControlError for everything else: no permission,
    no answer in time, or the daemon's own refusal.
    """
    deadline = time.monotonic() + timeout_s
    message = protocol.frame(protocol.request_message(verb, args or {}))
    with _connect(path, timeout_s) as connection:
        try:
            _send(connection, message, deadline)
            header = _receive(connection, protocol.HEADER_BYTES, deadline)
            size = protocol.body_bytes(header, protocol.MAX_ANSWER_BYTES)
            body = _receive(connection, size, deadline)
        except TimeoutError as error:
            raise ControlError(
                f"the daemon at {path} did not answer within {timeout_s:g} s",
                remedy="It is overloaded or stopped: look at its log",
            ) from error
        except OSError as error:
            raise ControlError(
                f"the connection to {path} broke: {error.strerror or error}",
                remedy="The daemon ended or restarted: look at its log, then try again",
            ) from error
    return protocol.parse_answer(body)


def reach(path: Path) -> ControlError | None:
    """None when a daemon listens at `path` and lets us in; else why not."""
    try:
        _connect(path, timeout_s=1.0).close()
    except ControlError as error:
        return error
    return None


def no_daemon(where: str) -> NoDaemonError:
    """The error for `where`, one path or several in words."""
    return NoDaemonError(
        f"no daemon is listening at {where}",
        remedy="Start it with `orchestrator run` or `orchestrator demo`, or name its socket with --socket",
    )


def _connect(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise _connect_error(path, error) from error
    return connection


def _connect_error(path: Path, error: OSError) -> ControlError:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return no_daemon(str(path))
    if isinstance(error, PermissionError):
        return ControlError(
            f"permission denied at {path}",
            remedy="Be root, the daemon's user, or in a group of control.view_groups or operate_groups",
        )
    if isinstance(error, TimeoutError | BlockingIOError):
        return ControlError(f"the daemon at {path} is too busy to answer", remedy="Look at its log")
    return ControlError(f"{path} can't be used as a control socket: {error.strerror or error}")


def _send(connection: socket.socket, message: bytes, deadline: float) -> None:
    connection.settimeout(_left(deadline))
    try:
        connection.sendall(message)
    except (BrokenPipeError, ConnectionResetError):
        # A daemon that refuses us answers before it has read everything: its answer says why, and
        # when there is none, the reading that follows fails.
        return


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        connection.settimeout(_left(deadline))
        chunk = connection.recv(min(size - len(data), 1 << 16))
        if not chunk:
            raise ConnectionResetError("the daemon closed it without an answer")
        data += chunk
    return bytes(data)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
