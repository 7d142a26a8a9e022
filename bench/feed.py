"""What a thousand listeners of the live feed cost: bytes, how late they are told, and who is disturbed by it.

The demo under load, looked at for a while without listeners and then with them. They are a process of their
own (this module as a program), which reads the frames and nothing else, so that what is late is the daemon.
"""

import base64
import json
import os
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.daemon import Daemon, running_demo
from bench.figure import Aim, Figure, Report
from orchestrator.web.feed.feed import unpacked

LISTENERS = 1_000
PHASE_S = 30.0
WARM_UP_S = 10.0
ASK_EVERY_S = 0.1
SAVED_AIM = Aim(90, "%", is_floor=True)
LATE_AIM = Aim(1000, "ms")
FILES = 8192
READERS = 3


@dataclass(frozen=True, slots=True)
class Phase:
    """How the daemon did for `PHASE_S`."""

    answers_ms: Sequence[float]
    """Of `/livez`, each."""
    leases: float
    waited_s: float
    """The mean of critical requests for a context."""
    published: float
    posting_s: float
    """The mean of a run of posting."""
    cpu: float
    """Of one core."""


def measure(directory: Path) -> Report:
    state_dir = directory / "feed"
    state_dir.mkdir(mode=0o755)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(FILES, hard)), hard))
    with running_demo(state_dir, "--load", str(READERS)) as daemon:
        time.sleep(WARM_UP_S)
        alone = _look(daemon)
        token = (state_dir / "api-token").read_text().strip()
        command = [sys.executable, "-m", "bench.feed", str(daemon.http_port), str(LISTENERS)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{token}\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == "ready"
            watched = _look(daemon)
            process.stdin.close()
            heard = json.loads(process.stdout.read())
    return Report(_figures(heard, alone, watched), [_note(heard, alone, watched)])


def _look(daemon: Daemon) -> Phase:
    before, process = _metrics(daemon.http_port), psutil.Process(daemon.process.pid)
    cpu, until, answers = sum(process.cpu_times()[:2]), time.monotonic() + PHASE_S, []
    while time.monotonic() < until:
        asked_at = time.perf_counter()
        _get(daemon.http_port, "/livez")
        answers.append((time.perf_counter() - asked_at) * 1000)
        time.sleep(ASK_EVERY_S)
    after = _metrics(daemon.http_port)

    def grown(name: str, **labels: str) -> float:
        return sum(
            value - before.get((key, found), 0.0)
            for (key, found), value in after.items()
            if key == f"orchestrator_{name}" and labels.items() <= dict(found).items()
        )

    def mean(name: str, **labels: str) -> float:
        return grown(f"{name}_sum", **labels) / max(1.0, grown(f"{name}_count", **labels))

    return Phase(
        answers,
        grown("pool_wait_seconds_count"),
        mean("pool_wait_seconds", lane="critical"),
        grown("posts", state="published"),
        mean("job_run_seconds", job_name="posting"),
        (sum(process.cpu_times()[:2]) - cpu) / PHASE_S,
    )


Series = tuple[str, tuple[tuple[str, str], ...]]


def _metrics(port: int) -> dict[Series, float]:
    families = text_string_to_metric_families(_get(port, "/metrics").decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def _get(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse().read()
    connection.close()
    return answer


def _figures(heard: dict[str, Any], alone: Phase, watched: Phase) -> list[Figure]:
    changes, size, snapshot = heard["changes"], heard["bytes"], heard["snapshot_bytes"]
    late = heard["late_ms"]
    many = f"{LISTENERS:,} listeners"

    def beside(what: str, one: Callable[[Phase], float], unit: str, decimals: int) -> Figure:
        ours, other = one(watched), one(alone)
        shown, without = f"{ours:.{decimals}f} {unit}", f"{other:.{decimals}f} {unit}"
        return Figure(f"{what} with {many}, next to none", ours / max(other, 1e-9), shown, without)

    return [
        Figure(
            f"live feed: bytes saved next to a whole snapshot each second, {many}",
            100 * (1 - size / (PHASE_S * snapshot)),
            f"{size / PHASE_S / 1e3:.2f} kB a second",
            f"{snapshot / 1e3:.1f} kB, compressed too",
            SAVED_AIM,
            "%",
            1,
        ),
        Figure(
            f"the same, next to a whole snapshot at each change, {many}",
            100 * (1 - size / max(1, changes * snapshot)),
            f"{size / max(1, changes) / 1e3:.2f} kB a change",
            f"{snapshot / 1e3:.1f} kB",
            unit="%",
            decimals=1,
        ),
        Figure(
            f"live feed: from the making of a message to a listener, {many}, 99th percentile",
            _percentile(late, 0.99),
            f"median {_percentile(late, 0.5):.0f}, worst {max(late):.0f} ms",
            aim=LATE_AIM,
            unit="ms",
            decimals=0,
        ),
        beside("critical wait for a context, mean", lambda phase: phase.waited_s, "s", 2),
        beside("contexts granted a second", lambda phase: phase.leases / PHASE_S, "a second", 2),
        beside("a run of posting, mean", lambda phase: phase.posting_s, "s", 2),
        beside("/livez, 99th percentile", lambda phase: _percentile(phase.answers_ms, 0.99), "ms", 1),
    ]


def _note(heard: dict[str, Any], alone: Phase, watched: Phase) -> str:
    return (
        f"live feed: the demo with --load {READERS}, {PHASE_S:g} s without listeners and as long with them; "
        f"{heard['changes']} changes, {heard['listeners']} listeners at the end; posts published "
        f"{alone.published:.0f} and {watched.published:.0f}; of a core {alone.cpu:.0%} and {watched.cpu:.0%}"
    )


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# ── the listeners ───────────────────────────────────────────────────────────────────────────────

AT_ONCE = 20
"""So many are on their way in: the daemon bounds those who have not shown the token."""
BINARY, CLOSE = 2, 8


@dataclass(eq=False, slots=True)
class Listener:
    """One connection, which greets with `hello`."""

    socket: socket.socket
    hello: bytes
    is_open: bool = False
    """Whether the handshake is over."""
    received: bytearray = field(default_factory=bytearray)

    def read(self) -> list[bytes]:
        """What has come by now; an empty message for the end."""
        try:
            more = self.socket.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            return [b""]
        self.received += more
        if not self.is_open and b"\r\n\r\n" in self.received:
            head, _, rest = bytes(self.received).partition(b"\r\n\r\n")
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise SystemExit(f"refused: {head!r}")
            self.received, self.is_open = bytearray(rest), True
            self.socket.sendall(self.hello)
        return self._frames() if self.is_open else []

    def _frames(self) -> list[bytes]:
        found = []
        while len(self.received) >= 2:
            size, start = self.received[1] & 127, 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self.received[2:start], "big")
            if len(self.received) < start + size or (len(self.received) < start):
                break
            kind = self.received[0] & 15
            found.append(bytes(self.received[start : start + size]) if kind == BINARY else b"")
            del self.received[: start + size]
        return found


def main(port: int, count: int) -> dict[str, Any]:
    """Open the connections, say `ready`, and listen until standard input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    token = sys.stdin.readline().strip()
    ears = selectors.DefaultSelector()
    snapshots: list[int] = []
    listeners = 0
    while len(snapshots) < count:
        while listeners < count and listeners - len(snapshots) < AT_ONCE:
            one = _opened(port, token)
            ears.register(one.socket, selectors.EVENT_READ, one)
            listeners += 1
        for key, _ in ears.select():
            messages = key.data.read()
            if b"" in messages:
                raise SystemExit("a listener was let go")
            snapshots += [len(message) for message in messages if "document" in unpacked(message)]
    print("ready", flush=True)
    ears.register(sys.stdin, selectors.EVENT_READ)
    return _heard(ears, snapshots[-1])


def _heard(ears: selectors.BaseSelector, snapshot_bytes: int) -> dict[str, Any]:
    size, came = 0, list[tuple[float, bytes]]()
    while True:
        for key, _ in ears.select():
            if key.data is None:
                return _summary(came, size, snapshot_bytes, len(ears.get_map()) - 1)
            now = time.time()
            for message in key.data.read():
                if message:
                    size += len(message)
                    came.append((now, message))
                else:
                    ears.unregister(key.fileobj)
                    break


def _summary(
    came: Sequence[tuple[float, bytes]], size: int, snapshot_bytes: int, listeners: int
) -> dict[str, Any]:
    said = {message: unpacked(message) for message in {message for _, message in came}}
    made_at = {message: document["at"] for message, document in said.items()}
    changes = sum("patch" in document for document in said.values())
    return {
        "changes": changes,
        "bytes": size / max(1, listeners),
        "snapshot_bytes": snapshot_bytes,
        "listeners": listeners,
        "late_ms": [round((now - made_at[message]) * 1000, 1) for now, message in came],
    }


def _opened(port: int, token: str) -> Listener:
    """A connection that has asked. Its greeting is masked with zeros, so it stands there as it is."""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /feed HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    hello = json.dumps({"token": token}).encode()
    assert len(hello) < 126
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(request)
    return Listener(connection, bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
