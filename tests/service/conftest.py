"""What the tests of the service share: a stand-in for systemd's end of the notifications."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Listener:
    """Takes what systemd would be told; `address` is what NOTIFY_SOCKET would name."""

    address: str
    _socket: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))

    def __post_init__(self) -> None:
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def heard(self) -> list[dict[str, str]]:
        """All messages since the last time."""
        found = []
        try:
            while True:
                lines = self._socket.recv(65536).decode().split("\n")
                found.append(dict(line.split("=", 1) for line in lines))
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()
