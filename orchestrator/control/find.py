"""Finds the control socket of the daemon that a person most likely means."""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.control.client import no_daemon, reach
from orchestrator.errors import ControlError, NoDaemonError, SettingsError

SOCKET_NAME = "control.sock"
SERVICE_STATE_DIR = Path("/var/lib/orchestrator")
SERVICE_SOCKET = Path("/run/orchestrator") / SOCKET_NAME
"""Where the service's socket unit listens; a daemon without it listens in its state directory."""
SOCKETS = Path("/proc/net/unix")
_BOUND = re.compile(r" 00010000 0001 01 +\d+ (/.*)/\.[0-9a-f]{8}$")
"""A socket that listens, by the name that the daemon binds it to before it puts it in place (`listener`)."""


def demo_state_dir(environment: Mapping[str, str]) -> Path:
    """Where `orchestrator demo` keeps its state unless told otherwise: the user's state directory.

    For root it is one that the unprivileged user can enter as whom PostgreSQL runs then.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/orchestrator-demo")
    base = environment.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "orchestrator-demo"


def find_socket(
    environment: Mapping[str, str],
    config: Path | None = None,
    known: tuple[Path, ...] | None = None,
    others: Callable[[], Iterable[Path]] = tuple,
) -> Path:
    """The socket that the environment or the TOML file names; else the `known` one that answers.

    Known are, by default, those of the demo and of the service. When none of them answers and nothing
    names one, the only one of `others` is taken. The daemon's other settings are not looked at: they may
    be the very thing that is wrong. Raises NoDaemonError when none answers, ControlError when several do,
    SettingsError for a file that can't be read.
    """
    file = config or (Path(name) if (name := environment.get("ORCHESTRATOR_CONFIG")) else None)
    settings = _read(file) if file else {}
    control = settings.get("control")
    in_file = control.get("socket") if isinstance(control, dict) else None
    if socket := environment.get("ORCHESTRATOR_CONTROL__SOCKET") or in_file:
        return Path(socket)
    state_dir = environment.get("ORCHESTRATOR_STATE_DIR") or settings.get("state_dir")
    if state_dir and Path(state_dir) != SERVICE_STATE_DIR:
        return Path(state_dir) / SOCKET_NAME
    if known is None:
        service = (SERVICE_SOCKET, SERVICE_STATE_DIR / SOCKET_NAME)
        known = service if state_dir else (demo_state_dir(environment) / SOCKET_NAME, *service)
    return _choose(known, tuple if state_dir else others)


def running() -> list[Path]:
    """The control sockets in the state directories of all daemons on this machine."""
    lines = SOCKETS.read_text("utf-8", "replace").splitlines()
    return sorted({Path(match[1]) / SOCKET_NAME for line in lines if (match := _BOUND.search(line))})


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"the settings file {file} can't be read: {error}") from error


def _choose(known: tuple[Path, ...], others: Callable[[], Iterable[Path]]) -> Path:
    errors = {path: reach(path) for path in known}
    answering = _answering(errors) or _answering({path: reach(path) for path in others()})
    if len(answering) > 1:
        places = " and at ".join(map(str, answering))
        raise ControlError(f"daemons are listening at {places}", remedy="Choose one with --socket")
    if answering:
        return answering[0]
    for error in errors.values():
        if error is not None and not isinstance(error, NoDaemonError):
            raise error
    raise no_daemon(" or ".join(map(str, known)))


def _answering(errors: Mapping[Path, ControlError | None]) -> list[Path]:
    return [path for path, error in errors.items() if error is None]
