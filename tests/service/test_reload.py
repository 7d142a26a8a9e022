"""Settings that are read again: what changes at once, what waits, and that a wrong one does no harm."""

from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator.errors import SettingsError
from orchestrator.service.manager import Notifier
from orchestrator.service.reload import Reload, follow
from orchestrator.service.report import Report
from orchestrator.settings import Settings
from orchestrator.settings.live import combine, compare
from tests.fakes import a_job, a_stage, make_house
from tests.service.conftest import Listener

FIRST = """
shutdown_deadline_s = 20
[log]
level = "info"
[jobs.plan]
enabled = false
every_s = 600
[alerts.destinations.ops]
url = "json://localhost/first-secret"
[alerts.destinations.boss]
url = "json://localhost/second-secret"
"""


class Desk:
    """A settings file, and a daemon that goes by what it says."""

    def __init__(self, path: Path, report: Report | None = None, more: str = "") -> None:
        self.path = path
        self.write(FIRST + more)
        self.adopted = [self.read()]
        self.reload = Reload(self.adopted[0], self.read, self.adopt, report)

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def read(self) -> Settings:
        return Settings.load(self.path, environ={})

    async def adopt(self, settings: Settings) -> None:
        await trio.lowlevel.checkpoint()
        self.adopted.append(settings)

    async def after(self, *changes: tuple[str, str]) -> str:
        text = self.path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.write(text)
        return await self.reload.run("alice")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "settings.toml")


async def test_nothing_has_changed(desk: Desk) -> None:
    assert await desk.reload.run("alice") == "Nothing has changed now."
    assert len(desk.adopted) == 1


async def test_what_is_live_changes_and_is_named(desk: Desk) -> None:
    said = await desk.after(('"info"', '"debug"'), ("every_s = 600", "every_s = 60"))
    assert said == "Changed: jobs.plan.every_s, log.level."
    assert desk.adopted[-1].log.level == "debug"
    assert desk.adopted[-1].jobs["plan"].every_s == 60


async def test_what_is_not_live_is_named_and_stays(desk: Desk) -> None:
    said = await desk.after(
        ("enabled = false", "enabled = true"), ("= 20", "= 40\n[http]\nport = 9999"), ('"info"', '"error"')
    )
    assert said == (
        "Changed: log.level, shutdown_deadline_s. At the next start: http.port, jobs.plan.enabled."
    )
    now = desk.adopted[-1]
    assert (now.log.level, now.shutdown_deadline_s) == ("error", 40)
    assert (now.http.port, now.jobs["plan"].enabled) == (8700, False)


async def test_what_waited_for_the_next_start_still_does_at_the_next_reload(desk: Desk) -> None:
    await desk.after(("enabled = false", "enabled = true"))
    assert await desk.reload.run("alice") == "Nothing has changed now. At the next start: jobs.plan.enabled."


async def test_a_wrong_setting_changes_nothing_at_all(desk: Desk) -> None:
    with capture_logs() as logs, pytest.raises(SettingsError, match="shutdown_deadline_s = -1"):
        await desk.after(('"info"', '"debug"'), ("= 20", "= -1"))
    assert [line["event"] for line in logs] == ["settings_refused"]
    assert len(desk.adopted) == 1
    assert await desk.after(("= -1", "= 20")) == "Changed: log.level."


async def test_live_settings_must_go_with_those_that_stay(tmp_path: Path) -> None:
    """Each file is right in itself; the visits' new limit would only hold after a restart."""
    desk = Desk(
        tmp_path / "settings.toml", more="[browser]\nvisit_timeout_s = 60\n[posting]\nsettle_s = 75\n"
    )
    with capture_logs(), pytest.raises(SettingsError, match=r"posting\.settle_s.*must be at least"):
        await desk.after(("visit_timeout_s = 60", "visit_timeout_s = 30"), ("settle_s = 75", "settle_s = 45"))
    assert len(desk.adopted) == 1


