"""Every command in docs/api.md is run, as it stands there, against the API with a real database."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from orchestrator.clock import Clock
from orchestrator.model import PostState
from orchestrator.web.serve import serve_http
from tests import rows
from tests.rows import MINUTE
from tests.web.v1.conftest import TOKEN, Api, an_app
from tests.web.v1.test_reading import some_runs

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
STRICT = 'set -eu\ncurl() { command curl --fail-with-body --max-time 30 "$@"; }\n'
"""An answer that refuses ends the script."""


async def run(script: str, directory: Path) -> "subprocess.CompletedProcess[bytes]":
    command = ["sh", "-c", script]
    return await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False, cwd=directory
    )


@pytest.mark.timeout(240)
async def test_every_command_of_the_page_is_answered(api: Api, nursery: trio.Nursery, tmp_path: Path) -> None:
    api.house.clock = Clock()  # the shell has no other
    early = type(api.stamp)(api.stamp.fence, datetime.now(UTC) - timedelta(hours=1) - MINUTE)
    await rows.in_state(api.database, PostState.AMBIGUOUS, early, "in doubt")
    await rows.queued(api.database, early, "queued")
    await some_runs(api, 5)
    port = await nursery.start(serve_http, an_app(api.house), "127.0.0.1", 0)
    first, *others = BLOCKS
    head = first.replace("127.0.0.1:8700", f"127.0.0.1:{port}")
    head = re.sub(r"^TOKEN=.*$", f"TOKEN='{TOKEN}'", head, flags=re.MULTILINE)
    assert len(others) >= 6
    for block in others:
        done = await run(STRICT + head + block, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        sys.stdout.write(done.stdout.decode())
    found = await rows.fetch(api.database, "SELECT state, text, reference FROM posts ORDER BY id")
    assert [(row["state"], row["text"]) for row in found] == [
        ("published", "in doubt"),
        ("queued", "queued"),
        ("queued", "Thank you, Grace!"),
        ("failed", "No."),
    ]


def test_every_path_is_in_the_table_of_the_page() -> None:
    source = (Path(__file__).parents[3] / "orchestrator/web/v1/routes.py").read_text()
    listed = set(re.findall(r'get\("([^"]+)"', source))
    assert {path for path in listed if f"`{path}`" not in PAGE} == set()
