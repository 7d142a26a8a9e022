"""The pages that readers and accounts see."""

import re
import unicodedata
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from orchestrator.clock import Clock
from orchestrator.demo.accounts import (
    SESSION_COOKIE,
    Accounts,
    Visitor,
    set_guest_cookie,
    set_session_cookie,
)
from orchestrator.demo.following import Following
from orchestrator.demo.people import People
from orchestrator.demo.posts import Posts
from orchestrator.demo.records import Post
from orchestrator.demo.rendering import Renderer

MAX_TEXT_CHARS = 280
BANNED_WORD = "forbidden"
POSTS_A_PAGE = 20
_REPLIES_SHOWN = 50
_MAX_WORDS = 8
_MAX_QUERY_CHARS = 100
_MAX_FORM_FIELDS = 10
_OWN_PATH = re.compile(r"/(?![/\\])[^\s\\]*")
ROBOTS = """User-agent: *
Disallow: /admin
Disallow: /search?

User-agent: orchestrator
Disallow: /admin
"""


class Pages:
    """Every handler reads, or writes once; none keeps anything between requests."""

    def __init__(
        self,
        posts: Posts,
        people: People,
        accounts: Accounts,
        following: Following,
        renderer: Renderer,
        clock: Clock,
    ) -> None:
        self._posts = posts
        self._people = people
        self._accounts = accounts
        self._following = following
        self._renderer = renderer
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/", self.home),
            Route("/search", self.search),
            Route("/sign-in", self.sign_in_form),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/compose", self.compose_form),
            Route("/compose", self.compose, methods=["POST"]),
            Route("/post/{reference}", self.post),
            Route("/post/{reference}/reply", self.reply, methods=["POST"]),
            Route("/@{name}", self.profile),
        ]

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def home(self, request: Request) -> Response:
        page = self._posts.page(before=request.query_params.get("before"), limit=POSTS_A_PAGE)
        return self._renderer.page(
            request, "home.html", posts=self._renderer.posts(page), older=_older(request, page.next_before)
        )

    async def search(self, request: Request) -> Response:
        query = request.query_params.get("q", "").strip()[:_MAX_QUERY_CHARS]
        posts, older = [], None
        if query:
            before = request.query_params.get("before")
            words = query.split()[:_MAX_WORDS]
            page = self._posts.page(before=before, limit=POSTS_A_PAGE, words=words)
            posts, older = self._renderer.posts(page), _older(request, page.next_before)
        return self._renderer.page(request, "search.html", query=query, posts=posts, older=older)

    async def post(self, request: Request) -> Response:
        return self._post_page(request, self._post_of(request), self._accounts.visitor(request))

    def _post_of(self, request: Request) -> Post:
        post = self._posts.get(request.path_params["reference"])
        if post is None:
            raise HTTPException(404)
        return post

    def _post_page(
        self,
        request: Request,
        post: Post,
        visitor: Visitor,
        *,
        status: int = 200,
        error: str = "",
        text: str = "",
    ) -> Response:
        me = visitor.author.name if visitor.author is not None else None
        replies = self._renderer.replies(post, _REPLIES_SHOWN)
        mine = {one.reference: one for one in replies if one.author == me}
        return self._renderer.page(
            request,
            "post.html",
            status=status,
            visitor=visitor,
            item=self._renderer.shown(post),
            replies=replies,
            is_new=me == post.author and "new" in request.query_params,
            new_reply=mine.get(request.query_params.get("replied", "")),
            error=error,
            text=text,
            limit=MAX_TEXT_CHARS,
        )

    async def profile(self, request: Request) -> Response:
        author = self._people.get(request.path_params["name"])
        if author is None:
            raise HTTPException(404)
        before = request.query_params.get("before")
        page = self._posts.page(before=before, limit=POSTS_A_PAGE, author=author.name)
        return self._renderer.page(
            request,
            "profile.html",
            author=author,
            followers=self._following.followers(author),
            posts=self._renderer.posts(page),
            older=_older(request, page.next_before),
        )

    # ── signing in and out ──────────────────────────────────────────────────────────────────────

    async def sign_in_form(self, request: Request) -> Response:
        return self._sign_in_page(request)

    def _sign_in_page(
        self, request: Request, *, status: int = 200, error: str = "", username: str = ""
    ) -> Response:
        visitor = self._accounts.visitor(request)
        response = self._renderer.page(
            request,
            "sign_in.html",
            status=status,
            visitor=visitor,
            error=error,
            username=username,
            next_path=_own_path(request.query_params.get("next", "")),
        )
        if visitor.author is None:
            set_guest_cookie(response, visitor)
        return response

    async def sign_in(self, request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=_MAX_FORM_FIELDS)
        if not self._accounts.is_form_token(self._accounts.visitor(request), _field(form, "form_token")):
            return self._sign_in_page(
                request, status=403, error="This form was out of date. Please try again."
            )
        username = _field(form, "username").strip()
        token = await self._accounts.sign_in(username, _field(form, "password"))
        if token is None:
            error = "That name and password don't belong together."
            return self._sign_in_page(request, status=401, error=error, username=username)
        response = RedirectResponse(_own_path(request.query_params.get("next", "")), 303)
        set_session_cookie(response, token)
        return response

    async def sign_out(self, request: Request) -> Response:
        visitor = self._accounts.visitor(request)
        form = await request.form(max_files=0, max_fields=_MAX_FORM_FIELDS)
        if visitor.author is not None:
            self._check_form(visitor, form)
            await self._accounts.sign_out(visitor)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return response

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def compose_form(self, request: Request) -> Response:
        visitor = self._accounts.visitor(request)
        if visitor.author is None:
            return RedirectResponse("/sign-in?next=/compose", 303)
        return self._compose_page(request, visitor)

    def _compose_page(
        self, request: Request, visitor: Visitor, *, status: int = 200, error: str = "", text: str = ""
    ) -> Response:
        return self._renderer.page(
            request,
            "compose.html",
            status=status,
            visitor=visitor,
            error=error,
            text=text,
            limit=MAX_TEXT_CHARS,
        )

    async def compose(self, request: Request) -> Response:
        visitor = self._accounts.visitor(request)
        form = await request.form(max_files=0, max_fields=_MAX_FORM_FIELDS)
        if visitor.author is None:
            return RedirectResponse("/sign-in?next=/compose", 303)
        self._check_form(visitor, form)
        text = _clean(_field(form, "text"))
        error = refusal(text)
        if error:
            return self._compose_page(request, visitor, status=422, error=error, text=text)
        followers = self._following.followers(visitor.author)
        reference = await self._posts.accept(visitor.author.name, text, followers, self._clock.timestamp)
        return RedirectResponse(f"/post/{reference}?new=1", 303)

    async def reply(self, request: Request) -> Response:
        visitor, post = self._accounts.visitor(request), self._post_of(request)
        form = await request.form(max_files=0, max_fields=_MAX_FORM_FIELDS)
        if visitor.author is None:
            return RedirectResponse(f"/sign-in?next=/post/{post.reference}", 303)
        self._check_form(visitor, form)
        text = _clean(_field(form, "text"))
        error = refusal(text)
        if error:
            return self._post_page(request, post, visitor, status=422, error=error, text=text)
        me = visitor.author
        followers, now = self._following.followers(me), self._clock.timestamp
        reference = await self._posts.accept(me.name, text, followers, now, post.reference)
        return RedirectResponse(f"/post/{post.reference}?replied={reference}", 303)

    def _check_form(self, visitor: Visitor, form: FormData) -> None:
        if not self._accounts.is_form_token(visitor, _field(form, "form_token")):
            raise HTTPException(403, "This form was out of date. Please go back, load it again and retry.")


def refusal(text: str) -> str:
    """Why the site doesn't take this text; empty when it does."""
    if not text.strip():
        return "An empty post says too little. Please write something."
    if len(text) > MAX_TEXT_CHARS:
        return f"That is {len(text)} characters; a post has {MAX_TEXT_CHARS} at most."
    if BANNED_WORD in text.lower():
        return f"Posts with the word “{BANNED_WORD}” are not published here."
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in text):
        return "The post has characters that can't be shown."
    return ""


def _clean(text: str) -> str:
    """Line ends as the form standard sends them (CR LF) become plain ones; nothing around the text counts."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _field(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _own_path(path: str) -> str:
    """The path, when it is one of this site's; else the front page."""
    return path if _OWN_PATH.fullmatch(path) else "/"


def _older(request: Request, before: str | None) -> str | None:
    """Address of the page that goes on from there."""
    if before is None:
        return None
    query = [(key, value) for key, value in request.query_params.items() if key == "q"]
    return f"{request.url.path}?{urlencode([*query, ('before', before)])}"
