"""The parts of the house as the settings want them."""

import contextlib
from dataclasses import replace

import pytest

from orchestrator import jobs, wiring
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from tests.fakes import a_job


def test_a_job_that_the_settings_switch_off_is_known_with_the_place_that_says_so() -> None:
    environ = {"ORCHESTRATOR_JOBS__LEARN__ENABLED": "false", "ORCHESTRATOR_JOBS__PLAN__ENABLED": "true"}
    listed = [a_job("plan"), a_job("learn"), a_job("metrics_scraper")]
    [off] = wiring.switched_off(listed, Settings.load(environ=environ))
    assert (off.job.name, off.source) == ("learn", "from ORCHESTRATOR_JOBS__LEARN__ENABLED")


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"JOBS__PLAM__ENABLED": "false"}, "jobs.plam: there is no such job"),
        (
            {"ALLOCATOR__CAPACITY": "1", "ALLOCATOR__CRITICAL_GUARANTEE": "0",
             "ALLOCATOR__HIGH_GUARANTEE": "0", "ALLOCATOR__BACKGROUND_GUARANTEE": "0"},
            None,
        ),
    ],
)  # fmt: skip
def test_what_can_be_said_of_the_jobs_is_said_before_anything_starts(
    environ: dict[str, str], error: str | None
) -> None:
    settings = Settings.load(environ={f"ORCHESTRATOR_{name}": value for name, value in environ.items()})
    with pytest.raises(SettingsError, match=error) if error else contextlib.nullcontext():
        wiring.check_jobs(settings)


def test_more_critical_jobs_than_contexts_are_refused_with_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    critical = [replace(a_job(f"post {n}", priority=0), uses_browser=True) for n in range(4)]
    monkeypatch.setattr(jobs, "declared", lambda *_: critical)
    with pytest.raises(
        SettingsError, match=r"4 critical jobs .* share 3 contexts: one waits until another has ended"
    ):
        wiring.check_jobs(Settings.load(environ={}))
