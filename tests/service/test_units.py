"""The units: as systemd itself judges them, and against the daemon that they start."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.control.find import SERVICE_SOCKET, SERVICE_STATE_DIR
from orchestrator.errors import ServiceError
from orchestrator.service import units
from orchestrator.service.install import CREDENTIALS
from orchestrator.service.manager import CONTROL
from orchestrator.service.units import MARK, NAMES, Place, place_of_this_program, render
from orchestrator.settings import Settings
from orchestrator.settings.base import CREDENTIALS as PREFIX
from tools.units import TARGET

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


@pytest.fixture
def written(tmp_path: Path) -> list[Path]:
    """The units for this very environment, whose programs are there."""
    place = Place(Path(sys.prefix) / "bin" / "orchestrator")
    for name in NAMES:
        (tmp_path / name).write_text(render(name, place))
    return [tmp_path / name for name in NAMES]


def section(name: str, title: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(render(name, Place()))
    return parser[title]


@needs_systemd
def test_systemd_has_nothing_to_say_against_them(written: list[Path]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, written)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_systemd_finds_hardly_anything_exposed(written: list[Path]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(written[0])],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for orchestrator.service: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= 2.0


@pytest.mark.parametrize("name", NAMES)
def test_those_to_be_read_and_copied_are_up_to_date(name: str) -> None:
    assert (TARGET / name).read_text() == render(name, Place()), "run `make docs`"


@pytest.mark.parametrize("name", NAMES)
def test_each_says_whose_it_is_and_leaves_no_gap(name: str) -> None:
    text = render(name, Place())
    assert text.startswith(MARK)
    assert not re.search(r"@[A-Z_]+@", text)


# ── service and daemon fit ──────────────────────────────────────────────────────────────────────


def test_sigterm_is_for_the_daemon_alone_and_leaves_time_for_what_runs() -> None:
    service = section("orchestrator.service", "Service")
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > 2 * Settings().shutdown_deadline_s


def test_directories_socket_and_secrets_are_where_the_daemon_looks() -> None:
    service, socket = section("orchestrator.service", "Service"), section("orchestrator.socket", "Socket")
    assert Path("/var/lib") / service["StateDirectory"] == Settings().state_dir == SERVICE_STATE_DIR
    assert socket["ListenStream"] == str(SERVICE_SOCKET)
    assert socket["FileDescriptorName"] == CONTROL
    assert str(SERVICE_SOCKET) in service["ExecReload"]
    name, _, directory = service["LoadCredential"].partition(":")
    assert f"{name}_" == PREFIX
    assert directory == str(CREDENTIALS)


def test_wrong_settings_are_no_reason_to_start_again_and_everything_else_is() -> None:
    service, unit = section("orchestrator.service", "Service"), section("orchestrator.service", "Unit")
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert unit["StartLimitIntervalSec"] == "0"


# ── places ──────────────────────────────────────────────────────────────────────────────────────


def test_programs_and_python_may_be_executed_and_nothing_else_besides_the_system() -> None:
    place = Place(Path("/srv/o/.venv/bin/orchestrator"), Path("/opt/python3.13"))
    text = render("orchestrator.service", place)
    assert "ExecStart=/srv/o/.venv/bin/orchestrator run" in text
    assert "ExecPaths=-/usr -/bin -/sbin -/lib -/lib64 /srv/o/.venv /opt/python3.13\n" in text
    assert "/opt/python" not in render("orchestrator.service", Place(python=Path("/usr")))


def test_another_user_and_other_settings_are_in_both_units() -> None:
    place = Place(config=Path("/srv/o.toml"), user="poster")
    assert "--config /srv/o.toml\n" in render("orchestrator.service", place)
    assert "User=poster\n" in render("orchestrator.service", place)
    assert "SocketUser=poster\n" in render("orchestrator.socket", place)


@pytest.mark.parametrize(
    "path", ["/opt/my programs/bin/orchestrator", "/opt/100%/bin/orchestrator", "/opt/$x/bin/o"]
)
def test_a_path_that_would_mean_something_else_in_a_unit_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match="characters"):
        render("orchestrator.service", Place(Path(path)))


def test_a_program_that_the_service_could_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "HIDDEN_PLACES", (Path(sys.prefix).parent,))
    with pytest.raises(ServiceError, match="the service can't see"):
        place_of_this_program(Path("/etc/orchestrator/orchestrator.toml"), "orchestrator")


def test_the_place_of_this_program_is_that_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "HIDDEN_PLACES", ())
    place = place_of_this_program(Path("/etc/orchestrator/orchestrator.toml"), "orchestrator")
    assert place.environment == Path(sys.prefix)
    assert place.python == Path(sys.base_prefix)
