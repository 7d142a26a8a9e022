"""What each verb does and answers; who may ask what is `test_server`'s."""

import json
import os
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator import wiring
from orchestrator.actors import supervisor
from orchestrator.actors.actor import ActorState
from orchestrator.alerts.desk import Claim, Desk
from orchestrator.breaker import BreakerRule, judge_by
from orchestrator.breakers import Breakers, Party
from orchestrator.control.peers import Caller, Level
from orchestrator.control.verbs import name_of, verbs_of
from orchestrator.db import breakers as kept_orders
from orchestrator.db import runs
from orchestrator.db.alerts import Severity
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.errors import ControlError
from orchestrator.health.checks import Check
from orchestrator.health.memory import Limits, MemoryView, Step
from orchestrator.health.modes import DATABASE
from orchestrator.health.status import House, SwitchedOff
from orchestrator.metrics import Metrics
from orchestrator.model import Ending
from orchestrator.settings import AlertsSettings
from tests import rows
from tests.fakes import NOON, DownDatabase, Lowest, Part, Stage, Work, a_job, a_stage, make_house, settle

CALLER = Caller(os.getuid(), os.getpid(), Level.ADMIN)
ME = name_of(CALLER)


class Socket:
    """Asks verbs as the control socket does; `drained_by` has who asked for the end."""

    def __init__(self, house: House) -> None:
        self.drained_by: list[str] = []
        self._verbs = verbs_of(house, self.drained_by.append)

    async def ask(self, verb: str, **args: Any) -> Any:
        return await self._verbs[verb].handler(CALLER, args)


async def paused_in(database: Database) -> set[str]:
    return await database.run(runs.paused)


def paused(stage: Stage) -> list[str]:
    return [name for name, actor in stage.supervisor.actors.items() if actor.is_paused]


def test_each_verb_asks_for_the_level_that_its_effect_needs() -> None:
    async def levels() -> dict[str, Level]:
        async with a_stage([]) as stage:
            verbs = verbs_of(make_house(stage), lambda _who: None)
            return {name: verb.level for name, verb in verbs.items()}

    assert trio.run(levels) == {
        "status": Level.VIEW,
        "jobs": Level.VIEW,
        "queue": Level.VIEW,
        "why": Level.VIEW,
        "posts": Level.VIEW,
        "post": Level.VIEW,
        "resolve": Level.OPERATE,
        "accounts": Level.VIEW,
        "account_add": Level.ADMIN,
        "account_remove": Level.ADMIN,
        "account_disable": Level.OPERATE,
        "account_enable": Level.OPERATE,
        "insights": Level.VIEW,
        "models": Level.VIEW,
        "replies": Level.VIEW,
        "opportunities": Level.VIEW,
        "draft": Level.OPERATE,
        "edit": Level.OPERATE,
        "approve": Level.OPERATE,
        "reject": Level.OPERATE,
        "alerts": Level.VIEW,
        "budget": Level.VIEW,
        "breakers": Level.VIEW,
        "cache": Level.VIEW,
        "breaker": Level.OPERATE,
        "pause": Level.OPERATE,
        "resume": Level.OPERATE,
        "run": Level.OPERATE,
        "reload": Level.ADMIN,
        "page": Level.OPERATE,
        "drain": Level.ADMIN,
    }


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


