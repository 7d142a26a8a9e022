"""Makes this installation a service of systemd, and undoes it, in steps that can be shown before.

What is there already and right is no step. Settings, secrets and state are never changed or removed.
"""

import difflib
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ServiceError
from orchestrator.service.units import MARK, NAMES, Place, render

UNITS = Path("/etc/systemd/system")
CREDENTIALS = Path("/etc/orchestrator/credentials")
STATE = Path("/var/lib/orchestrator")
LOGS = Path("/var/log/orchestrator")
ENABLED_BY = {"orchestrator.service": "multi-user.target", "orchestrator.socket": "sockets.target"}
SETTINGS = """\
# The settings of the service; docs/settings.md has them all, docs/sites.md how a site is described.
# What applies:  orchestrator check --config {config}
# Secrets are files in {credentials}, named here by their file names.

# [sites.blog]
# profile = "/etc/orchestrator/blog.toml"

# [[accounts]]
# name = "editor"
# site = "blog"
# username = "editor"
# password_file = "editor.password"
"""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do: `what` in words that follow "would", such as "write /etc/…"."""

    what: str
    do: Callable[[], None]
    detail: str = ""
    """What changes in a file, as a diff."""


class Machine:
    """The machine that is changed; `root` stands before every path."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def at(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def has_user(self, name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def give(self, path: Path, group: str, mode: int) -> None:
        """Make root its owner and `group` its group."""
        shutil.chown(path, "root", group)
        path.chmod(mode)

    def run(self, *command: str) -> None:
        """Raises ServiceError with the last line that the command said."""
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise ServiceError(f"`{' '.join(command)}` failed: {said[-1]}")

    def check(self) -> None:
        """Raises ServiceError where nothing can be installed."""
        if os.geteuid() != 0:
            raise ServiceError("only root may do this", remedy="Use sudo, or look with --dry-run")
        if not self.at(Path("/run/systemd/system")).is_dir():
            raise ServiceError("systemd does not run this machine", remedy="See docs/operations.md")


def install(place: Place, machine: Machine) -> list[Step]:
    """The steps to a service that is enabled, in their order.

    Raises ServiceError when somebody else's unit is in the way.
    """
    units = [step for name in NAMES if (step := _unit_step(machine, name, place)) is not None]
    steps = []
    if not machine.has_user(place.user):
        options = ("--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin")
        command = ("useradd", *options, "--home-dir", str(STATE), place.user)
        steps.append(Step(f"add the user {place.user}", lambda: machine.run(*command)))
    for path, group, mode in ((place.config.parent, place.user, 0o750), (CREDENTIALS, "root", 0o700)):
        if not machine.at(path).is_dir():
            steps.append(_directory_step(machine, path, group, mode))
    if not machine.at(place.config).exists():
        text = SETTINGS.format(config=place.config, credentials=CREDENTIALS)
        steps.append(_file_step(machine, place.config, text, place.user, 0o640))
    if units:
        steps += [*units, _reload_step(machine)]
    if not all(_is_enabled(machine, name) for name in NAMES):
        what = f"enable {' and '.join(NAMES)}"
        steps.append(Step(what, lambda: machine.run("systemctl", "enable", *NAMES)))
    return steps


def uninstall(machine: Machine) -> list[Step]:
    """The steps back. Raises ServiceError for units that are not ours."""
    ours = [name for name in NAMES if _read_own(machine, name) is not None]
    if not ours:
        return []
    return [
        Step(
            f"stop and disable {' and '.join(ours)}",
            lambda: machine.run("systemctl", "disable", "--now", *ours),
        ),
        *(Step(f"remove {UNITS / name}", machine.at(UNITS / name).unlink) for name in ours),
        _reload_step(machine),
    ]


def kept(machine: Machine, user: str) -> str:
    """What `uninstall` leaves, and how to be rid of it too; empty when there is nothing."""
    places = [*(UNITS / f"{name}.d" for name in NAMES), CREDENTIALS.parent, STATE, LOGS]
    found = [str(path) for path in places if machine.at(path).exists()]
    commands = [f"rm -r {' '.join(found)}"] if found else []
    commands += [f"userdel {user}"] if machine.has_user(user) else []
    return f"kept: settings, secrets, state. To delete them too: {' && '.join(commands)}" if commands else ""


def _unit_step(machine: Machine, name: str, place: Place) -> Step | None:
    text = render(name, place)
    before = _read_own(machine, name)
    return _file_step(machine, UNITS / name, text, "root", 0o644, before or "") if text != before else None


def _read_own(machine: Machine, name: str) -> str | None:
    """The unit that is there; None when there is none. Raises ServiceError for one that we did not write."""
    path = machine.at(UNITS / name)
    if not path.exists():
        return None
    text = path.read_text("utf-8")
    if not text.startswith(MARK):
        raise ServiceError(f"{UNITS / name} is not ours", remedy="Move it away, or make it a drop-in")
    return text


def _is_enabled(machine: Machine, name: str) -> bool:
    return machine.at(UNITS / f"{ENABLED_BY[name]}.wants" / name).is_symlink()


def _reload_step(machine: Machine) -> Step:
    return Step("have systemd read its units", lambda: machine.run("systemctl", "daemon-reload"))


def _directory_step(machine: Machine, path: Path, group: str, mode: int) -> Step:
    def do() -> None:
        machine.at(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        machine.give(machine.at(path), group, mode)

    return Step(f"make the directory {path} (root:{group}, {mode:04o})", do)


def _file_step(machine: Machine, path: Path, text: str, group: str, mode: int, before: str = "") -> Step:
    def do() -> None:
        target = machine.at(path)
        new = target.with_name(f".{target.name}.new")
        new.touch(0o600)
        new.write_text(text, "utf-8")
        machine.give(new, group, mode)
        new.replace(target)

    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), lineterm="", n=1)
    return Step(f"write {path}", do, "\n".join([*lines][2:]))
