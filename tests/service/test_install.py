"""How the service gets onto a machine, and off again; a directory stands in for the machine."""

from pathlib import Path

import pytest

from orchestrator.errors import ServiceError
from orchestrator.service.install import CREDENTIALS, UNITS, Machine, Step, install, kept, uninstall
from orchestrator.service.units import NAMES, Place, render
from orchestrator.settings import Settings

OPTIONS = "--system --user-group --no-create-home --shell /usr/sbin/nologin"


class Stand(Machine):
    """Files are written below the directory; commands and owners are noted."""

    def __init__(self, root: Path, users: set[str] | None = None) -> None:
        super().__init__(root)
        self.users = users or set()
        self.commands: list[str] = []
        self.owned: dict[str, tuple[str, int]] = {}
        self.at(UNITS).mkdir(parents=True)

    def has_user(self, name: str) -> bool:
        return name in self.users

    def give(self, path: Path, group: str, mode: int) -> None:
        path.chmod(mode)
        self.owned["/" + str(path.relative_to(self.at(Path("/"))))] = group, mode

    def run(self, *command: str) -> None:
        self.commands.append(" ".join(command))
        if command[0] == "useradd":
            self.users.add(command[-1])
        if command[:2] == ("systemctl", "enable"):
            for name, target in (("orchestrator.service", "multi-user"), ("orchestrator.socket", "sockets")):
                wants = self.at(UNITS / f"{target}.target.wants")
                wants.mkdir()
                (wants / name).symlink_to(UNITS / name)


@pytest.fixture
def machine(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def carry_out(steps: list[Step]) -> list[str]:
    for step in steps:
        step.do()
    return [step.what for step in steps]


def files(machine: Stand) -> dict[str, str]:
    root = machine.at(Path("/"))
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {f"/{path.relative_to(root)}": path.read_text() for path in found}


def test_a_new_machine_gets_user_directories_settings_and_units_that_are_enabled(machine: Stand) -> None:
    carry_out(install(Place(), machine))
    assert machine.commands == [
        f"useradd {OPTIONS} --home-dir /var/lib/orchestrator orchestrator",
        "systemctl daemon-reload",
        "systemctl enable orchestrator.service orchestrator.socket",
    ]
    found = files(machine)
    assert {name: found[str(UNITS / name)] for name in NAMES} == {
        name: render(name, Place()) for name in NAMES
    }
    assert (machine.at(CREDENTIALS).stat().st_mode & 0o777) == 0o700
    owners = {name.removesuffix(".new"): owner for name, owner in machine.owned.items()}
    assert owners["/etc/orchestrator"] == ("orchestrator", 0o750)
    assert owners["/etc/orchestrator/credentials"] == ("root", 0o700)
    assert owners["/etc/orchestrator/.orchestrator.toml"] == ("orchestrator", 0o640)


def test_to_show_the_steps_changes_nothing(machine: Stand) -> None:
    steps = install(Place(), machine)
    assert files(machine) == {}
    assert machine.commands == []
    assert [step.what for step in steps] == [
        "add the user orchestrator",
        "make the directory /etc/orchestrator (root:orchestrator, 0750)",
        "make the directory /etc/orchestrator/credentials (root:root, 0700)",
        "write /etc/orchestrator/orchestrator.toml",
        "write /etc/systemd/system/orchestrator.service",
        "write /etc/systemd/system/orchestrator.socket",
        "have systemd read its units",
        "enable orchestrator.service and orchestrator.socket",
    ]
    assert "+ExecStart=/opt/orchestrator/.venv/bin/orchestrator run" in steps[4].detail


def test_a_second_time_there_is_nothing_to_do(machine: Stand) -> None:
    carry_out(install(Place(), machine))
    assert install(Place(), machine) == []


def test_after_an_upgrade_only_what_has_changed_is_written(machine: Stand) -> None:
    carry_out(install(Place(), machine))
    unit = machine.at(UNITS / "orchestrator.service")
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=90"))
    steps = install(Place(), machine)
    assert [step.what for step in steps] == [
        f"write {UNITS}/orchestrator.service",
        "have systemd read its units",
    ]
    assert "-WatchdogSec=90\n+WatchdogSec=30" in steps[0].detail
    carry_out(steps)
    assert unit.read_text() == render("orchestrator.service", Place())


def test_settings_that_are_there_are_left_as_they_are(machine: Stand) -> None:
    settings = machine.at(Place().config)
    settings.parent.mkdir()
    settings.write_text("# mine\n")
    carry_out(install(Place(), machine))
    assert settings.read_text() == "# mine\n"


def test_the_settings_that_are_made_are_settings(machine: Stand) -> None:
    carry_out(install(Place(), machine))
    made = Settings.load(machine.at(Place().config), environ={})
    assert made.model_dump() == Settings().model_dump()


def test_a_unit_of_somebody_else_is_in_the_way_before_anything_is_done(machine: Stand) -> None:
    machine.at(UNITS / "orchestrator.service").write_text("[Unit]\nDescription=mine\n")
    with pytest.raises(ServiceError, match=r"orchestrator\.service is not ours"):
        install(Place(), machine)
    with pytest.raises(ServiceError, match=r"orchestrator\.service is not ours"):
        uninstall(machine)
    assert machine.commands == []


def test_uninstalling_stops_it_removes_the_units_and_keeps_what_is_the_operators(machine: Stand) -> None:
    carry_out(install(Place(), machine))
    machine.commands.clear()
    before = files(machine)
    carry_out(uninstall(machine))
    assert machine.commands == [
        "systemctl disable --now orchestrator.service orchestrator.socket",
        "systemctl daemon-reload",
    ]
    assert before.keys() - files(machine).keys() == {str(UNITS / name) for name in NAMES}
    left = kept(machine, "orchestrator")
    assert left.endswith("rm -r /etc/orchestrator && userdel orchestrator")
    assert uninstall(machine) == []


def test_where_nothing_was_ever_installed_nothing_is_left(machine: Stand) -> None:
    assert uninstall(machine) == []
    assert kept(machine, "orchestrator") == ""


def test_a_command_that_fails_is_an_error_with_its_own_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"failed: no such thing"):
        Machine(tmp_path).run("sh", "-c", "echo first >&2; echo no such thing >&2; exit 3")
