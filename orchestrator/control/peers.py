"""Who is at the other end of a connection, and what the kernel's word on it allows."""

import grp
import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

import trio

from orchestrator.errors import SettingsError
from orchestrator.settings import ControlSettings

OVERFLOW_UID = 65534
"""What the kernel shows for a user that our user namespace does not know: it may be anybody."""

_SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)  # <asm-generic/socket.h>; Python does not name it
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MAX_GROUPS_BYTES = 1024  # Python's getsockopt gives no more: 256 groups


class Level(IntEnum):
    """What a caller may do; each level includes those below it."""

    VIEW = 1
    OPERATE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Peer:
    """A process as the kernel saw it when it connected."""

    uid: int
    pid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Caller:
    """A peer that was let in."""

    uid: int
    pid: int
    level: Level
    via: str = ""
    """How it came when not through the socket, such as "api": then that is what it is called."""


def peer_of(stream: trio.SocketStream) -> Peer:
    """Ask the kernel (SO_PEERCRED, SO_PEERGROUPS). Raises OSError when the connection is gone."""
    raw = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(uid, pid, frozenset({gid, *_supplementary_groups(stream)}))


def _supplementary_groups(stream: trio.SocketStream) -> tuple[int, ...]:
    try:
        raw = bytes(stream.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES))
    except OSError:
        return ()  # a kernel without it, or too many groups: the primary group alone counts
    return struct.unpack(f"{len(raw) // 4}i", raw)


@dataclass(frozen=True, slots=True)
class Rights:
    """Which users and groups have which level."""

    own_uid: int
    operate_gids: frozenset[int]
    view_gids: frozenset[int]
    socket_gid: int | None
    """The group that the socket's file belongs to; None: nobody but us may connect."""

    def level_of(self, peer: Peer) -> Level | None:
        """None: refused."""
        if peer.uid == OVERFLOW_UID:
            return None
        if peer.uid in (0, self.own_uid):
            return Level.ADMIN
        if peer.groups & self.operate_gids:
            return Level.OPERATE
        if peer.groups & self.view_gids:
            return Level.VIEW
        return None


def rights_from(settings: ControlSettings) -> Rights:
    """Look the groups up; SettingsError names a group that this machine does not have."""
    view = [_gid("view_groups", name) for name in settings.view_groups]
    operate = [_gid("operate_groups", name) for name in settings.operate_groups]
    # A file has one group. Whoever may operate may also look, so that the wider group comes first.
    socket_gid = next(iter(view + operate), None)
    return Rights(os.geteuid(), frozenset(operate), frozenset(view), socket_gid)


def _gid(setting: str, name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SettingsError(
            f"control.{setting} names the group {name!r}, which this machine does not have",
            remedy=f"Add it (groupadd {name}) or take it out of the setting",
        ) from None