async def test_status_jobs_and_queue_are_parts_of_the_one_document(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        socket = Socket(make_house(stage))
        status = await socket.ask("status")
        assert (await socket.ask("jobs"))["jobs"] == status["jobs"]
        queue = await socket.ask("queue")
        assert queue == {"slots": status["slots"], "queue": status["queue"]}


async def test_why_answers_with_sentences(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        socket = Socket(make_house(stage))
        assert await socket.ask("why", job="plan") == {
            "job": "plan",
            "lines": ["Waits until 13:00:00 UTC."],
        }


async def test_why_says_first_that_the_job_would_be_skipped(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.checks.add(Check(DATABASE, Part(ControlError("no answer")).probe))
        await house.checks.look(DATABASE)
        lines = (await Socket(house).ask("why", job="plan"))["lines"]
        assert lines == [
            "It would be skipped now: the database is down: no answer.",
            "Waits until 13:00:00 UTC.",
        ]


async def test_a_job_that_would_be_skipped_for_want_of_memory_says_so_too(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        limits = Limits(10, 20, 1, has_extra=False, source="")
        house.memory_view = MemoryView(Step.REFUSED, NOON, 30, limits, ())
        socket = Socket(house)
        first = (await socket.ask("why", job="plan"))["lines"][0]
        message = (await socket.ask("run", job="plan"))["message"]
    assert first == "It would be skipped now: memory is short: only posting starts runs."
    assert message.startswith("Job plan would be skipped now: memory is short: only posting starts runs;")


async def test_why_says_of_the_present_run_before_it_speaks_of_a_next_one(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work(is_held=True))]) as stage:
        house = make_house(stage)
        house.checks.add(Check(DATABASE, Part(ControlError("no answer")).probe))
        await house.checks.look(DATABASE)
        stage.supervisor.run_now("plan", "alice")
        await settle()
        assert (await Socket(house).ask("why", job="plan"))["lines"] == [
            "Runs now, because of: asked by alice.",
            "A new run would be skipped: the database is down: no answer.",
        ]


# ── operating ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ["why", "pause", "resume", "run"])
async def test_an_unknown_job_is_an_error_that_names_the_jobs(verb: str, autojump_clock: object) -> None:
    async with a_stage([a_job("posting"), a_job("plan")]) as stage:
        database = DownDatabase()
        with pytest.raises(ControlError) as caught:
            await Socket(make_house(stage, database)).ask(verb, job="postign")
        assert caught.value.line() == "there is no job 'postign'. Jobs: plan, posting."
        assert database.asked == 0


async def test_a_pause_outlives_the_daemon_and_resume_forgets_it(
    database: Database, autojump_clock: object
) -> None:
    async with a_stage([a_job("plan"), a_job("posting")]) as stage:
        socket = Socket(make_house(stage, database))
        answer = await socket.ask("pause", job="plan")
        assert answer == {"message": "Paused job plan; runs under way end by themselves."}
        assert paused(stage) == ["plan"]
        assert await rows.fetch(database, "SELECT * FROM paused_jobs") == [
            {"job": "plan", "paused_by": ME, "paused_at": NOON}
        ]
        assert await socket.ask("resume", job="plan") == {"message": "Resumed job plan."}
        assert paused(stage) == []
        assert await paused_in(database) == set()


async def test_a_pause_of_all_leaves_the_upkeep_and_outlives_the_daemon(
    database: Database, autojump_clock: object
) -> None:
    async with a_stage([a_job("plan"), a_job("health_monitor", is_upkeep=True)]) as stage:
        socket = Socket(make_house(stage, database))
        answer = await socket.ask("pause")
        assert answer["message"].startswith("Paused all jobs but the upkeep;")
        assert paused(stage) == ["plan"]
        assert await paused_in(database) == {"plan"}


async def test_resume_of_all_forgets_every_pause(database: Database, autojump_clock: object) -> None:
    async with a_stage([a_job("plan"), a_job("health_monitor", is_upkeep=True)]) as stage:
        socket = Socket(make_house(stage, database))
        await socket.ask("pause")
        await socket.ask("pause", job="plan")
        await socket.ask("pause", job="health_monitor")
        assert await socket.ask("resume") == {"message": "Resumed all jobs."}
        assert paused(stage) == []
        assert await paused_in(database) == set()


async def test_resume_says_when_there_is_nothing_to_resume(
    database: Database, autojump_clock: object
) -> None:
    bug = ZeroDivisionError("bug")
    async with a_stage([a_job("plan", Work([bug]))], rule=supervisor.RestartRule(budget=0)) as stage:
        socket = Socket(make_house(stage, database))
        assert await socket.ask("resume") == {"message": "No job was paused."}
        assert await socket.ask("resume", job="plan") == {"message": "Job plan was not paused."}
        stage.supervisor.run_now("plan", "alice")
        await settle()
        assert stage.actor.state is ActorState.FAILED
        assert await socket.ask("resume", job="plan") == {"message": "Resumed job plan."}


async def test_a_job_that_was_resumed_out_of_a_pause_of_all_stays_resumed(
    database: Database, autojump_clock: object
) -> None:
    async with a_stage([a_job("plan"), a_job("posting")]) as stage:
        socket = Socket(make_house(stage, database))
        await socket.ask("pause")
        await socket.ask("resume", job="plan")
        assert paused(stage) == ["posting"]
        assert await paused_in(database) == {"posting"}


async def test_the_first_who_paused_a_job_is_remembered(database: Database, autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        socket = Socket(make_house(stage, database))
        await socket.ask("pause", job="plan")
        stage.wall.jump(60)
        await socket.ask("pause", job="plan")
        [row] = await rows.fetch(database, "SELECT * FROM paused_jobs")
        assert row["paused_at"] == NOON


@pytest.mark.parametrize(
    ("verb", "job", "what"),
    [
        ("pause", "plan", "pause of plan"),
        ("resume", "plan", "resume of plan"),
        ("pause", None, "pause of all"),
    ],
)
async def test_with_the_database_away_an_order_holds_and_says_for_how_long(
    verb: str, job: str | None, what: str, autojump_clock: object
) -> None:
    async with a_stage([a_job("plan")]) as stage:
        if verb == "resume":
            stage.supervisor.pause("plan")
        args = {} if job is None else {"job": job}
        with pytest.raises(ControlError) as caught:
            await Socket(make_house(stage, DownDatabase())).ask(verb, **args)
        assert caught.value.line() == (
            f"the {what} holds, but not across a restart: the database can't be reached. Start it."
        )
        assert paused(stage) == (["plan"] if verb == "pause" else [])


async def test_before_there_is_a_database_an_order_holds_and_says_for_how_long(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job("plan")]) as stage:
        with pytest.raises(ControlError, match="holds, but not across a restart: there is no database yet"):
            await Socket(make_house(stage)).ask("pause", job="plan")
        assert paused(stage) == ["plan"]


async def test_a_pause_can_be_cancelled_while_the_database_hangs(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        with trio.move_on_after(5) as scope:
            await Socket(make_house(stage, DownDatabase(hangs=True))).ask("pause", job="plan")
        assert scope.cancelled_caught
        assert paused(stage) == ["plan"]


async def test_run_starts_a_run_in_the_name_of_the_caller(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job("plan", work)]) as stage:
        answer = await Socket(make_house(stage)).ask("run", job="plan")
        await settle()
    assert work.triggers == [f"asked by {ME}"]
    assert answer == {"message": "Job plan runs as soon as it may; see: orchestrator ctl why plan"}


async def test_a_run_of_a_paused_job_is_made_once_and_the_answer_says_so(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job("plan", work)]) as stage:
        stage.supervisor.pause("plan")
        answer = await Socket(make_house(stage)).ask("run", job="plan")
        await settle()
        assert stage.state() is ActorState.PAUSED
    assert work.triggers == [f"asked by {ME}"]
    assert answer["message"].startswith("Job plan runs once as soon as it may, and stays paused;")


async def test_a_run_beside_one_that_is_under_way_follows_it_and_the_answer_says_so(
    autojump_clock: object,
) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job("plan", work)]) as stage:
        socket = Socket(make_house(stage))
        await socket.ask("run", job="plan")
        await settle()
        answer = await socket.ask("run", job="plan")
        work.release()
        await settle()
        assert len(work.runs) == 2
    assert answer["message"].startswith("Job plan runs now, and once more when that run has ended;")


