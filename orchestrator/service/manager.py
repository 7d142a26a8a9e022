"""What systemd hands over at the start (sd_notify(3), sd_listen_fds(3)): where to tell, and open sockets.

It comes in variables of the environment, which are taken out of it: our children must not speak for us.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

import structlog

from orchestrator.errors import SettingsError

FIRST_SOCKET = 3
"""SD_LISTEN_FDS_START of <systemd/sd-daemon.h>."""
CONTROL = "control"
"""What the unit of the control socket calls it (FileDescriptorName=)."""

log = structlog.get_logger("service")


class Notifier:
    """Tells systemd something. It never blocks and never fails: what can't be told is logged."""

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        """`watchdog_s`: systemd ends us when it has heard no WATCHDOG=1 for so long; None: it does not."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s

    def tell(self, **said: str | int) -> None:
        """One message, such as `tell(READY=1, STATUS="All is well.")`."""
        lines = [f"{name}={' '.join(str(value).split())}" for name, value in said.items()]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as way:
                way.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("systemd_not_told", error=error.strerror, said=[*said])


@dataclass(frozen=True, slots=True)
class Manager:
    """Whoever started us. Without systemd there is nobody to tell, and no socket."""

    notifier: Notifier | None = None
    sockets: Mapping[str, socket.socket] = field(default_factory=dict)
    """Listening sockets by name."""


def take_over(environ: MutableMapping[str, str]) -> Manager:
    """Take what systemd has left for this process in `environ`, and clear it there.

    Raises SettingsError for a socket that the daemon has no use for.
    """
    address, usec, watched = (environ.pop(f"{name}", "") for name in _NOTIFY)
    count, names, listener = (environ.pop(f"{name}", "") for name in _LISTEN)
    own = str(os.getpid())
    is_watched = usec.isdecimal() and int(usec) > 0 and watched in ("", own)
    notifier = Notifier(address, int(usec) / 1e6 if is_watched else None) if address else None
    sockets = _sockets(int(count), names) if listener == own and count.isdecimal() else {}
    return Manager(notifier, sockets)


_NOTIFY = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_LISTEN = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID")


def _sockets(count: int, names: str) -> dict[str, socket.socket]:
    given = names.split(":") if names else ["?"] * count
    if given != [CONTROL] * count or count > 1:
        raise SettingsError(
            f"of the sockets that systemd hands over ({', '.join(given)}) only one {CONTROL!r} has a use",
            remedy=f"Give the socket's unit one ListenStream= and FileDescriptorName={CONTROL}",
        )
    found = {}
    for number in range(FIRST_SOCKET, FIRST_SOCKET + count):
        os.set_inheritable(number, False)
        found[CONTROL] = socket.socket(fileno=number)
    return found