async def test_a_new_destination_and_a_changed_one_count_at_once_and_one_that_is_gone_stays(
    desk: Desk,
) -> None:
    boss = '[alerts.destinations.boss]\nurl = "json://localhost/second-secret"\n'
    said = await desk.after(
        (boss, '[alerts.destinations.night]\nurl = "json://localhost/third"\n'), ("first-secret", "changed")
    )
    assert said == (
        "Changed: alerts.destinations.night.severity, alerts.destinations.night.url, "
        "alerts.destinations.ops.url. At the next start: alerts.destinations.boss.severity, "
        "alerts.destinations.boss.url."
    )
    assert sorted(desk.adopted[-1].alerts.destinations) == ["boss", "night", "ops"]
    assert "secret" not in said


async def test_a_setting_that_is_taken_out_goes_back_to_its_default(desk: Desk) -> None:
    assert await desk.after(("every_s = 600\n", ""), ("shutdown_deadline_s = 20", "")) == (
        "Changed: jobs.plan.every_s, shutdown_deadline_s."
    )
    assert desk.adopted[-1].jobs["plan"].every_s is None
    assert desk.adopted[-1].shutdown_deadline_s == 30


async def test_settings_that_could_not_be_put_into_effect_are_new_the_next_time_too(desk: Desk) -> None:
    async def refuse(_settings: Settings) -> None:
        await trio.lowlevel.checkpoint()
        raise SettingsError("the URL is none that Apprise knows")

    desk.reload = Reload(desk.adopted[0], desk.read, refuse, None)
    for _ in range(2):
        with pytest.raises(SettingsError, match="none that Apprise knows"):
            await desk.after(("first-secret", "first-secret2"))


async def test_systemd_is_told_of_both_ends_also_when_the_settings_are_refused(
    tmp_path: Path, systemd: Listener, autojump_clock: object
) -> None:
    async with a_stage([a_job("plan")]) as stage:
        desk = Desk(tmp_path / "settings.toml", Report(make_house(stage), Notifier(systemd.address)))
        await desk.reload.run("alice")
        assert [next(iter(said)) for said in systemd.heard()] == ["RELOADING", "READY"]
        with capture_logs(), pytest.raises(SettingsError):
            await desk.after(("= 20", "= -1"))
        assert [next(iter(said)) for said in systemd.heard()] == ["RELOADING", "READY"]


def test_settings_that_are_the_same_have_no_change_and_combine_to_themselves(desk: Desk) -> None:
    old, new = desk.read(), desk.read()
    assert compare(old, new).live == compare(old, new).kept == ()
    assert combine(old, new).model_dump() == old.model_dump()


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = 1\n[a.b]", "\0", "[log]\nfile = 7"])
async def test_a_file_that_nobody_can_read_changes_nothing_and_is_told(tmp_path: Path, text: str) -> None:
    desk = Desk(tmp_path / "settings.toml")
    desk.write(text)
    with capture_logs() as logs, pytest.raises(SettingsError):
        await desk.reload.run("ada")
    assert [entry["event"] for entry in logs] == ["settings_refused"]
    assert len(desk.adopted) == 1


async def test_a_signal_whose_reload_fails_ends_nothing_and_the_next_is_heard(nursery: trio.Nursery) -> None:
    failures = [SettingsError("wrong"), OSError("gone"), RuntimeError("a bug")]
    left, is_done = [*failures], trio.Event()

    async def reload(_who: str) -> str:
        await trio.lowlevel.checkpoint()
        if left:
            raise left.pop(0)
        is_done.set()
        return "Nothing has changed now."

    send, receive = trio.open_memory_channel[None](len(failures) + 1)
    for _ in range(len(failures) + 1):
        send.send_nowait(None)
    with capture_logs() as logs:
        nursery.start_soon(follow, receive, reload)
        await is_done.wait()
    assert [entry["event"] for entry in logs] == ["settings_not_reloaded"] * 2  # of what nobody else has told
