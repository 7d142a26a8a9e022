"""The description says what the API does: schemathesis asks all that it allows and forbids."""

import sys
from pathlib import Path

import pytest
import trio

from orchestrator.model import PostState
from orchestrator.web.serve import serve_http
from tests import rows
from tests.rows import MINUTE
from tests.web.v1.conftest import TOKEN, Api, an_app
from tests.web.v1.test_reading import some_runs

CONFIG = """
[generation]
deterministic = true

[checks.positive_data_acceptance]
# A cursor is a text that only we can make, and whether a moment lies within two days no schema says: 400.
# A post that has been decided of is another's state by now (409), or can't be carried out (422).
expected-statuses = ["2xx", "400", "404", "409", "422"]
"""


@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing_that_the_description_does_not_say(
    api: Api, nursery: trio.Nursery, tmp_path: Path
) -> None:
    early = type(api.stamp)(api.stamp.fence, api.stamp.now - 10 * MINUTE)
    await rows.in_state(api.database, PostState.AMBIGUOUS, early, "in doubt")
    await rows.queued(api.database, early, "queued")
    await some_runs(api, 3)
    port = await nursery.start(serve_http, an_app(api.house), "127.0.0.1", 0)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        *(str(Path(sys.executable).with_name("st")), "run", f"http://127.0.0.1:{port}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--checks", "all", "--phases", "coverage"),
        *("--request-timeout", "30", "--continue-on-failure", "--no-color", "--warnings", "off"),
    ]
    done = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, f"{done.stdout.decode()[-8000:]}\n{done.stderr.decode()[-2000:]}"
