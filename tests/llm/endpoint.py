"""A real HTTP server on the loopback that speaks the protocol of chat completions, or something else."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "canary-key-83b1"

Answers = Callable[[BaseHTTPRequestHandler], None]


def completion(text: str | None, *, asked: int = 100, said: int = 50, **choice: object) -> dict[str, Any]:
    """What an endpoint answers."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"} | choice],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }


def error(message: str, **more: str) -> dict[str, Any]:
    return {"error": {"message": message} | more}


def says(status: int, document: object, **headers: str) -> Answers:
    """An answer that is whole and on time."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def silence(until: threading.Event) -> Answers:
    """No answer until then, and none after."""

    def wait(_handler: BaseHTTPRequestHandler) -> None:
        until.wait()

    return wait


@dataclass
class Endpoint:
    """`answers` each question in turn; when they are used up, `otherwise`. `asked` has the questions."""

    port: int = 0
    answers: list[Answers] = field(default_factory=list)
    otherwise: Answers = field(default_factory=lambda: says(200, completion("Tip: a text of the model's.")))
    models: Answers = field(default_factory=lambda: says(200, {"data": []}))
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    """Set at the end, for answers that wait."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def settings(self, **changes: object) -> dict[str, Any]:
        """The section `language_model` for it: a large model at 10 and 40, a small one at 1 and 4."""
        return {
            "base_url": self.url,
            "api_key": KEY,
            "large": {"name": "large-1", "input_price": 10, "output_price": 40},
            "small": {"name": "small-1", "input_price": 1, "output_price": 4},
        } | changes


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """The server, until the end of the block."""
    said, lock = Endpoint(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                said.asked.append({"path": self.path} | question)
                said.keys.append(self.headers["authorization"])
                answer = said.answers.pop(0) if said.answers else said.otherwise
            self._answer(answer)

        def do_GET(self) -> None:
            self._answer(said.models)

        def _answer(self, answer: Answers) -> None:
            try:
                answer(self)
            except OSError:  # the client has gone, as it should in some tests
                self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    said.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield said
    finally:
        said.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
