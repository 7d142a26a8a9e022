"""The mode follows from the checks (A1.2, A1.3)."""

import itertools

import pytest

from orchestrator.errors import BrowserError, DatabaseUnavailableError, SiteUnavailableError
from orchestrator.health.checks import Check, Checks
from orchestrator.health.modes import BROWSER, DATABASE, Modes
from orchestrator.metrics import Metrics
from orchestrator.model import Mode
from orchestrator.testing.clock import WallClock
from tests.fakes import Part, a_job

POSTING = a_job("posting", uses_browser=True)
PLAN = a_job("plan")
BROWSING = a_job("browsing", uses_browser=True, needs_database=False)
IDLE = a_job("idle", needs_database=False)
HEALTH = a_job("health_monitor", uses_browser=True, is_upkeep=True)
JOBS = (POSTING, PLAN, BROWSING, IDLE, HEALTH)


class Rooms:
    """Database, browser (critical) and settings (not critical), and the modes over them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.checks = Checks(WallClock().clock(), self.metrics)
        self.database, self.browser, self.settings = Part(), Part(), Part()
        self.checks.add(Check(DATABASE, self.database.probe))
        self.checks.add(Check(BROWSER, self.browser.probe))
        self.checks.add(Check("settings", self.settings.probe, is_critical=False))
        self.modes = Modes(self.checks, self.metrics)

    async def look(self, *, database: bool = True, browser: bool = True, settings: bool = True) -> None:
        self.database.error = None if database else DatabaseUnavailableError("no answer")
        self.browser.error = None if browser else BrowserError("it died")
        self.settings.error = None if settings else BrowserError("no account")
        await self.checks.look_at_all()
        self.modes.publish()

    @property
    def published(self) -> list[str]:
        found = self.metrics.registry.get_sample_value
        return [mode for mode in Mode if found("orchestrator_mode", {"mode": mode})]


@pytest.mark.parametrize(
    ("database", "browser", "settings"), list(itertools.product([True, False], repeat=3))
)
async def test_every_combination_of_parts_has_its_mode(database: bool, browser: bool, settings: bool) -> None:
    rooms = Rooms()
    rooms.modes.start()
    await rooms.look(database=database, browser=browser, settings=settings)
    is_well = database and browser and settings
    assert rooms.modes.mode is (Mode.READY if is_well else Mode.DEGRADED)
    assert rooms.modes.is_ready == (database and browser)
    assert rooms.published == [rooms.modes.mode]


@pytest.mark.parametrize(
    ("database", "browser", "may_run"),
    [
        (True, True, {"posting", "plan", "browsing", "idle", "health_monitor"}),
        (True, False, {"plan", "idle", "health_monitor"}),
        (False, True, {"browsing", "idle", "health_monitor"}),
        (False, False, {"idle", "health_monitor"}),
    ],
)
async def test_each_job_runs_while_what_it_needs_is_there(
    database: bool, browser: bool, may_run: set[str]
) -> None:
    rooms = Rooms()
    rooms.modes.start()
    await rooms.look(database=database, browser=browser)
    assert {job.name for job in JOBS if rooms.modes.why_not(job) is None} == may_run


async def test_the_reason_names_the_part_and_what_is_wrong_with_it() -> None:
    rooms = Rooms()
    await rooms.look(database=False, browser=False)
    assert rooms.modes.why_not(POSTING) == "the database is down: no answer"
    assert rooms.modes.why_not(BROWSING) == "the browser is down: it died"


async def test_while_all_sites_are_left_alone_jobs_on_sites_wait_and_the_daemon_is_ready() -> None:
    rooms = Rooms()
    blog, forum = Part(), Part()
    rooms.checks.add(Check("site:blog", blog.probe, is_critical=False))
    rooms.checks.add(Check("site:forum", forum.probe, is_critical=False))
    rooms.modes.sites = ("site:blog", "site:forum")
    rooms.modes.start()
    blog.error = SiteUnavailableError("it does not answer")
    await rooms.look()
    assert [rooms.modes.why_not(job) for job in JOBS] == [None] * len(JOBS)
    assert (rooms.modes.mode, rooms.modes.is_ready) == (Mode.DEGRADED, True)
    forum.error = SiteUnavailableError("nobody goes there")
    await rooms.look()
    reason = "no site is to be asked now; site:blog: it does not answer; site:forum: nobody goes there"
    assert [rooms.modes.why_not(job) for job in JOBS] == [reason, None, reason, None, None]
    assert (rooms.modes.mode, rooms.modes.is_ready) == (Mode.DEGRADED, True)


async def test_a_part_that_nobody_looked_at_yet_holds_up_no_job() -> None:
    assert Rooms().modes.why_not(POSTING) is None


async def test_the_daemon_is_starting_until_the_gate_is_passed() -> None:
    rooms = Rooms()
    await rooms.look()
    assert (rooms.modes.mode, rooms.modes.is_ready, rooms.modes.is_starting) == (Mode.STARTING, False, True)
    assert rooms.published == [Mode.STARTING]
    rooms.modes.start()
    assert (rooms.modes.mode, rooms.modes.is_ready, rooms.modes.is_starting) == (Mode.READY, True, False)
    assert rooms.published == [Mode.READY]


async def test_a_daemon_without_a_look_at_its_parts_is_not_ready() -> None:
    rooms = Rooms()
    rooms.modes.start()
    assert (rooms.modes.mode, rooms.modes.is_ready) == (Mode.DEGRADED, False)


async def test_recovery_needs_no_restart() -> None:
    rooms = Rooms()
    await rooms.look(browser=False)
    rooms.modes.start()
    assert rooms.modes.mode is Mode.DEGRADED
    await rooms.look()
    assert rooms.modes.mode.value == "ready"


@pytest.mark.parametrize("is_started", [True, False])
@pytest.mark.parametrize("is_well", [True, False])
async def test_nothing_leads_out_of_draining(is_started: bool, is_well: bool) -> None:
    rooms = Rooms()
    if is_started:
        rooms.modes.start()
    rooms.modes.drain()
    await rooms.look(database=is_well)
    rooms.modes.start()
    assert (rooms.modes.mode, rooms.modes.is_ready) == (Mode.DRAINING, False)
    assert rooms.published == [Mode.DRAINING]
