"""The journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): each event is one datagram of fields.

So `journalctl -p err` knows how grave an event is, and `journalctl ORCHESTRATOR_JOB=posting` whose it is.
"""

import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from structlog.typing import EventDict

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "orchestrator"
PREFIX = "ORCHESTRATOR_"
"""Of the fields that are ours."""
MAX_NAME_CHARS = 64
PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""The levels of syslog(3)."""
_ONLY_IN_MESSAGE = frozenset({"level", "exception", "stack"})
_NO_NAME = re.compile(r"[^A-Z0-9_]")


class JournalHandler(logging.Handler):
    """Sends the datagrams that its formatter makes with `datagram`.

    Whatever the socket does not take (the journal is away, or an event is too large) goes to `otherwise`.
    """

    def __init__(self, path: Path, otherwise: logging.Handler) -> None:
        super().__init__()
        self._path = str(path)
        self._otherwise = otherwise
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.sendto(self.format(record).encode("utf-8", "surrogateescape"), self._path)
        except OSError:
            self._otherwise.handle(record)
        except Exception:  # noqa: BLE001 - as each handler of the standard library
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        self._otherwise.close()
        super().close()


def datagram(message: str, event: EventDict) -> str:
    """The event with its message; as text, in which bytes that are none stand as surrogates."""
    return b"".join(_encoded(name, value) for name, value in _fields(message, event)).decode(
        "utf-8", "surrogateescape"
    )


def _fields(message: str, event: EventDict) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", message
    yield "PRIORITY", str(PRIORITY.get(event.get("level", ""), PRIORITY["info"]))
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    for key, value in event.items():
        if key not in _ONLY_IN_MESSAGE and value is not None:
            name = PREFIX + _NO_NAME.sub("_", key.upper())
            yield name[:MAX_NAME_CHARS], _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _encoded(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
