"""What tests and operators use: the ledger, the hidden taste, fault switches, signing everyone out."""

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.demo.audience import Audience
from orchestrator.demo.faults import Faults, FaultsError
from orchestrator.demo.people import People
from orchestrator.demo.posts import Posts
from orchestrator.demo.rendering import iso

Handler = Callable[[Request], Awaitable[Response]]


class Admin:
    """Only from this machine, and only with the token; without a token configured there are no such pages."""

    def __init__(
        self, token: str | None, posts: Posts, people: People, audience: Audience, faults: Faults
    ) -> None:
        self._token = token
        self._posts = posts
        self._people = people
        self._audience = audience
        self._faults = faults

    def routes(self) -> list[Route]:
        if self._token is None:
            return []
        return [
            Route("/admin/ledger", self._guarded(self.ledger)),
            Route("/admin/taste", self._guarded(self.taste)),
            Route("/admin/faults", self._guarded(self.faults)),
            Route("/admin/faults", self._guarded(self.set_faults), methods=["POST"]),
            Route("/admin/sign-out-everyone", self._guarded(self.sign_out_everyone), methods=["POST"]),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guard(request: Request) -> Response:
            if not _is_local(request):
                return _problem(403, "only from this machine")
            if not self._is_authorized(request.headers.get("authorization", "")):
                return _problem(401, "needs the header Authorization: Bearer TOKEN")
            return await handler(request)

        return guard

    def _is_authorized(self, header: str) -> bool:
        return hmac.compare_digest(header.encode(), f"Bearer {self._token}".encode())

    async def ledger(self, request: Request) -> Response:
        """All accepted posts of accounts, oldest first; `?after=SEQUENCE` leaves out what came before."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            return _problem(422, f"after: {after!r} is not a sequence number")
        entries = [
            {**asdict(entry), "accepted_at": iso(entry.accepted_at)}
            for entry in self._posts.ledger(after=int(after))
        ]
        return JSONResponse({"count": len(entries), "posts": entries})

    async def taste(self, _request: Request) -> Response:
        """What the audience likes, as factors; the best arms are what learning should find."""
        taste = self._audience.taste
        return JSONResponse(
            {
                "seed": self._audience.seed,
                "topics": dict(taste.topics),
                "formats": dict(taste.formats),
                "hours_utc": {str(hour): factor for hour, factor in enumerate(taste.hours)},
                "best": {
                    "topic": max(taste.topics, key=taste.topics.__getitem__),
                    "format": max(taste.formats, key=taste.formats.__getitem__),
                    "hour_utc": max(range(24), key=taste.hours.__getitem__),
                },
            }
        )

    async def faults(self, _request: Request) -> Response:
        return JSONResponse(self._faults.as_json())

    async def set_faults(self, request: Request) -> Response:
        """Replace all switches; `{}` turns every fault off. 422 with the reason leaves them as they were."""
        try:
            self._faults.set(json.loads(await request.body()))
        except FaultsError as error:
            return _problem(422, str(error))
        except (ValueError, RecursionError) as error:
            return _problem(422, f"not JSON: {error}")
        return await self.faults(request)

    async def sign_out_everyone(self, _request: Request) -> Response:
        return JSONResponse({"signed_out": await self._people.end_sessions()})


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _problem(status: int, message: str) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": message}, status, headers=headers)