async def test_a_run_that_would_be_skipped_is_told_with_the_reason(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.checks.add(Check(DATABASE, Part(ControlError("no answer")).probe))
        await house.checks.look(DATABASE)
        answer = await Socket(house).ask("run", job="plan")
    assert answer["message"].startswith("Job plan would be skipped now: the database is down: no answer;")


async def test_a_daemon_that_is_ending_runs_nothing_more_and_says_so(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job("plan", work)]) as stage:
        socket = Socket(make_house(stage))
        await socket.ask("run", job="plan")
        await settle()
        stage.supervisor.drain()
        with pytest.raises(ControlError, match="the daemon is ending and starts no more runs"):
            await socket.ask("run", job="plan")


async def test_a_job_that_is_switched_off_says_so_and_how_to_have_it_back(autojump_clock: object) -> None:
    way_on = "Set jobs.learn.enabled to true (in o.toml, line 4), then restart the daemon"
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.switched_off = (SwitchedOff(a_job("learn"), "switched off in the settings", way_on),)
        socket = Socket(house)
        assert [job["name"] for job in (await socket.ask("jobs"))["jobs"]] == ["plan", "learn"]
        answer = await socket.ask("why", job="learn")
        assert answer == {"job": "learn", "lines": [f"Switched off in the settings. {way_on}."]}
        for verb in ("run", "pause", "resume"):
            with pytest.raises(ControlError) as caught:
                await socket.ask(verb, job="learn")
            assert caught.value.line() == f"job learn is switched off in the settings. {way_on}"


