"""A real HTTP server on the loopback that takes messages, or not."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trio

TOKEN = "canary-5e1f0c"
"""Part of the address, and so a secret."""


@dataclass
class Webhook:
    """`does`: answer with a status (and `location`), "hang" until the end, or talk "garbage"."""

    port: int
    does: int | str = 200
    location: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    """What it was asked to take, however it answered."""
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"json://user:{TOKEN}-password@127.0.0.1:{self.port}/{TOKEN}/?+x-key={TOKEN}-header"

    @property
    def bodies(self) -> list[str]:
        return [str(message["message"]) for message in self.taken]

    async def wait_for(self, count: int) -> None:
        """Until it was asked to take so many; the test's own time limit bounds it."""
        while len(self.taken) < count:
            await trio.sleep(0.01)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """The server, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            said.taken.append(json.loads(self.rfile.read(length)))
            if said.does == "hang":
                said.is_over.wait()
            elif said.does == "garbage":
                self.wfile.write(b"\x00\xff no HTTP at all\r\n\r\n")
            else:
                self.send_response(int(said.does))
                if said.location:
                    self.send_header("location", said.location)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    said = Webhook(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield said
    finally:
        said.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
