"""What the program says, and how it ends, when it can't begin."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest

from tests.integration.daemon import demo_command, processes_of, run_to_end, running, wait_until

pytestmark = pytest.mark.timeout(120)
"""Some start the whole house first, on a machine that may be busy."""

NO_BROWSER = {"ORCHESTRATOR_BROWSER__EXECUTABLE": "/nonexistent"}
"""It is not needed here, and takes the longest to start."""


async def refusal(command: list[str], environment: dict[str, str] | None = None, *, code: int = 1) -> str:
    """The one line that a program says which can't begin."""
    result = await run_to_end(command, NO_BROWSER | (environment or {}))
    assert result.returncode == code, result
    [line] = [line for line in result.stderr.decode().splitlines() if not is_logged(line)]
    assert line.startswith("error: ")
    return line


def is_logged(line: str) -> bool:
    """Whether the line is the log's: the daemon itself logs to standard error, as JSON."""
    return line.startswith('{"timestamp"')


@contextmanager
def taken_port() -> Iterator[int]:
    """A port on which somebody listens and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_second_daemon_on_the_same_state_directory_names_the_first(state_dir: Path) -> None:
    async with running(state_dir, environment=NO_BROWSER) as daemon:
        await wait_until(daemon.mode, "the first daemon answers", daemon.said)
        accounts = (state_dir / "accounts.json").read_bytes()
        line = await refusal(demo_command(state_dir, "--accounts", "5"))
        assert f"another daemon (pid {daemon.process.pid}) works in the state directory {state_dir}" in line
        assert (state_dir / "accounts.json").read_bytes() == accounts
        assert daemon.process.returncode is None


async def test_a_destination_of_alerts_that_is_no_address_ends_the_start(state_dir: Path) -> None:
    address = "nonsense://canary-5e1f0c"
    line = await refusal(
        demo_command(state_dir), {"ORCHESTRATOR_ALERTS__DESTINATIONS__OPS__URL": address}, code=2
    )
    assert line.startswith("error: alerts.destinations.ops: the URL is none that Apprise knows")
    assert "canary" not in line


async def test_a_port_in_use_is_named_with_what_to_do(state_dir: Path) -> None:
    with taken_port() as port:
        line = await refusal(demo_command(state_dir, "--http-port", str(port)))
        assert f"port {port} on 127.0.0.1 is in use" in line
        assert line.endswith(f'make run ARGS="--http-port {port + 2}"')
        line = await refusal(demo_command(state_dir, "--site-port", str(port)))
        assert f"port {port} of the bundled site is in use" in line
        assert line.endswith(f'make run ARGS="--site-port {port + 1}"')
    assert processes_of(state_dir) == []


async def test_a_database_that_can_not_be_reached_ends_the_start_within_its_time(state_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    dsn = f"postgresql://someone:hunter2@127.0.0.1:{port}/posts"
    environment = {"ORCHESTRATOR_DATABASE__DSN": dsn, "ORCHESTRATOR_GATE__DATABASE_WAIT_S": "0.5"}
    line = await refusal(demo_command(state_dir), environment)
    assert "the database can't be reached" in line
    assert f"(posts on 127.0.0.1:{port}; database.dsn from ORCHESTRATOR_DATABASE__DSN)" in line
    assert "hunter2" not in line
    assert processes_of(state_dir) == []


async def test_a_database_that_says_nothing_ends_the_start_within_its_time(state_dir: Path) -> None:
    with taken_port() as port:
        environment = {
            "ORCHESTRATOR_DATABASE__DSN": f"postgresql://someone:hunter2@127.0.0.1:{port}/posts",
            "ORCHESTRATOR_DATABASE__CONNECT_TIMEOUT_S": "0.5",
            "ORCHESTRATOR_GATE__DATABASE_WAIT_S": "0.1",
        }
        line = await refusal(demo_command(state_dir), environment)
    assert "ORCHESTRATOR_DATABASE__DSN" in line
    assert "hunter2" not in line


async def test_a_state_directory_that_can_not_be_made_is_named() -> None:
    line = await refusal(demo_command(Path("/proc/orchestrator")))
    assert "the state directory /proc/orchestrator can't be used" in line
    assert "--state-dir" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_state_directory_that_can_not_be_written_is_named(state_dir: Path) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    line = await refusal([*nobody, *demo_command(state_dir)])
    assert f"the state directory {state_dir} can't be used: Permission denied" in line


async def test_wrong_settings_are_named_with_their_variable_before_anything_starts(state_dir: Path) -> None:
    wrong = {"ORCHESTRATOR_DATABASE__DSNN": "postgresql://someone:hunter2@host/posts"}
    line = await refusal(demo_command(state_dir), wrong, code=2)
    assert "ORCHESTRATOR_DATABASE__DSNN" in line
    assert "did you mean ORCHESTRATOR_DATABASE__DSN?" in line
    assert "hunter2" not in line


async def test_a_broken_profile_is_named_with_its_line(state_dir: Path) -> None:
    bundled = (resources.files("orchestrator.sites") / "profiles" / "microblog.toml").read_text()
    profile = state_dir / "broken.toml"
    profile.write_text(bundled.replace("max_chars", "max_characters", 1))
    number = bundled[: bundled.index("max_chars")].count("\n") + 1
    environment = {"ORCHESTRATOR_SITES__MURMUR__PROFILE": str(profile)}
    line = await refusal(demo_command(state_dir), environment, code=2)
    assert f"{profile}, line {number}: " in line
    assert "max_characters" in line
    assert processes_of(state_dir) == []


async def test_the_daemon_itself_refuses_as_its_demo_does(state_dir: Path) -> None:
    command = [sys.executable, "-m", "orchestrator", "run"]
    environment = {"ORCHESTRATOR_STATE_DIR": str(state_dir)}
    with taken_port() as port:
        line = await refusal(command, environment | {"ORCHESTRATOR_HTTP__PORT": str(port)})
        assert f"port {port} on 127.0.0.1 is in use" in line
    line = await refusal(command, {"ORCHESTRATOR_STATE_DIR": "/proc/orchestrator"})
    assert "ORCHESTRATOR_STATE_DIR" in line
