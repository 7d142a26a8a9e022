"""A real Redis server on a socket that a test can kill, start again, freeze and fill."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

PATIENCE_S = 30.0
OPTIONS = ("--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no")


@dataclass(slots=True, eq=False)
class RedisServer:
    """One server; between `start` and `kill` it has a process."""

    directory: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return self.directory / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=1"

    async def start(self, *options: str) -> None:
        """Start it and wait until it answers; it remembers nothing of an earlier life."""
        assert self.process is None
        place = ("--unixsocket", str(self.socket), "--dir", str(self.directory))
        with (self.directory / "redis.log").open("ab") as output:
            self.process = subprocess.Popen(
                ["redis-server", *OPTIONS, *place, *options], stdout=output, stderr=output
            )
        with trio.fail_after(PATIENCE_S):
            while not await self._answers():
                assert self.process.poll() is None, (self.directory / "redis.log").read_text()[-2000:]
                await trio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            async with await trio.open_unix_socket(str(self.socket)) as stream:
                await stream.send_all(b"PING\r\n")
                return b"LOADING" not in await stream.receive_some(100)
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def freeze(self) -> None:
        """It stands still: connections stay, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def do(self, *command: str) -> str:
        """One command of Redis' own client, in our database; what it prints."""
        said = subprocess.run(
            ["redis-cli", "-s", str(self.socket), "-n", "1", *command],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return said.stdout.strip()

    def all_keys(self) -> list[str]:
        return sorted(self.do("KEYS", "*").split())


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """A server that is not started yet; it is ended with the block, whatever state it is in."""
    server = RedisServer(directory)
    try:
        yield server
    finally:
        if server.process is not None:
            server.kill()
