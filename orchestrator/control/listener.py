"""The socket's file: made safely, never in another's place, and taken away at the end.

Invariants:

1. No moment shows the file with a mode wider than it will have (0600, or 0660 with a group).
2. What stands at the path is replaced only if it is a socket of our own user that nobody listens on.
3. At the end the file is removed only if it still is the one that we made.

A socket that was made for us, by systemd say, is taken as it is, and its file is left alone.
"""

import errno
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from orchestrator.errors import AddressInUseError, SettingsError

MAX_PATH_BYTES = 107
"""`sun_path` of <sys/un.h> less its ending zero."""

BACKLOG = 64
"""Connections that wait to be accepted."""

GROUP_REMEDY = "Set SocketGroup= of the socket's unit to the first of view_groups, operate_groups"

log = structlog.get_logger("control")

_TEMPORARY_BYTES = len(".12345678")

Inode = tuple[int, int]


@contextmanager
def open_listener(path: Path, gid: int | None) -> Iterator[socket.socket]:
    """A listening socket at `path` for our own user, and for the group `gid` if there is one.

    Raises AddressInUseError when something else stands at the path, SettingsError when there can be no
    socket there: too long a path, no directory, no permission.
    """
    _check_length(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        inode = _listen_at(listener, path, gid)
        try:
            yield listener
        finally:
            _remove_if_same(path, inode)  # before the close: until then no other file can get our inode


@contextmanager
def adopt_listener(
    handed: socket.socket, configured: Path | None, gid: int | None
) -> Iterator[socket.socket]:
    """`handed`, which somebody else has made and will remove; only the descriptor is closed at the end.

    Raises SettingsError when it is no listening Unix socket, or `configured` names another place. Who may
    connect is not for us to say then: a group `gid` that may not is logged.
    """
    with handed:
        if handed.family != socket.AF_UNIX or not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise SettingsError(
                "the control socket that was handed over is no listening Unix socket",
                remedy="Give its unit ListenStream= with a path",
            )
        path = path_of(handed)
        if configured is not None and configured != path:
            raise SettingsError(
                f"control.socket is {configured}, and the socket that was handed over is at {path}",
                remedy="Leave control.socket out, or change ListenStream= of the socket's unit",
            )
        if gid is not None and _group_of(path) != gid:
            log.warning("control_group_shut_out", path=str(path), group=gid, remedy=GROUP_REMEDY)
        yield handed


def _group_of(path: Path) -> int:
    """The group of the socket's file. Raises SettingsError when there is none, or we may not look."""
    try:
        return path.stat().st_gid
    except OSError as error:
        raise SettingsError(
            f"the control socket that was handed over can't be looked at: {path}: {error.strerror}",
            remedy="Restart its socket unit, and let the daemon's user enter the directory",
        ) from error


def path_of(listener: socket.socket) -> Path:
    """Where a Unix socket listens."""
    return Path(os.fsdecode(listener.getsockname()))


def _check_length(path: Path) -> None:
    longest = len(os.fsencode(path.parent)) + 1 + max(len(os.fsencode(path.name)), _TEMPORARY_BYTES)
    if longest > MAX_PATH_BYTES:
        raise SettingsError(
            f"the control socket's path has {longest} bytes, at most {MAX_PATH_BYTES} are possible: {path}",
            remedy="Set control.socket to a shorter path, for instance below /run",
        )


def _listen_at(listener: socket.socket, path: Path, gid: int | None) -> Inode:
    temporary = path.with_name("." + secrets.token_hex(4))
    try:
        # Linux gives the file that bind() makes the mode of the socket, less the umask. So there is no
        # moment with a wide mode, and no need to change the umask, which is the whole process's.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(temporary))
    except OSError as error:
        raise SettingsError(
            f"no control socket can be made in {path.parent}: {error.strerror}",
            remedy="Make the directory writable for the daemon's user, or set control.socket",
        ) from error
    try:
        _let_in(temporary, gid)
        listener.listen(BACKLOG)
        _put_in_place(temporary, path)
        return _inode(os.lstat(temporary))
    finally:
        temporary.unlink()


def _let_in(temporary: Path, gid: int | None) -> None:
    if gid is None:
        temporary.chmod(0o600)  # the umask may have taken our own right away
        return
    try:
        os.chown(temporary, -1, gid)
    except PermissionError as error:
        raise SettingsError(
            f"the control socket can't be given to group {gid}: {error.strerror}",
            remedy="Make the daemon's user a member of that group (the first of view_groups, operate_groups)",
        ) from error
    temporary.chmod(0o660)


def _put_in_place(temporary: Path, path: Path) -> None:
    # link(), unlike rename(), never replaces anything, whatever appears between a look and the act.
    for _attempt in range(2):
        try:
            os.link(temporary, path)
            return
        except FileExistsError:
            _remove_dead_socket(path)
    raise AddressInUseError(f"another daemon is starting at {path}")


def _remove_dead_socket(path: Path) -> None:
    try:
        pinned = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:  # as long as the file is open, no other one can get its inode number
        found = os.fstat(pinned)
        _check_is_ours_and_dead(path, found)
        _remove_if_same(path, _inode(found))
    finally:
        os.close(pinned)


def _check_is_ours_and_dead(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressInUseError(
            f"{path} is there and is not a socket", remedy="Move it away, or set control.socket"
        )
    if found.st_uid != os.geteuid():
        raise AddressInUseError(
            f"the socket {path} belongs to user {found.st_uid}",
            remedy="Remove it if its daemon is gone, or set control.socket",
        )
    if _has_listener(path):
        raise AddressInUseError(
            f"another daemon listens at {path}",
            remedy=f"Stop it (orchestrator ctl --socket {path} drain), or set control.socket",
        )


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a listener with a full backlog says EAGAIN at once
        code = probe.connect_ex(os.fspath(path))
    return code not in (errno.ECONNREFUSED, errno.ENOENT)


def _remove_if_same(path: Path, inode: Inode) -> None:
    """Remove the file if it is this one; should another have taken its place, that one stays."""
    aside = path.with_name("." + secrets.token_hex(4))
    try:
        if _inode(os.lstat(path)) != inode:
            return
        path.rename(aside)  # first aside: now nobody can exchange it between the look and the unlink
    except FileNotFoundError:
        return
    if _inode(os.lstat(aside)) != inode:
        with suppress(FileExistsError):  # a third one came: there is no place left to put it back to
            os.link(aside, path)
    aside.unlink()


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino
