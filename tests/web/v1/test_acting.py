"""What may be ordered over the API, by whom, and that it is the control verbs that carry it out."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from orchestrator.db import runs
from orchestrator.errors import ReplyImpossibleError
from orchestrator.model import PostState
from orchestrator.web.serve import serve_http
from tests import rows
from tests.fakes import NOON, DownDatabase, settle
from tests.rows import MINUTE
from tests.web.v1.conftest import SHOWN, TOKEN, Api, an_app

ORDERS: list[tuple[str, str, Any]] = [
    ("POST", "/pause", None),
    ("POST", "/resume", None),
    ("POST", "/jobs/plan/pause", None),
    ("POST", "/jobs/plan/resume", None),
    ("POST", "/jobs/plan/run", None),
    ("POST", "/drafts", {"account": "ada", "to": "r1", "text": "hm"}),
    ("PATCH", "/drafts/1", {"text": "hm"}),
    ("POST", "/drafts/1/approve", None),
    ("POST", "/drafts/1/reject", None),
    ("POST", "/posts/1/resolve", {"decision": "drop"}),
]
NEW = {"account": "ada", "to": "r1", "text": "an answer"}


# ── who may ─────────────────────────────────────────────────────────────────────────────────────


WRONG = [
    "",
    "Bearer",
    "Bearer a token of test",
    "Bearer a token of tests!",
    "Basic a token of tests",
    "a token of tests",
]


async def test_nothing_is_changed_without_the_token(api: Api) -> None:
    for method, path, body in ORDERS:
        for shown in WRONG:
            headers = {"authorization": shown, "x-token": "a token of tests"}
            answer = await api.client.request(method, f"/api/v1{path}", json=body, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert (await api.client.request(method, f"/api/v1{path}", json=body)).status_code == 401
    assert api.house.supervisor is not None
    assert not any(actor.is_paused for actor in api.house.supervisor.actors.values())
    assert await rows.all_rows(api.database) == []


async def test_every_order_is_in_the_list_of_those_that_need_the_token(api: Api) -> None:
    described = (await api.get("/openapi.json"))["paths"]
    changing = {
        (method.upper(), path)
        for path, methods in described.items()
        for method, operation in methods.items()
        if operation.get("security")
    }
    template = {"/jobs/plan": "/jobs/{job}", "/drafts/1": "/drafts/{draft}", "/posts/1": "/posts/{post}"}
    listed = set()
    for method, path, _ in ORDERS:
        for example, general in template.items():
            path = path.replace(example, general)
        listed.add((method, path))
    assert changing == listed


ORIGINS = [
    ("http://localhost", "localhost", 200),
    ("https://localhost", "localhost", 200),
    ("http://LOCALHOST:8700", "localhost:8700", 200),
    ("http://127.0.0.1:8700", "127.0.0.1:8700", 200),
    ("http://[::1]:8700", "[::1]:8700", 200),
    ("http://localhost:8701", "localhost:8700", 403),
    ("http://localhost", "localhost:8700", 403),
    ("http://127.0.0.1:8700", "localhost:8700", 403),
    ("http://evil.example", "localhost", 403),
    ("http://localhost.evil.example", "localhost", 403),
    ("http://evil.example:8700", "localhost:8700", 403),
    ("http://localhost@evil.example", "localhost", 403),
    ("http://localhost/", "localhost", 403),
    ("ftp://localhost", "localhost", 403),
    ("null", "localhost", 403),
    ("", "localhost", 403),
    ("*", "localhost", 403),
]


async def test_a_page_of_another_origin_may_neither_look_nor_order(api: Api) -> None:
    for origin, host, status in ORIGINS:
        headers = {**SHOWN, "host": host, "origin": origin}
        for method, path in (("POST", "/jobs/plan/run"), ("GET", "/jobs")):
            answer = await api.client.request(method, f"/api/v1{path}", headers=headers)
            assert answer.status_code == status, (method, origin, host)


async def test_two_origins_are_one_too_many(api: Api) -> None:
    headers = [("origin", "http://localhost"), ("origin", "http://evil.example"), *SHOWN.items()]
    assert (await api.client.post("/api/v1/pause", headers=headers)).status_code == 403


async def test_a_name_from_elsewhere_is_refused_before_anything_is_looked_at(api: Api) -> None:
    headers = {**SHOWN, "host": "evil.example", "origin": "http://evil.example"}
    answer = await api.client.post("/api/v1/pause", headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (400, "this host name is not served here")


async def test_where_others_can_reach_the_port_reading_needs_the_token_too(api: Api) -> None:
    transport = httpx.ASGITransport(app=an_app(api.house, is_open_to_read=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        assert (await client.get("/posts")).status_code == 401
        assert (await client.get("/posts", headers=SHOWN)).status_code == 200
        described = (await client.get("/openapi.json")).json()
    assert described["paths"]["/posts"]["get"]["security"] == [{"token": []}]


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
async def test_what_a_proxy_passes_on_needs_the_token_for_reading_too(api: Api, header: str) -> None:
    passed_on = {header: "192.0.2.1"}
    assert (await api.client.get("/api/v1/posts", headers=passed_on)).status_code == 401
    assert (await api.client.get("/api/v1/posts", headers={**passed_on, **SHOWN})).status_code == 200
    assert (await api.client.get("/api/v1/posts")).status_code == 200


async def test_a_request_without_the_token_is_logged_and_the_token_never_is(api: Api) -> None:
    with capture_logs() as logs:
        await api.client.post("/api/v1/pause", headers={"authorization": "Bearer hunter2"})
        await api.order("/pause")
    assert [line["event"] for line in logs if line["event"].startswith("api")] == ["api_refused", "api_order"]
    assert "hunter2" not in repr(logs)
    assert "a token of tests" not in repr(logs)


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_is_paused_and_resumed_and_both_are_remembered(api: Api) -> None:
    assert "Paused job plan" in (await api.order("/jobs/plan/pause"))["message"]
    assert (await api.get("/jobs/plan"))["state"] == "paused"
    assert await rows.fetch(api.database, "SELECT job, paused_by FROM paused_jobs") == [
        {"job": "plan", "paused_by": "api"}
    ]
    await api.order("/jobs/plan/resume")
    assert (await api.get("/jobs/plan"))["state"] == "waiting"
    assert await api.database.run(runs.paused) == set()


async def test_all_jobs_are_paused_and_resumed(api: Api) -> None:
    await api.order("/pause")
    assert (await api.get("/jobs", state="paused"))["total"] == 3
    await api.order("/resume")
    assert (await api.get("/jobs", state="paused"))["total"] == 0


async def test_a_run_is_asked_for_in_the_name_of_the_api(api: Api) -> None:
    await api.order("/jobs/plan/run")
    await settle()
    assert api.work.triggers == ["asked by api"]


async def test_what_can_not_be_ordered_says_why(api: Api) -> None:
    assert (await api.order("/jobs/postign/run", status=404))[
        "remedy"
    ] == "Jobs: plan, posting, reply_posting."
    api.house.database = DownDatabase()
    said = await api.order("/jobs/plan/pause", status=503)
    assert said["detail"].startswith("the pause of plan holds, but not across a restart")
    assert (await api.get("/posts", 503))["remedy"] == "Start it."


# ── drafts and posts ────────────────────────────────────────────────────────────────────────────


async def test_a_draft_is_written_edited_scheduled_approved_and_goes_out_when_it_was_said(api: Api) -> None:
    draft = (await api.order("/drafts", NEW, 201))["reply"]
    due_at = NOON + timedelta(hours=3)
    change = {"text": "a better answer", "due_at": due_at.isoformat()}
    message = (await api.order(f"/drafts/{draft}", change, method="PATCH"))["message"]
    assert message.startswith(f"Draft {draft} is changed. Once approved it goes out at ")
    await api.order(f"/drafts/{draft}/approve")
    post = await api.get(f"/posts/{draft}")
    assert (post["state"], post["text"], post["decided_by"]) == ("queued", "a better answer", "api")
    assert post["due_at"] == due_at.isoformat().replace("+00:00", "Z")
    refused = await api.order(f"/drafts/{draft}", {"text": "too late"}, 409, "PATCH")
    assert refused["detail"] == f"post {draft} is queued, and no draft any more"


async def test_an_approved_draft_that_nobody_scheduled_is_due_at_once(api: Api) -> None:
    draft = (await api.order("/drafts", NEW, 201))["reply"]
    asked_at = api.house.clock.now()
    await api.order(f"/drafts/{draft}/approve")
    assert asked_at <= (await rows.row(api.database, draft))["due_at"] <= api.house.clock.now()


async def test_a_rejected_draft_never_goes_out(api: Api) -> None:
    draft = (await api.order("/drafts", NEW, 201))["reply"]
    await api.order(f"/drafts/{draft}/reject")
    assert (await api.get(f"/posts/{draft}"))["state"] == "failed"
    await api.order(f"/drafts/{draft}/approve", status=409)
    assert (await api.get("/drafts"))["items"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "the body: give text, due_at or both"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"text": "x" * 10_001}, "text: String should have at most 10000 characters"),
        ({"due_at": "tomorrow"}, "due_at: Input should be a valid datetime"),
        ({"due_at": "2026-06-01T13:00:00"}, "due_at: Input should have timezone info"),
        (
            {"due_at": "2026-06-01T11:59:00+00:00"},
            "due_at must be from 2026-06-01T12:",
        ),
        (
            {"due_at": "2026-06-03T13:30:00+00:00"},
            "due_at must be from 2026-06-01T12:",
        ),
        ({"state": "queued"}, "state: Extra inputs are not permitted"),
    ],
)
async def test_a_change_that_makes_no_sense_changes_nothing(
    api: Api, change: dict[str, str], said: str
) -> None:
    draft = (await api.order("/drafts", NEW, 201))["reply"]
    before = await rows.row(api.database, draft)
    assert (await api.order(f"/drafts/{draft}", change, 400, "PATCH"))["detail"].startswith(said)
    assert await rows.row(api.database, draft) == before


async def test_a_text_that_the_account_can_not_send_is_refused(api: Api) -> None:
    draft = (await api.order("/drafts", NEW, 201))["reply"]

    def check(_account: str, _target: str, text: str) -> None:
        raise ReplyImpossibleError(f"{len(text)} characters are too many", remedy="Shorten it")

    api.house.check_reply = check
    refused = await api.order(f"/drafts/{draft}", {"text": "xx"}, 422, "PATCH")
    assert (refused["detail"], refused["remedy"]) == ("2 characters are too many", "Shorten it")
    await api.order("/drafts", {**NEW, "to": "r2"}, 422)


async def test_a_draft_that_is_none_of_a_reply_keeps_its_text_apart_from_others(api: Api) -> None:
    draft = await rows.in_state(api.database, PostState.DRAFT, api.stamp, "one")
    await rows.queued(api.database, api.stamp, "two")
    refused = await api.order(f"/drafts/{draft}", {"text": " two"}, 409, "PATCH")
    assert refused["detail"] == "the account has a post with this text already"
    assert (await rows.row(api.database, draft))["text"] == "one"


async def test_an_account_answers_a_post_once(api: Api) -> None:
    await api.order("/drafts", NEW, 201)
    assert (await api.order("/drafts", NEW, 409))["detail"] == "ada answers r1 already"
    assert (await api.order("/drafts", {**NEW, "account": "bert"}, 404))["remedy"] == "Accounts: ada, grace"


async def test_an_ambiguous_post_is_settled(api: Api) -> None:
    early = type(api.stamp)(api.stamp.fence, api.stamp.now - 10 * MINUTE)
    post = await rows.in_state(api.database, PostState.AMBIGUOUS, early)
    refused = await api.order(f"/posts/{post}/resolve", {"decision": "published"}, 400)
    assert refused["detail"].startswith("the body: a published post has the reference")
    await api.order(f"/posts/{post}/resolve", {"decision": "published", "reference": "r9"})
    shown = await api.get(f"/posts/{post}")
    assert (shown["state"], shown["reference"], shown["decided_by"]) == ("published", "r9", "api")
    await api.order(f"/posts/{post}/resolve", {"decision": "drop"}, 409)
    await api.order("/posts/999/resolve", {"decision": "drop"}, 404)


BODIES = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b"[]", "application/json", 400),
    (b"[" * 60_000, "application/json", 400),
    (b'{"account": "ada", "to": "r1", "text": "\\ud800"}', "application/json", 400),
    (b'{"account": "ada", "to": "r 1", "text": "x"}', "application/json", 400),
    (b'{"account": "ada", "to": "r1", "text": "\xff"}', "application/json", 400),
    (b"account=ada&to=r1&text=x", "application/x-www-form-urlencoded", 415),
    (b'{"account": "ada", "to": "r1", "text": "x"}', "text/plain", 415),
]


async def test_a_body_that_is_none_is_refused(api: Api) -> None:
    for content, media_type, status in BODIES:
        headers = {**SHOWN, "content-type": media_type}
        answer = await api.client.post("/api/v1/drafts", content=content, headers=headers)
        assert (answer.status_code, content[:40]) == (status, content[:40])
        assert answer.headers["content-type"] == "application/problem+json"
    assert await rows.all_rows(api.database) == []


async def test_a_body_that_is_too_long_is_refused_before_its_end(api: Api, nursery: trio.Nursery) -> None:
    port = await nursery.start(serve_http, an_app(api.house), "127.0.0.1", 0)
    head = (
        f"POST /api/v1/drafts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head.encode() + b" " * (64 * 1024 + 1))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 413")
