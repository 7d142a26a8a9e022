"""The units of systemd, made for one place where the program is installed."""

import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from orchestrator.errors import ServiceError

NAMES = ("orchestrator.service", "orchestrator.socket")
MARK = "# Written by `orchestrator service install`"
"""How every file begins that is ours to write anew."""
SYSTEM_PLACES = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib64")))
"""Where a distribution keeps programs and their libraries; not each has all of them."""
HIDDEN_PLACES = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
"""What ProtectHome= and PrivateTmp= of the unit hide from the daemon."""
_PLAIN = re.compile(r"[\w./@+-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the program is, and for whom it runs."""

    program: Path = Path("/opt/orchestrator/.venv/bin/orchestrator")
    python: Path | None = None
    """The installation of Python that the program's environment was made from; None: the system's."""
    config: Path = Path("/etc/orchestrator/orchestrator.toml")
    user: str = "orchestrator"

    @property
    def environment(self) -> Path:
        """The virtual environment, or whatever else holds `bin/orchestrator`."""
        return self.program.parent.parent

    @property
    def exec_paths(self) -> list[Path]:
        """What holds programs and libraries of ours, besides the system's places."""
        own = dict.fromkeys([self.environment, *([self.python] if self.python is not None else [])])
        return [path for path in own if not _is_within(path, SYSTEM_PLACES)]


def place_of_this_program(config: Path, user: str) -> Place:
    """Where this very program runs from. Raises ServiceError where the service could not see it."""
    program, python = Path(sys.prefix) / "bin" / "orchestrator", Path(sys.base_prefix)
    if not program.exists():
        raise ServiceError(
            f"there is no program {program}", remedy="Install orchestrator into a virtual environment"
        )
    for path in (program, python, config):
        if _is_within(path, HIDDEN_PLACES):
            raise ServiceError(
                f"{path} is in a place that the service can't see (ProtectHome, PrivateTmp)",
                remedy="Install below /opt, with a Python that every user may run; docs/systemd.md says how",
            )
    return Place(program, python, config, user)


def render(name: str, place: Place) -> str:
    """The text of one unit. Raises ServiceError for a path or name that a unit can't hold as it is."""
    values = {
        "PROGRAM": str(place.program),
        "CONFIG": str(place.config),
        "USER": place.user,
        "EXEC_PATHS": " ".join([*(f"-{path}" for path in SYSTEM_PLACES), *map(str, place.exec_paths)]),
    }
    for value in (*place.exec_paths, place.program, place.config, place.user):
        if not _PLAIN.fullmatch(str(value)):
            raise ServiceError(
                f"{value} has characters that mean something else in a unit",
                remedy="Choose a path of letters, digits and ./@+-_",
            )
    text = files(__package__).joinpath(name).read_text("utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text)


def _is_within(path: Path, places: "tuple[Path, ...] | list[Path]") -> bool:
    return any(path.is_relative_to(place) for place in places)
