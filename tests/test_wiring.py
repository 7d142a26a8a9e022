"""The parts of the house as the settings want them."""

import contextlib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from orchestrator import jobs, wiring
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from tests.fakes import a_job


def test_a_job_that_the_settings_switch_off_is_known_with_the_place_that_says_so() -> None:
    environ = {"ORCHESTRATOR_JOBS__LEARN__ENABLED": "false", "ORCHESTRATOR_JOBS__PLAN__ENABLED": "true"}
    listed = [a_job("plan"), a_job("learn"), a_job("metrics_scraper")]
    [off] = wiring.switched_off(listed, Settings.load(environ=environ))
    assert off.job.name == "learn"
    assert "(from ORCHESTRATOR_JOBS__LEARN__ENABLED)" in off.way_on


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"JOBS__PLAM__ENABLED": "false"}, "jobs.plam: there is no such job"),
        (
            {"ALLOCATOR__CAPACITY": "1", "ALLOCATOR__CRITICAL_GUARANTEE": "0",
             "ALLOCATOR__HIGH_GUARANTEE": "0", "ALLOCATOR__BACKGROUND_GUARANTEE": "0"},
            None,
        ),
        ({"ALLOCATOR__CLEANUP_S": "19"}, "cleanup_s is 19 s, but .* takes up to 20 s to give"),
    ],
)  # fmt: skip
def test_what_can_be_said_of_the_jobs_is_said_before_anything_starts(
    environ: dict[str, str], error: str | None
) -> None:
    settings = Settings.load(environ={f"ORCHESTRATOR_{name}": value for name, value in environ.items()})
    with pytest.raises(SettingsError, match=error) if error else contextlib.nullcontext():
        wiring.check_jobs(settings)


ONE_CONTEXT = {
    "capacity": 1,
    "critical_guarantee": 0,
    "high_guarantee": 0,
    "background_guarantee": 0,
}


def settings_for(profile: str, **more: object) -> Settings:
    """One account on a site with that profile."""
    account = {"name": "ada", "site": "home", "username": "ada", "password": "secret"}
    tree = {"sites": {"home": {"profile": profile}}, "accounts": [account], **more}
    return Settings.load(environ={}, overrides=tree)


def without(section: str, folder: Path) -> str:
    """The bundled site's profile, but for one section."""
    whole = (resources.files("orchestrator.sites") / "profiles" / "microblog.toml").read_text("utf-8")
    before, _, after = whole.partition(f"\n[{section}]\n")
    path = folder / f"without-{section}.toml"
    path.write_text(f"{before}\n{''.join(after.partition(f'{chr(10)}[')[1:])}")
    return str(path)


def test_replies_have_their_job_where_a_profile_says_how_to_reply(tmp_path: Path) -> None:
    listed = [a_job("posting"), a_job("reply_posting")]
    assert wiring.switched_off(listed, settings_for("microblog")) == ()
    [off] = wiring.switched_off(listed, settings_for(without("reply", tmp_path)))
    assert (off.job.name, off.why) == (
        "reply_posting",
        "switched off: no site has a section [reply] in its profile",
    )


def test_others_are_read_where_a_profile_says_how_and_what_comes_after_goes_on_without(
    tmp_path: Path,
) -> None:
    readers = ("account_discovery", "scrape_priority", "scrape_background")
    listed = [a_job(name) for name in (*readers, "reply_posting", "competitive_analysis")]
    assert wiring.switched_off(listed, settings_for("microblog")) == ()
    settings = settings_for(without("lists", tmp_path))
    found = {off.job.name: off.why for off in wiring.switched_off(listed, settings)}
    assert found == dict.fromkeys(readers, "switched off: no site has a section [lists] in its profile")
    left = {job.name: job.after for job in jobs.declared({}, without=jobs.idle(settings))}
    assert left["competitive_analysis"] == ()
    assert not left.keys() & set(readers)


def test_posts_and_replies_with_one_context_are_refused_in_one_line_with_both_ways_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match=r"2 critical jobs \(posting, reply_posting\)") as caught:
        wiring.check_jobs(settings_for("microblog", allocator=ONE_CONTEXT))
    assert "\n" not in caught.value.line()
    for way in ("allocator.capacity to 2", "jobs.reply_posting.enabled to false"):
        assert way in caught.value.remedy
    off = {"reply_posting": {"enabled": False}}
    wiring.check_jobs(settings_for("microblog", allocator=ONE_CONTEXT, jobs=off))
    wiring.check_jobs(settings_for(without("reply", tmp_path), allocator=ONE_CONTEXT))


def test_replies_without_who_settles_them_are_refused() -> None:
    off: dict[str, object] = {name: {"enabled": False} for name in ("posting", "reconciliation")}
    with pytest.raises(SettingsError, match=r"jobs\.reconciliation\.enabled must be true") as caught:
        wiring.check_jobs(settings_for("microblog", jobs=off))
    assert "Switch jobs.reply_posting off too" in caught.value.remedy
    wiring.check_jobs(settings_for("microblog", jobs={**off, "reply_posting": {"enabled": False}}))


def test_more_critical_jobs_than_contexts_are_refused_with_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    critical = [replace(a_job(f"post {n}", priority=0), uses_browser=True) for n in range(4)]
    monkeypatch.setattr(jobs, "declared", lambda *_: critical)
    with pytest.raises(
        SettingsError, match=r"4 critical jobs .* share 3 contexts: one waits until another has ended"
    ):
        wiring.check_jobs(Settings.load(environ={}))
