"""The status document, its summary line, the rows of jobs, and the answer to "why"."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest
import trio

from orchestrator.actors.supervisor import RestartRule
from orchestrator.db import comparison, doubts, posts
from orchestrator.db.comparison import Findings
from orchestrator.db.pool import Database, Holder
from orchestrator.db.posts import Stamp
from orchestrator.errors import (
    BrowserError,
    DatabaseUnavailableError,
    OrchestratorError,
    PostRefusedError,
    SettingsError,
    SiteUnavailableError,
)
from orchestrator.health import figures
from orchestrator.health.checks import Check
from orchestrator.health.problems import OVERDUE_S
from orchestrator.health.status import House, SwitchedOff, job_row, read_live, read_status, summary, why
from orchestrator.metrics import Metrics
from orchestrator.model import PostState, done, nothing_to_do, over_budget
from tests import rows
from tests.fakes import NOON, DownDatabase, Highest, Part, Stage, Work, a_job, a_stage, make_house, settle

FAILED = (
    "Failed: crashed 1 times in 600 s: ZeroDivisionError: bug. "
    "Start it again with: orchestrator ctl resume fails"
)
NO_BUDGET = RestartRule(budget=0)


def add_part(house: House, name: str, error: Exception | None = None, *, is_critical: bool = True) -> None:
    house.checks.add(Check(name, Part(error).probe, is_critical))


async def started(
    stage: Stage, down: Mapping[str, Exception] = MappingProxyType({}), database: Database | None = None
) -> House:
    """A house that is up but for the parts that are `down`."""
    house = make_house(stage, database)
    for name in ("disk", "database", "browser", "jobs"):
        add_part(house, name, down.get(name))
    await house.checks.look_at_all()
    house.modes.start()
    return house


def run_now(stage: Stage, job: str = "plan") -> None:
    stage.supervisor.run_now(job, "alice")


# ── the line for 3 a.m. ─────────────────────────────────────────────────────────────────────────


async def test_all_is_well_and_nothing_runs(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        assert read_live(await started(stage))["summary"] == "All is well. Nothing runs now."


async def test_all_is_well_and_the_running_jobs_are_named(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work(is_held=True)), a_job("learn", Work(is_held=True))]) as stage:
        house = await started(stage)
        run_now(stage, "plan")
        run_now(stage, "learn")
        await settle()
        assert read_live(house)["summary"] == "All is well. Running: plan, learn."


async def test_while_starting_it_says_what_is_waited_for(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        add_part(house, "disk")
        add_part(house, "database")
        assert read_live(house)["summary"] == "Starting; waiting for disk, database."
        await house.checks.look("disk")
        assert read_live(house)["summary"] == "Starting; waiting for database."
        await house.checks.look("database")
        assert read_live(house)["summary"] == "Starting; waiting for the jobs."


async def test_while_starting_it_says_why_that_takes_long(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.note = "another daemon owns the database"
        assert read_live(house)["summary"] == "Starting: another daemon owns the database."
        house.modes.start()
        assert "another daemon" not in read_live(house)["summary"]


async def test_while_starting_it_says_what_is_wrong_already(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        add_part(house, "database")
        add_part(house, "browser", BrowserError("no browser was found", remedy="Install one."))
        await house.checks.look("browser")
        assert read_live(house)["summary"] == (
            "Starting: browser is down: no browser was found. Install one."
        )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            DatabaseUnavailableError("no answer from 127.0.0.1", remedy="Start PostgreSQL"),
            "Degraded: database is down: no answer from 127.0.0.1. Start PostgreSQL.",
        ),
        (
            DatabaseUnavailableError("no answer.", remedy="Is it there?"),
            "Degraded: database is down: no answer. Is it there?",
        ),
        (DatabaseUnavailableError("no answer"), "Degraded: database is down: no answer."),
        (
            DatabaseUnavailableError("no socket in ../run", remedy="Look there"),
            "Degraded: database is down: no socket in ../run. Look there.",
        ),
    ],
)
async def test_a_part_that_is_down_is_named_with_its_remedy_in_whole_sentences(
    error: OrchestratorError, line: str, autojump_clock: object
) -> None:
    async with a_stage([a_job("plan")]) as stage:
        assert read_live(await started(stage, {"database": error}))["summary"] == line


async def test_of_several_troubles_the_first_is_told_and_the_others_are_counted(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job("plan")]) as stage:
        away, dead = DatabaseUnavailableError("no answer", remedy="Start it"), BrowserError("it died")
        house = await started(stage, {"database": away, "browser": dead})
        assert read_live(house)["summary"] == ("Degraded: database is down: no answer. Start it. And 1 more.")


async def test_a_critical_part_is_told_before_one_that_is_not(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        add_part(house, "settings", SettingsError("no account"), is_critical=False)
        add_part(house, "database", DatabaseUnavailableError("no answer"))
        await house.checks.look_at_all()
        house.modes.start()
        problems = read_live(house)["problems"]
        assert [problem["what"] for problem in problems] == [
            "database is down: no answer",
            "settings is down: no account",
        ]


async def test_a_failed_job_is_a_problem_with_the_command_that_mends_it(autojump_clock: object) -> None:
    bug = ZeroDivisionError("division by zero")
    async with a_stage([a_job("plan", Work([bug]))], rule=NO_BUDGET) as stage:
        house = await started(stage)
        run_now(stage)
        await settle()
        status = read_live(house)
        assert status["summary"] == (
            "Ready: job plan has failed. Failed: crashed 1 times in 600 s: ZeroDivisionError: division by "
            "zero. Start it again with: orchestrator ctl resume plan."
        )
        assert status["problems"][0]["since"] == "2026-06-01T12:00:00+00:00"


async def test_a_job_that_gave_up_is_a_problem_until_a_run_of_it_is_done(autojump_clock: object) -> None:
    said_no = PostRefusedError("the site says no")
    work = Work([said_no, nothing_to_do("nothing is due"), over_budget("enough"), done()])
    async with a_stage([a_job("plan", work)]) as stage:
        house = await started(stage)
        run_now(stage)
        await settle()
        for _ in range(2):
            assert read_live(house)["summary"] == (
                "Ready: job plan gave up: the site says no. It is tried again at its next turn, "
                "or now with: orchestrator ctl run plan."
            )
            stage.supervisor.wake("plan", "its turn")
            await settle()
        assert read_live(house)["problems"][0]["since"] == "2026-06-01T12:00:00+00:00"
        stage.supervisor.wake("plan", "its turn")
        await settle()
        assert read_live(house)["problems"] == []


async def test_an_operator_whose_run_finds_nothing_to_do_has_settled_what_the_job_gave_up(
    autojump_clock: object,
) -> None:
    async with a_stage(
        [a_job("plan", Work([PostRefusedError("no"), nothing_to_do("nothing is due")]))]
    ) as stage:
        house = await started(stage)
        run_now(stage)
        await settle()
        assert len(read_live(house)["problems"]) == 1
        run_now(stage)
        await settle()
        assert read_live(house)["problems"] == []


async def test_a_job_that_gave_up_and_is_paused_is_not_said_to_be_tried_again(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work([PostRefusedError("no")]))]) as stage:
        house = await started(stage)
        run_now(stage)
        stage.supervisor.pause("plan")
        await settle()
        [problem] = read_live(house)["problems"]
        assert problem["remedy"] == "Paused by an operator. Go on with: orchestrator ctl resume plan"


async def test_a_job_that_is_switched_off_is_shown_with_the_reason(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage)
        way_on = "Set jobs.learn.enabled to true (in o.toml, line 4), then restart the daemon"
        house.switched_off = (SwitchedOff(a_job("learn"), "switched off in the settings", way_on),)
        status = read_live(house)
        assert [(job["name"], job["state"]) for job in status["jobs"]] == [
            ("plan", "waiting"),
            ("learn", "off"),
        ]
        assert status["jobs"][1].keys() == status["jobs"][0].keys()
        assert status["jobs"][1]["why"] == (
            "Switched off in the settings. Set jobs.learn.enabled to true (in o.toml, line 4), "
            "then restart the daemon."
        )
        assert status["summary"] == "All is well. Nothing runs now. Switched off: learn."
        assert json.loads(json.dumps(status)) == status


async def test_a_pause_is_told_with_the_way_out(autojump_clock: object) -> None:
    async with a_stage([a_job("plan"), a_job("posting")]) as stage:
        house = await started(stage)
        stage.supervisor.pause("posting")
        await settle()
        assert read_live(house)["summary"] == (
            "Paused by an operator: posting. Go on with: orchestrator ctl resume"
        )
        stage.supervisor.pause(None)
        await settle()
        assert read_live(house)["summary"] == "Paused by an operator. Go on with: orchestrator ctl resume"


async def test_a_pause_of_all_is_told_while_the_last_runs_end(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work(is_held=True))]) as stage:
        house = await started(stage)
        run_now(stage)
        await settle()
        stage.supervisor.pause(None)
        await settle()
        assert read_live(house)["summary"].startswith("Paused by an operator.")


async def test_a_drain_is_told_before_a_pause(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage)
        stage.supervisor.pause(None)
        await settle()
        house.modes.drain()
        assert read_live(house)["summary"] == (
            "Draining: no new runs start; the daemon ends when the present ones have."
        )


def test_a_summary_needs_nothing_but_the_document() -> None:
    status = {"mode": "ready", "problems": [], "is_paused": False, "jobs": [], "checks": []}
    assert summary(json.loads(json.dumps(status))) == "All is well. Nothing runs now."


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_row_of_a_waiting_job_has_its_next_turn(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", uses_browser=True)]) as stage:
        row = job_row(stage.actor, make_house(stage).allocator.snapshot())
    assert row == {
        "name": "plan",
        "priority": 5,
        "uses_browser": True,
        "state": "waiting",
        "since": None,
        "next_at": "2026-06-01T13:00:00+00:00",
        "overdue_s": 0.0,
        "is_stuck": False,
        "beat": None,
        "last": None,
        "gave_up": None,
        "last_success_at": None,
        "runs": {},
        "why": "Waits until 13:00:00 UTC.",
    }


async def test_the_row_of_a_running_job_has_what_the_run_said_last_and_when(autojump_clock: object) -> None:
    plan = Work(is_held=True)
    async with a_stage([a_job("plan", plan)]) as stage:
        run_now(stage)
        await settle()
        plan.runs[0].beat("14 of 80 read")
        await trio.sleep(5)
        row = job_row(stage.actor, make_house(stage).allocator.snapshot())
        assert row["beat"] == {"said": "14 of 80 read", "ago_s": 5}
        assert row["why"] == "Runs now, because of: asked by alice. It said “14 of 80 read” 5 s ago."
        plan.release()
        await settle()
        assert job_row(stage.actor, make_house(stage).allocator.snapshot())["beat"] is None


async def test_a_job_without_success_within_its_interval_and_a_half_is_a_problem_until_it_succeeds(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job("plan", Work([PostRefusedError("no")]))]) as stage:
        house = await started(stage)
        await trio.sleep(1.6 * 3600)
        problems = read_live(house)["problems"]
        assert [(one["what"], one["remedy"]) for one in problems[:1]] == [
            ("job plan is overdue: no success yet", "See: orchestrator ctl why plan")
        ]
        run_now(stage)
        await settle()
        assert read_live(house)["problems"] == []


async def test_a_job_that_is_stuck_is_a_problem(autojump_clock: object) -> None:
    async def shielded() -> Any:
        with trio.CancelScope(shield=True):
            await trio.sleep(1000)
        raise AssertionError

    async with a_stage([a_job("plan", Work([shielded]), max_run_s=100)]) as stage:
        house = await started(stage)
        run_now(stage)
        await trio.sleep(150)
        assert read_live(house)["problems"] == []
        await trio.sleep(50)
        assert [one["what"] for one in read_live(house)["problems"]] == [
            "job plan is stuck: it has not gone on when it had to"
        ]
        await trio.sleep(900)
        assert not read_live(house)["jobs"][0]["is_stuck"]


async def test_a_job_that_waits_for_the_end_of_a_posting_window_says_until_when(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job("plan", not_in_window=True)]) as stage:
        stage.windows.expect([NOON + timedelta(minutes=61)])
        await trio.sleep(3601)
        row = job_row(stage.actor, make_house(stage).allocator.snapshot())
    assert row["state"] == "waiting"
    assert row["next_at"] == "2026-06-01T13:11:00+00:00"
    assert row["why"] == ("Waits until 13:11:00 UTC at the latest, because a post is due at 13:01:00 UTC.")


async def test_the_row_of_a_job_that_ran_has_its_last_run(autojump_clock: object) -> None:
    async def slow() -> Any:
        await trio.sleep(30)
        return done("2 drafts", drafts=2)

    async with a_stage([a_job("plan", Work([slow, PostRefusedError("no")]))]) as stage:
        run_now(stage)
        await trio.sleep(60)
        run_now(stage)
        await settle()
        row = job_row(stage.actor, make_house(stage).allocator.snapshot())
    assert row["last"] == {
        "ending": "given_up",
        "detail": "no",
        "at": "2026-06-01T12:01:00+00:00",
        "duration_s": 0,
    }
    assert row["last_success_at"] == "2026-06-01T12:00:30+00:00"
    assert row["runs"] == {"done": 1, "given_up": 1}


async def test_a_job_that_waits_for_a_slot_is_queued_and_says_who_is_ahead(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work(is_held=True))]) as stage:
        house = await started(stage)
        allocator = house.allocator

        async def hold(name: str, priority: int) -> None:
            async with allocator.lease(name, priority=priority):
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            for name in ("news", "peers", "plan"):
                nursery.start_soon(hold, name, 5)
                await settle()
            run_now(stage)
            await trio.sleep(7)
            [row] = read_live(house)["jobs"]
            lines = why(stage.actor, allocator.snapshot())
            nursery.cancel_scope.cancel()
    assert row["state"] == "queued"
    assert lines[0] == row["why"]
    assert lines[0].startswith("Has waited 7.0 s for a slot in lane background: ")
    assert "news (background) holds slot 0" in lines[0]
    assert lines[1:] == ["Its run has begun (asked by alice) and waits for a slot."]


async def test_a_job_that_holds_a_slot_says_which_for_how_long_and_whether_it_was_called_back(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job("plan", Work(is_held=True))]) as stage:
        allocator = make_house(stage).allocator
        run_now(stage)

        async def ask(name: str, priority: int) -> None:
            async with allocator.lease(name, priority=priority):
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "news", 5)
            await settle()
            async with allocator.lease("plan", priority=5, max_hold_s=600):
                await trio.sleep(10)
                lines = why(stage.actor, allocator.snapshot())
                nursery.start_soon(ask, "metrics", 1)
                await settle()
                called_back = why(stage.actor, allocator.snapshot())
            nursery.cancel_scope.cancel()
    assert lines[1:] == ["It has held slot 1 for 10.0 s and must give it back in 590 s."]
    assert called_back[1:] == [
        "It has held slot 1 for 10.0 s and must give it back in 15 s.",
        "Slot 1 was called back: metrics has more right to it and waits.",
    ]


async def sentence(stage: Stage, job: str = "plan") -> str:
    await settle()
    return why(stage.supervisor.actors[job], make_house(stage).allocator.snapshot())[0]


async def test_why_says_for_each_state_what_is_going_on_and_what_to_do(autojump_clock: object) -> None:
    jobs = [
        a_job("waits", after=("backs", "runs")),
        a_job("rests"),
        a_job("runs", Work(is_held=True)),
        a_job("backs", Work([SiteUnavailableError("no answer")])),
        a_job("fails", Work([ZeroDivisionError("bug")])),
    ]
    async with a_stage(jobs, rng=Highest(), rule=NO_BUDGET) as stage:
        stage.supervisor.pause("rests")
        for name in ("runs", "backs", "fails"):
            run_now(stage, name)
        await settle()
        assert [await sentence(stage, job.name) for job in jobs] == [
            "Waits until 12:57:00 UTC, or when backs or runs is done.",
            "Paused by an operator. Go on with: orchestrator ctl resume rests",
            "Runs now, because of: asked by alice.",
            "Backs off after a failure: no answer; again in 2 s.",
            FAILED,
        ]
        stage.supervisor.drain()
        assert await sentence(stage, "waits") == "Off: the daemon drains and starts no more runs."


async def test_why_tells_how_the_last_run_ended(autojump_clock: object) -> None:
    async with a_stage([a_job("plan", Work([done("2 drafts"), done()]))]) as stage:
        snapshot = make_house(stage).allocator.snapshot()
        run_now(stage)
        await settle()
        assert why(stage.actor, snapshot)[-1] == (
            "The last run began 2026-06-01 12:00:00 UTC and ended done (2 drafts)."
        )
        run_now(stage)
        await settle()
        assert why(stage.actor, snapshot)[-1].endswith("and ended done.")


# ── the document ────────────────────────────────────────────────────────────────────────────────


async def test_before_there_is_anything_the_document_is_whole_all_the_same(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = make_house(stage)
        house.supervisor = None
        status = await read_status(house)
    assert (status["mode"], status["jobs"], status["is_paused"]) == ("starting", [], False)
    assert [slot["state"] for slot in status["slots"]] == ["free"] * 3
    assert json.loads(json.dumps(status)) == status


async def test_the_document_tells_the_start_the_clock_and_the_memory(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage)
        house.steps.append(("browser", 1.5))
        house.memory = {"daemon": 7, "browser": 9}
        await trio.sleep(90)
        status = await read_status(house)
    assert status["uptime_s"] == 90
    assert status["clock"] == {"now": "2026-06-01T12:01:30+00:00", "speed": 1.0}
    assert status["startup"] == [{"step": "browser", "duration_s": 1.5}]
    assert status["memory"] == {"daemon_bytes": 7, "browser_bytes": 9}
    assert [check["name"] for check in status["checks"]] == ["disk", "database", "browser", "jobs"]


async def test_the_document_shows_who_holds_and_who_waits(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage)
        async with house.allocator.lease("posting", priority=0):
            slot = (await read_status(house))["slots"][0]
    assert (slot["state"], slot["lease"]["holder"], slot["lease"]["lane"]) == (
        "leased",
        "posting",
        "critical",
    )


async def test_with_the_database_down_the_rest_is_told_and_what_is_wrong(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage, database=DownDatabase())
        status = await read_status(house)
        assert "posts" not in status
        assert status["summary"] == "Ready: the database can't be reached. Start it."


async def test_a_connection_that_is_not_given_back_is_a_problem_with_its_owner(
    autojump_clock: object,
) -> None:
    database = DownDatabase()
    database.holders = (
        Holder("count_by_state", "task serve", 1.0, is_leak=False),
        Holder("claim_due", "job posting", 90.0, is_leak=True),
    )
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage, database=database)
        [problem] = read_live(house)["problems"]
        assert problem["what"] == "a database connection is not given back: claim_due of job posting"
        assert problem["since"]
        assert "connection_held_too_long" in problem["remedy"]
        assert (problem["name"], problem["severity"]) == ("connection_held", "warning")
        figures.observe(metrics := Metrics(), house)
    assert b"orchestrator_db_pool_leaks 1.0" in metrics.render()


async def test_a_database_that_is_known_to_be_down_is_not_asked(autojump_clock: object) -> None:
    database = DownDatabase()
    async with a_stage([a_job("plan")]) as stage:
        away = DatabaseUnavailableError("no answer", remedy="Start it.")
        status = await read_status(await started(stage, {"database": away}, database))
    assert [problem["what"] for problem in status["problems"]] == ["database is down: no answer"]
    assert database.asked == 0


async def test_the_document_can_be_cancelled_while_the_database_hangs(autojump_clock: object) -> None:
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage, database=DownDatabase(hangs=True))
        with trio.move_on_after(5) as scope:
            await read_status(house)
        assert scope.cancelled_caught


async def test_a_database_that_hangs_costs_only_what_it_holds_and_is_looked_at(
    autojump_clock: object,
) -> None:
    database = DownDatabase(hangs=True)
    async with a_stage([a_job("plan")]) as stage:
        status = await read_status(await started(stage, database=database))
    assert "posts" not in status
    assert status["summary"] == "Ready: the database did not answer within 10 s. See whether it still runs."
    assert database.doubts == 1


async def test_posts_and_what_was_learned_come_from_the_database(database: Database) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    post_id = await rows.in_state(database, PostState.PUBLISHED, stamp, "a text of ours")
    await rows.execute(
        database, "INSERT INTO post_metrics VALUES ($1, $2, 3, 2, 40)", post_id, NOON + timedelta(hours=1)
    )
    await rows.in_state(database, PostState.AMBIGUOUS, stamp, "a text in doubt")
    await rows.execute(database, "INSERT INTO arms VALUES ('murmur', 'topic', 'bread', 3, 2)")
    async with a_stage([a_job("plan")]) as stage:
        house = await started(stage, database=database)
        house.scopes, house.accounts = ("murmur", "elsewhere"), (rows.ACCOUNT,)
        status = await read_status(house)
    assert json.loads(json.dumps(status)) == status
    assert {state: n for state, n in status["posts"].items() if n} == {"published": 1, "ambiguous": 1}
    by_text = {post["text"]: post for post in status["recent_posts"]}
    assert (by_text["a text of ours"]["likes"], by_text["a text in doubt"]["likes"]) == (3, None)
    assert by_text["a text of ours"]["published_at"] == "2026-06-01T12:00:00+00:00"
    assert status["learning"] == {
        "outcomes": 0,
        "arms": [{"dimension": "topic", "value": "bread", "pulls": 3, "mean": 0.6}],
    }
    assert status["summary"] == (
        "Ready: 1 post is ambiguous. Reconciliation is looking on the site; "
        "see: orchestrator ctl why reconciliation."
    )


# ── posts that do not get on ────────────────────────────────────────────────────────────────────


async def problems_of(
    stage: Stage,
    database: Database,
    accounts: tuple[str, ...] = (rows.ACCOUNT,),
    off: frozenset[str] = frozenset(),
) -> Any:
    """What the status says is wrong, each with its remedy."""
    house = await started(stage, database=database)
    house.accounts, house.off = accounts, off
    return {problem["what"]: problem["remedy"] for problem in (await read_status(house))["problems"]}


async def test_posts_that_were_put_off_are_a_problem_with_the_reason_and_what_to_do(
    database: Database,
) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    async with a_stage([a_job("posting")]) as stage:
        for number, what in enumerate(("1 post is", "2 posts are")):
            post_id = await rows.in_state(database, PostState.CLAIMED, stamp, f"text {number}")
            detail = f"{posts.PUT_OFF}murmur refuses the sign-in of ada"
            await database.run(posts.put_back, post_id, stamp, NOON + timedelta(hours=1), detail)
            assert await problems_of(stage, database) == {
                f"{what} put off: murmur refuses the sign-in of ada": (
                    "Mend that, then: orchestrator ctl run posting"
                )
            }


async def test_a_post_that_is_long_overdue_is_a_problem(database: Database) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    await rows.queued(database, stamp)
    async with a_stage([a_job("posting")]) as stage:
        stage.wall.jump(OVERDUE_S - 60)
        assert await problems_of(stage, database) == {}
        stage.wall.jump(120)
        what = "the oldest due post is not out yet"
        assert await problems_of(stage, database) == {what: "See: orchestrator ctl why posting"}
        stage.supervisor.pause("posting")
        await settle()
        assert await problems_of(stage, database) == {
            what: "Job posting: Paused by an operator. Go on with: orchestrator ctl resume posting"
        }
        assert await problems_of(stage, database, accounts=("grace",)) == {}
        assert await problems_of(stage, database, off=frozenset({rows.ACCOUNT})) == {}


async def test_a_post_that_is_put_back_again_and_again_is_overdue_all_the_same(database: Database) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    post_id = await rows.queued(database, stamp)
    async with a_stage([a_job("posting")]) as stage:
        for _ in range(7):
            stage.wall.jump(300)
            mine = Stamp(stamp.fence, stage.wall.clock().now())
            assert await database.run(posts.claim_due, [rows.ACCOUNT], mine) is not None
            await database.run(posts.put_back, post_id, mine, mine.now, "the site is busy")
        what = "the oldest due post is not out yet"
        assert await problems_of(stage, database) == {what: "See: orchestrator ctl why posting"}


async def test_what_the_comparison_with_the_site_found_is_told_and_what_is_wrong_is_a_problem(
    database: Database,
) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    found = Findings(rows.ACCOUNT, NOON, ["gone from the site: post 7 (p7)"], ["p9 has the text of post 8"])
    await database.run(comparison.remember, found, stamp)
    await database.run(comparison.remember, replace(found, account="of other settings"), stamp)
    async with a_stage([a_job("reconciliation")]) as stage:
        house = await started(stage, database=database)
        house.accounts = (rows.ACCOUNT,)
        status = await read_status(house)
    assert status["findings"] == [
        {"account": "ada", "at": "2026-06-01T12:00:00+00:00", "lines": ["gone from the site: post 7 (p7)"]}
    ]
    assert status["problems"] == [
        {
            "what": "ada: p9 has the text of post 8",
            "since": "2026-06-01T12:00:00+00:00",
            "remedy": "Look at the site, delete what is too much, then: orchestrator ctl run reconciliation",
            "name": "site_differs",
            "subject": "ada: p9 has the text of post 8",
            "severity": "warning",
            "runbook": "docs/runbook.md#site_differs",
        }
    ]


async def test_posts_in_doubt_are_told_by_who_can_settle_them(database: Database) -> None:
    stamp = Stamp(await rows.take_fence(database), NOON)
    await rows.in_state(database, PostState.AMBIGUOUS, stamp, "one that is looked for")
    stray = await rows.in_state(database, PostState.AMBIGUOUS, stamp, "one of bob", "bob")
    hidden = [
        await rows.in_state(database, PostState.AMBIGUOUS, stamp, text)
        for text in ("one that is hidden", "another that is hidden")
    ]
    for post_id in hidden:
        await database.run(doubts.note_unreadable, post_id, stamp, f"not among the latest 100; {posts.ASK}")
    async with a_stage([a_job("reconciliation")]) as stage:
        found = await problems_of(stage, database)
        assert found == {
            f"2 posts are ambiguous, and only a person can tell: not among the latest 100; {posts.ASK}": (
                f"Look at the site, then: orchestrator ctl post resolve {hidden[0]} published|requeue|drop"
            ),
            "1 post is ambiguous, of accounts that the settings lack: bob": (
                "Put the account back and restart, or: "
                f"orchestrator ctl post resolve {stray} published|requeue|drop"
            ),
            "1 post is ambiguous": (
                "Reconciliation is looking on the site; see: orchestrator ctl why reconciliation"
            ),
        }
        stage.supervisor.pause("reconciliation")
        await settle()
        assert (await problems_of(stage, database))["1 post is ambiguous"].startswith(
            "Job reconciliation: Paused by an operator."
        )
