"""One connection of HTTP/1.1, with Hypercorn's means and nothing of what we do not need.

Hypercorn would also speak HTTP/2, switch to it, and take WebSockets on any path. Each is a parser more for
bytes of strangers, and an error in one of them ends with a traceback in the log. Here an `Upgrade` is passed
over, as RFC 9110 (7.8) allows, and the request answered as if it had none.
"""

from typing import Any

import h11
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr, wrap_app
from starlette.types import ASGIApp


class Connection(TCPServer):
    """Serves `app` on a stream until either side closes it; awaited."""

    def __init__(self, app: ASGIApp, config: Config, context: WorkerContext, stream: Any) -> None:
        wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]
        super().__init__(wrapped, config, context, ConnectionState({}), stream)

    async def run(self) -> None:
        socket = self.stream.socket
        try:
            addresses = socket.getpeername(), socket.getsockname()
            client, server = (parse_socket_addr(socket.family, address) for address in addresses)
            async with TaskGroup() as task_group:
                self._task_group = task_group
                self.protocol = _Protocol(  # type: ignore[assignment]
                    self.app, self.config, self.context, task_group, ConnectionState(self.state),
                    False, client, server, self.protocol_send,
                )  # fmt: skip
                await self.idle_task.restart(task_group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass  # the client is gone
        finally:
            await self._close()  # noqa: ASYNC102 - cancelled, it closes the socket at once


class _Protocol(H11Protocol):
    """HTTP/1.1 alone."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """No other protocol is switched to."""

    async def _create_stream(self, request: h11.Request) -> None:
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        if len(headers) != len(request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=headers,
                http_version=request.http_version,
            )
        await super()._create_stream(request)
