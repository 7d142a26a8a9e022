"""The table of endpoints: all that the API has."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import orchestrator
from orchestrator.health.status import House
from orchestrator.web.guard import Token
from orchestrator.web.v1 import documents, queries
from orchestrator.web.v1.acting import Acting
from orchestrator.web.v1.cursor import Cursors
from orchestrator.web.v1.endpoint import PREFIX, Door, Endpoint
from orchestrator.web.v1.openapi import describe
from orchestrator.web.v1.reading import Ask, Reading

CURSORS = "cursors of /api/v1"
"""What their key is for."""


def make_routes(house: House, ask: Ask, token: Token, *, is_open_to_read: bool) -> list[Route]:
    """The API. `ask` asks control verbs; `is_open_to_read`: nobody but this machine's users can reach it."""
    reading = Reading(house, ask, Cursors(token.derived(CURSORS)))
    endpoints = [*_reading(reading), *_acting(Acting(ask))]
    door = Door(token, is_open_to_read=is_open_to_read)
    return [*_about(endpoints, is_open_to_read=is_open_to_read), *door.routes(endpoints)]


def _reading(read: Reading) -> list[Endpoint]:
    def get(path: str, answer: Any, handler: Any, summary: str, query: Any = queries.Query) -> Endpoint:
        return Endpoint("GET", path, handler.__name__, summary, answer, handler, query, refusals=(404,))

    return [
        get("/jobs", documents.Jobs, read.jobs, "jobs", queries.JobsQuery),
        get("/jobs/{job}", documents.OneJob, read.job, "a job, and why it does what it does"),
        get("/runs", documents.Runs, read.runs, "runs of jobs", queries.RunsQuery),
        get("/runs/{run}", documents.Run, read.run, "a run"),
        get("/posts", documents.Posts, read.posts, "posts and replies", queries.PostsQuery),
        get("/posts/{post}", documents.OnePost, read.post, "a post, and what becomes of it"),
        get("/drafts", documents.Posts, read.drafts, "what waits to be approved", queries.DraftsQuery),
        get("/replies", documents.Posts, read.replies, "replies", queries.PostsQuery),
        get(
            "/opportunities",
            documents.Opportunities,
            read.opportunities,
            "posts of others that a reply suits",
            queries.OpportunitiesQuery,
        ),
        get("/opportunities/{opportunity}", documents.Opportunity, read.opportunity, "an opportunity"),
        get("/accounts", documents.Accounts, read.accounts, "accounts", queries.Short),
        get("/leases", documents.Leases, read.leases, "browser contexts, and who waits for one"),
        get("/insights", documents.Insights, read.insights, "what works", queries.InsightsQuery),
        get("/alerts", documents.Alerts, read.alerts, "what is or was wrong", queries.AlertsQuery),
        get("/alerts/{alert}", documents.Alert, read.alert, "an alert"),
        get("/budget", documents.Budget, read.budget, "what is left to spend on the language model"),
        get("/models", documents.Models, read.models, "versions of the predictor", queries.ModelsQuery),
        get("/models/{version}", documents.Model, read.model, "a version of the predictor"),
    ]


def _acting(acting: Acting) -> list[Endpoint]:
    def post(path: str, name: str, summary: str, handler: Any, **more: Any) -> Endpoint:
        return Endpoint("POST", path, name, summary, documents.Done, handler, refusals=(409, 422), **more)

    draft = Endpoint(
        "POST", "/drafts", "draft_reply", "write a reply", documents.Drafted, acting.draft,
        body=queries.NewDraft, status=201, refusals=(404, 409, 422),
    )  # fmt: skip
    change = Endpoint(
        "PATCH", "/drafts/{draft}", "change_draft", "edit or schedule a draft", documents.Done, acting.change,
        body=queries.DraftChange, refusals=(409, 422),
    )  # fmt: skip
    return [
        post("/pause", "pause_all", "start no more runs of any job but the upkeep", acting.pause_all),
        post("/resume", "resume_all", "end every pause", acting.resume_all),
        post("/jobs/{job}/pause", "pause_job", "start no more runs of a job", acting.pause),
        post("/jobs/{job}/resume", "resume_job", "end a pause", acting.resume),
        post("/jobs/{job}/run", "run_job", "run a job now", acting.run),
        draft,
        change,
        post("/drafts/{draft}/approve", "approve_draft", "let a draft go out", acting.approve),
        post("/drafts/{draft}/reject", "reject_draft", "drop a draft", acting.reject),
        post("/posts/{post}/resolve", "resolve_post", "settle an ambiguous post", acting.resolve,
             body=queries.Resolution),
    ]  # fmt: skip


def _about(endpoints: Sequence[Endpoint], *, is_open_to_read: bool) -> list[Route]:
    """What there is: for people, and for programs."""
    description = describe(endpoints, is_open_to_read=is_open_to_read)
    paths = {f"{one.method} {PREFIX}{one.path}": one.summary for one in endpoints}
    index = documents.Index(
        version=orchestrator.__version__, openapi=f"{PREFIX}/openapi.json", paths=paths
    ).model_dump()

    async def show_index(_request: Request) -> Response:
        return JSONResponse(index)

    async def show_description(_request: Request) -> Response:
        return JSONResponse(description)

    return [Route(f"{PREFIX}/", show_index), Route(f"{PREFIX}/openapi.json", show_description)]