async def test_resume_starts_a_failed_job_afresh(database: Database, autojump_clock: object) -> None:
    with capture_logs():
        async with a_stage([a_job("plan", Work([ZeroDivisionError("bug")] * 6))]) as stage:
            socket = Socket(make_house(stage, database))
            for _ in range(6):
                await socket.ask("run", job="plan")
                await settle()
            assert stage.state() is ActorState.FAILED
            await socket.ask("resume", job="plan")
            await settle()
            assert stage.state() is ActorState.WAITING


# ── the end, and the beginning ──────────────────────────────────────────────────────────────────


async def test_drain_begins_the_end_and_names_what_still_runs(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work(is_held=True)), a_job("posting")]) as stage:
        socket = Socket(make_house(stage))
        await socket.ask("run", job="plan")
        await settle()
        answer = await socket.ask("drain")
        assert socket.drained_by == [ME]
        assert answer["message"].endswith("have ended (now: plan).")
        assert Ending.INTERRUPTED not in stage.endings


async def test_a_daemon_that_is_starting_can_be_drained(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.supervisor = None
        socket = Socket(house)
        answer = await socket.ask("drain")
        assert socket.drained_by == [ME]
        assert answer["message"].endswith("(now: none).")


@pytest.mark.parametrize("verb", ["why", "pause", "resume", "run"])
async def test_a_daemon_that_is_starting_says_so(verb: str, autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.supervisor = None
        with pytest.raises(ControlError) as caught:
            await Socket(house).ask(verb, job="plan")
        assert caught.value.line() == "the daemon is still starting. See: orchestrator ctl status"


async def test_a_daemon_that_is_starting_shows_its_status(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.supervisor = None
        socket = Socket(house)
        assert (await socket.ask("status"))["mode"] == "starting"
        assert (await socket.ask("jobs"))["jobs"] == []
        assert len((await socket.ask("queue"))["slots"]) == 3


def test_a_caller_is_called_by_login_name_or_by_number() -> None:
    assert name_of(Caller(0, 1, Level.ADMIN)) == "root"
    assert name_of(Caller(4_000_000_001, 1, Level.VIEW)) == "uid 4000000001"


# ── alerts ──────────────────────────────────────────────────────────────────────────────────────


async def test_alerts_are_shown_with_their_deliveries(database: Database, autojump_clock: object) -> None:
    settings = AlertsSettings.model_validate({"destinations": {"ops": {"url": f"json://{SECRET}"}}})
    async with a_stage([]) as stage:
        house = make_house(stage, database)
        with pytest.raises(ControlError, match="the daemon is still starting"):
            await Socket(house).ask("alerts")
        fence = Fence(await rows.take_fence(database), rows.TTL_S, boot_time())
        house.alerts = Desk(settings, house.clock, Lowest(), Metrics(), database, fence)
        await house.alerts.note(
            [Claim("job_failed", "plan", Severity.CRITICAL, "it has failed", "Mend it", None)]
        )
        answer = await Socket(house).ask("alerts")
    [row] = answer["alerts"]
    assert (row["name"], row["what"], row["cleared_at"]) == ("job_failed", "it has failed", None)
    assert [(one["destination"], one["told_at"]) for one in row["deliveries"]] == [("ops", None)]
    assert answer["destinations"] == [{"name": "ops", "severity": "warning"}]
    assert SECRET not in json.dumps(answer)


# ── breakers ────────────────────────────────────────────────────────────────────────────────────


BREAKER = "site:blog"
SECRET = "canary-5e1f0c"


def no_breakers() -> Breakers:
    return Breakers(rng=Lowest(), metrics=Metrics(), on_change=lambda _change, _may_come: None)


def with_breakers(house: House) -> Breakers:
    breakers = no_breakers()
    breakers.add(Party(BREAKER, BreakerRule(), judge_by(), "nobody goes there", trio.sleep_forever))
    house.breakers = breakers
    return breakers


@pytest.mark.parametrize(("order", "state"), [("open", "forced_open"), ("close", "forced_closed")])
async def test_a_forced_breaker_outlives_the_daemon_until_it_decides_again(
    order: str, state: str, database: Database, autojump_clock: object
) -> None:
    async with a_stage([]) as stage:
        house = make_house(stage, database)
        with_breakers(house)
        socket = Socket(house)
        answer = await socket.ask("breaker", breaker=BREAKER, order=order)
        assert answer["message"].startswith(f"site:blog is forced {order}. ")
        assert answer["message"].endswith(" Back: orchestrator ctl breaker site:blog auto")
        [row] = (await socket.ask("breakers"))["breakers"]
        assert (row["name"], row["state"], row["forced_by"]) == (BREAKER, state, ME)
        assert (await socket.ask("status"))["breakers"] == [{**row, "in_state_s": 0.0}]

        restarted = with_breakers(make_house(stage, database))
        await wiring.restore_orders(restarted, database)
        assert restarted.standing(BREAKER).view.state == state
        assert restarted.standing(BREAKER).forced_by == ME

        await socket.ask("breaker", breaker=BREAKER, order="auto")
        [row] = (await socket.ask("breakers"))["breakers"]
        assert row["forced_by"] == ""
        restarted = with_breakers(make_house(stage, database))
        await wiring.restore_orders(restarted, database)
        assert restarted.standing(BREAKER).view.state == "closed"


async def test_the_order_for_a_site_that_is_gone_is_left_out(database: Database) -> None:
    await database.run(kept_orders.keep, "site:gone", "open", "ada", NOON)
    breakers = no_breakers()
    await wiring.restore_orders(breakers, database)
    assert breakers.standings() == []


async def test_orders_that_can_t_be_carried_out_are_refused_and_not_kept(autojump_clock: object) -> None:
    async with a_stage([]) as stage:
        database = DownDatabase()
        house = make_house(stage, database)
        with pytest.raises(ControlError, match="the daemon is still starting"):
            await Socket(house).ask("breaker", breaker=BREAKER, order="open")
        with_breakers(house)
        with pytest.raises(ControlError, match="there is no breaker 'blog'"):
            await Socket(house).ask("breaker", breaker="blog", order="open")
        assert database.asked == 0


async def test_with_the_database_away_a_breaker_is_forced_and_that_is_said(autojump_clock: object) -> None:
    async with a_stage([]) as stage:
        house = make_house(stage, DownDatabase())
        breakers = with_breakers(house)
        with pytest.raises(ControlError, match="the order to site:blog holds, but not across a restart"):
            await Socket(house).ask("breaker", breaker=BREAKER, order="open")
        assert breakers.standing(BREAKER).view.state == "forced_open"
