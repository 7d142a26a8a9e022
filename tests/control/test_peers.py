import grp
import os
import socket

import pytest
import trio

from orchestrator.control.peers import Level, Peer, Rights, peer_of, rights_from
from orchestrator.errors import SettingsError
from orchestrator.settings import ControlSettings

RIGHTS = Rights(own_uid=1000, operate_gids=frozenset({50}), view_gids=frozenset({60}), socket_gid=60)


@pytest.mark.parametrize(
    ("uid", "groups", "level"),
    [
        (0, {0}, Level.ADMIN),
        (1000, {1000}, Level.ADMIN),
        (1001, {50}, Level.OPERATE),
        (1001, {1001, 50, 60}, Level.OPERATE),
        (1001, {60}, Level.VIEW),
        (1001, {1001}, None),
        (65534, {50, 60}, None),
    ],
)
def test_the_level_follows_from_user_and_groups(uid: int, groups: set[int], level: Level | None) -> None:
    assert RIGHTS.level_of(Peer(uid, 1, frozenset(groups))) is level


def test_the_overflow_user_is_refused_even_if_the_daemon_runs_as_it() -> None:
    rights = Rights(65534, frozenset(), frozenset(), None)
    assert rights.level_of(Peer(65534, 1, frozenset())) is None


def test_groups_are_found_by_name_and_the_wider_one_owns_the_socket() -> None:
    first, second = grp.getgrall()[:2]
    rights = rights_from(ControlSettings(operate_groups=[first.gr_name], view_groups=[second.gr_name]))
    assert rights == Rights(
        os.geteuid(), frozenset({first.gr_gid}), frozenset({second.gr_gid}), second.gr_gid
    )


def test_without_groups_the_socket_belongs_to_the_daemon_alone() -> None:
    assert rights_from(ControlSettings()).socket_gid is None


def test_an_unknown_group_is_named_with_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"control\.operate_groups names the group 'no-such-group'"):
        rights_from(ControlSettings(operate_groups=["no-such-group"]))


async def test_the_kernel_tells_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.setblocking(False)
    async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
        peer = peer_of(stream)
    theirs.close()
    assert (peer.uid, peer.pid) == (os.geteuid(), os.getpid())
    assert peer.groups == {os.getegid(), *os.getgroups()}
