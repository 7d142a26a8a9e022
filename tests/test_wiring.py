"""The parts of the house as the settings want them."""

from orchestrator import wiring
from orchestrator.settings import Settings
from tests.fakes import a_job


def test_a_job_that_the_settings_switch_off_is_known_with_the_place_that_says_so() -> None:
    environ = {"ORCHESTRATOR_JOBS__LEARN__ENABLED": "false", "ORCHESTRATOR_JOBS__PLAN__ENABLED": "true"}
    listed = [a_job("plan"), a_job("learn"), a_job("metrics_scraper")]
    [off] = wiring.switched_off(listed, Settings.load(environ=environ))
    assert (off.job.name, off.source) == ("learn", "from ORCHESTRATOR_JOBS__LEARN__ENABLED")
