import grp
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from structlog.typing import EventDict

from orchestrator.control import protocol
from orchestrator.control.peers import Caller, Level, Peer, peer_of
from orchestrator.control.server import SEND_TIMEOUT_S, VERB_TIMEOUT_S, Verb, serve_control
from orchestrator.errors import AddressInUseError, ControlError, SettingsError
from orchestrator.settings import ControlSettings

OWN = Peer(os.geteuid(), 4242, frozenset())


class Peers:
    """Says who connects next, in place of the kernel."""

    def __init__(self) -> None:
        self.next = OWN

    def read(self, _stream: trio.SocketStream) -> Peer:
        return self.next


async def echo(caller: Caller, args: dict[str, Any]) -> Any:
    return {"uid": caller.uid, "level": caller.level.name, "args": args}


async def refuse(_caller: Caller, _args: dict[str, Any]) -> Any:
    raise ControlError("there is no job 'x'", remedy="Look at jobs")


async def fail(_caller: Caller, _args: dict[str, Any]) -> Any:
    raise ZeroDivisionError("a bug")


async def not_json(_caller: Caller, _args: dict[str, Any]) -> Any:
    return object()


async def hang(_caller: Caller, _args: dict[str, Any]) -> Any:
    await trio.sleep_forever()


VERBS = {
    verb.name: verb
    for verb in (
        Verb("look", Level.VIEW, echo, {"job": str, "deep": bool, "limit": int, "ratio": float}),
        Verb("need", Level.VIEW, echo, {"job": str}, required=frozenset({"job"})),
        Verb("work", Level.OPERATE, echo, {"job": str}),
        Verb("stop", Level.ADMIN, echo),
        Verb("add", Level.OPERATE, refuse, {"name": str, "password": str}, secret=frozenset({"password"})),
        Verb("refuse", Level.OPERATE, refuse),
        Verb("fail", Level.VIEW, fail),
        Verb("not_json", Level.VIEW, not_json),
        Verb("hang", Level.VIEW, hang),
    )
}


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory() as directory:  # another user can get at it, unlike at pytest's own
        Path(directory).chmod(0o755)
        yield Path(directory) / "control.sock"


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
async def server(path: Path, peers: Peers, nursery: trio.Nursery) -> Path:
    settings = ControlSettings(idle_timeout_s=30, max_connections=4)
    serve = partial(serve_control, path, VERBS, settings, read_peer=peers.read)
    started: Path = await nursery.start(serve)
    return started


async def connect(path: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(str(path))


async def answer_of(stream: trio.SocketStream) -> Any:
    """The next answer; None when the server closed the connection."""
    header = await read(stream, 4)
    if header is None:
        return None
    body = await read(stream, struct.unpack(">I", header)[0])
    assert body is not None
    return protocol.decode(body)


async def read(stream: trio.SocketStream, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        try:
            chunk = await stream.receive_some(size - len(data))
        except trio.BrokenResourceError:
            chunk = b""
        if not chunk:
            return None
        data += chunk
    return data


async def ask(stream: trio.SocketStream, verb: str, **args: Any) -> Any:
    await stream.send_all(protocol.frame(protocol.request_message(verb, args)))
    return await answer_of(stream)


async def send_for_ever(stream: trio.SocketStream, data: bytes, pause_s: float) -> None:
    while True:
        await stream.send_all(data)
        await trio.sleep(pause_s)


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


async def is_served(path: Path) -> bool:
    async with await connect(path) as stream:
        answer = await ask(stream, "look")
        return answer is not None and answer["ok"]


# ── what is asked and answered ──────────────────────────────────────────────────────────────────


async def test_several_requests_on_one_connection_are_answered_in_turn(server: Path) -> None:
    async with await connect(server) as stream:
        for job in ("plan", "posting"):
            answer = await ask(stream, "look", job=job)
            assert answer["result"]["args"] == {"job": job}


async def test_the_answer_has_the_id_of_the_request(server: Path) -> None:
    async with await connect(server) as stream:
        await stream.send_all(protocol.frame({"verb": "look", "id": "a7"}))
        assert (await answer_of(stream))["id"] == "a7"


async def test_an_unknown_verb_is_told_the_known_ones(server: Path) -> None:
    async with await connect(server) as stream:
        answer = await ask(stream, "__class__")
    assert answer["error"] == "there is no verb '__class__'"
    assert "look" in answer["remedy"]


@pytest.mark.parametrize(
    ("verb", "args", "error"),
    [
        ("look", {"jobs": "x"}, "look takes no 'jobs'"),
        ("look", {"job": 3}, "look: job must be of type str"),
        ("look", {"job": None}, "look: job must be of type str"),
        ("look", {"limit": True}, "look: limit must be of type int"),
        ("look", {"deep": 1}, "look: deep must be of type bool"),
        ("look", {"ratio": "1"}, "look: ratio must be of type float"),
        ("need", {}, "need needs job"),
    ],
)
async def test_wrong_args_are_named(server: Path, verb: str, args: Mapping[str, Any], error: str) -> None:
    async with await connect(server) as stream:
        assert (await ask(stream, verb, **args))["error"] == error
        assert (await ask(stream, "look", ratio=1))["ok"], "the connection goes on"


async def test_a_verbs_own_error_is_the_answers_line(server: Path) -> None:
    async with await connect(server) as stream:
        answer = await ask(stream, "refuse")
    assert (answer["ok"], answer["error"], answer["remedy"]) == (False, "there is no job 'x'", "Look at jobs")


@pytest.mark.parametrize("verb", ["fail", "not_json"])
async def test_a_bug_in_a_verb_is_logged_and_the_answer_tells_no_detail(server: Path, verb: str) -> None:
    with capture_logs() as logs:
        async with await connect(server) as stream:
            answer = await ask(stream, verb)
            assert (await ask(stream, "look"))["ok"], "the connection goes on"
    assert answer["error"] == "internal error"
    (logged,) = [entry for entry in logs if entry["event"] == "control_verb_failed"]
    assert logged["exc_info"]


async def test_a_verb_that_hangs_is_ended_with_an_error(server: Path, autojump_clock: object) -> None:
    async with await connect(server) as stream:
        answer = await ask(stream, "hang")
    assert answer["error"] == f"hang did not end within {VERB_TIMEOUT_S:g} s"


# ── bad clients ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack(">I", 65537), "65537 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes; at most 65536"),
        (struct.pack(">I", 3) + b"\xff\xfe\xfd", "not valid JSON"),
        (struct.pack(">I", 40) + b"[" * 40, "deeper than 16"),
        (struct.pack(">I", 0), "not valid JSON"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_connection_closed(
    server: Path, data: bytes, reason: str
) -> None:
    async with await connect(server) as good, await connect(server) as bad:
        await bad.send_all(data)
        answer = await answer_of(bad)
        assert reason in answer["error"]
        assert await answer_of(bad) is None
        assert (await ask(good, "look"))["ok"], "others are not disturbed"


async def test_a_frame_that_is_cut_short_is_answered(server: Path) -> None:
    async with await connect(server) as stream:
        await stream.send_all(struct.pack(">I", 10) + b"abc")
        await stream.send_eof()
        assert (await answer_of(stream))["error"] == "the frame is cut short"


async def test_a_client_that_drips_bytes_is_cut_off_at_the_frames_deadline(
    server: Path, autojump_clock: object
) -> None:
    async with await connect(server) as stream:
        started_at = trio.current_time()
        await stream.send_all(struct.pack(">I", 1000))
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream, b" ", pause_s=1)
        assert trio.current_time() - started_at < 35
        assert "not complete after 30 s" in (await answer_of(stream))["error"]


async def test_an_idle_client_is_closed_without_a_word(server: Path, autojump_clock: object) -> None:
    async with await connect(server) as stream:
        assert (await ask(stream, "look"))["ok"]
        assert await answer_of(stream) is None


async def test_a_client_that_does_not_read_its_answers_is_dropped(
    server: Path, autojump_clock: object
) -> None:
    async with await connect(server) as stream:
        big = protocol.frame(protocol.request_message("look", {"job": "x" * 60_000}))
        started_at = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream, big, pause_s=0)
        assert trio.current_time() - started_at == pytest.approx(SEND_TIMEOUT_S, abs=0.5)
    assert await is_served(server)


async def test_a_client_that_leaves_at_once_disturbs_nobody(server: Path) -> None:
    for _client in range(20):
        (await connect(server)).socket.close()
    assert await is_served(server)


async def test_connections_beyond_the_limit_are_refused_and_places_come_back(server: Path) -> None:
    held = [await connect(server) for _place in range(4)]
    for stream in held:
        assert (await ask(stream, "look"))["ok"]
    async with await connect(server) as extra:
        assert "too many connections" in (await answer_of(extra))["error"]
    for stream in held:
        await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert await is_served(server)


async def test_other_users_cannot_keep_the_administrator_out(path: Path, nursery: trio.Nursery) -> None:
    peers = Peers()
    settings = ControlSettings(view_groups=[own_group()], max_connections=4)
    await nursery.start(partial(serve_control, path, VERBS, settings, read_peer=peers.read))
    peers.next = Peer(1234, 1, frozenset({os.getegid()}))
    async with await connect(path) as first, await connect(path) as second:
        assert (await ask(first, "look"))["ok"]
        assert (await ask(second, "look"))["ok"]
        async with await connect(path) as extra:
            assert "too many connections" in (await answer_of(extra))["error"]
        peers.next = OWN
        assert await is_served(path)


# ── who may what ────────────────────────────────────────────────────────────────────────────────


def own_group() -> str:
    return grp.getgrgid(os.getegid()).gr_name


async def test_levels_open_their_verbs_and_no_others(path: Path, nursery: trio.Nursery) -> None:
    view, operate = grp.getgrall()[1:3]
    peers = Peers()
    settings = ControlSettings(view_groups=[view.gr_name], operate_groups=[operate.gr_name])
    await nursery.start(partial(serve_control, path, VERBS, settings, read_peer=peers.read))

    async def allowed(*groups: int) -> list[str]:
        peers.next = Peer(1234, 1, frozenset(groups))
        async with await connect(path) as stream:
            return [verb for verb in ("look", "work", "stop") if (await ask(stream, verb))["ok"]]

    assert await allowed(view.gr_gid) == ["look"]
    assert await allowed(operate.gr_gid) == ["look", "work"]


async def test_a_refused_verb_names_the_level_it_needs(path: Path, nursery: trio.Nursery) -> None:
    peers = Peers()
    peers.next = Peer(1234, 1, frozenset({os.getegid()}))
    settings = ControlSettings(view_groups=[own_group()])
    await nursery.start(partial(serve_control, path, VERBS, settings, read_peer=peers.read))
    async with await connect(path) as stream:
        answer = await ask(stream, "work")
    assert answer["error"] == "work needs the level operate; yours is view"
    assert "control.operate_groups" in answer["remedy"]


@pytest.mark.parametrize("uid", [65534, 1234])
async def test_a_stranger_is_refused_before_it_can_ask(server: Path, peers: Peers, uid: int) -> None:
    peers.next = Peer(uid, 1, frozenset({uid}))
    with capture_logs() as logs:
        async with await connect(server) as stream:
            answer = await answer_of(stream)
            assert await answer_of(stream) is None
    assert answer["error"] == f"user {uid} may not use this socket"
    assert [(entry["event"], entry["uid"]) for entry in logs] == [("control_refused", uid)]


def as_other_user(path: Path, groups: list[int]) -> list[str]:
    """A command that asks `status` of the socket as user 54321 of these groups."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from orchestrator.control import client\n"
        "from orchestrator.errors import ControlError\n"
        f"os.setgroups({groups}); os.setgid(54321); os.setuid(54321)\n"
        "try:\n"
        "    print(client.request(Path(sys.argv[1]), 'look')['level'])\n"
        "except ControlError as error:\n"
        "    print(error)\n"
    )
    return [sys.executable, "-c", script, str(path)]


async def say_as_other_user(path: Path, groups: list[int]) -> str:
    process = await trio.run_process(as_other_user(path, groups), capture_stdout=True)
    return process.stdout.decode().strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_a_process_of_another_user_is_kept_out_by_the_files_mode_and_then_by_the_server(
    path: Path, nursery: trio.Nursery
) -> None:
    await nursery.start(partial(serve_control, path, VERBS, ControlSettings()))
    assert "permission denied" in await say_as_other_user(path, [])

    open_to_all(path)  # as if somebody had done it by mistake
    assert await say_as_other_user(path, []) == "user 54321 may not use this socket"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_a_process_of_a_viewing_group_may_look(path: Path, nursery: trio.Nursery) -> None:
    group = grp.getgrnam("daemon")
    settings = ControlSettings(view_groups=["daemon"])
    await nursery.start(partial(serve_control, path, VERBS, settings, read_peer=peer_of))
    assert await say_as_other_user(path, [group.gr_gid]) == "VIEW"


# ── the log ─────────────────────────────────────────────────────────────────────────────────────


def verbs_in(logs: list[EventDict]) -> list[dict[str, Any]]:
    return [dict(entry) for entry in logs if entry["event"] == "control_verb"]


async def test_what_changes_something_is_logged_with_who_asked(server: Path) -> None:
    with capture_logs() as logs:
        async with await connect(server) as stream:
            await ask(stream, "look", job="posting")
            await ask(stream, "work", job="posting")
            await ask(stream, "refuse")
            await ask(stream, "bogus")
    looked = [(entry["verb"], entry["args"], entry["result"]) for entry in verbs_in(logs)]
    assert looked == [
        ("work", {"job": "posting"}, "ok"),
        ("refuse", {}, "there is no job 'x'"),
        ("bogus", {}, "there is no verb 'bogus'"),
    ]
    assert {(entry["uid"], entry["pid"]) for entry in verbs_in(logs)} == {(OWN.uid, OWN.pid)}


async def test_no_secret_argument_is_logged_also_not_under_a_name_that_is_misspelt(server: Path) -> None:
    canary = "canary-password"
    with capture_logs() as logs:
        async with await connect(server) as stream:
            for asked in (
                {"name": "ada", "password": canary},
                {"name": "ada", "pasword": canary},
                {"name": "ada", "password": [canary]},
                {"name": "ada", "password": {canary: canary}},
            ):
                assert canary not in str(await ask(stream, "add", **asked))
            await ask(stream, "ad", password=canary)
            await ask(stream, "stop", password=canary)
    assert canary not in str(logs)
    assert [entry["args"] for entry in verbs_in(logs)][:2] == [
        {"name": "ada", "password": "(hidden)"},
        {"name": "ada", "pasword": "(hidden)"},
    ]


async def test_a_long_or_odd_argument_is_cut_and_escaped_in_the_log(server: Path) -> None:
    with capture_logs() as logs:
        async with await connect(server) as stream:
            await ask(stream, "work", job="\x1b[31m" + "x" * 10_000)
    (entry,) = verbs_in(logs)
    assert len(str(entry["args"])) < 200
    assert "\x1b" not in str(entry["args"])


# ── the whole server ────────────────────────────────────────────────────────────────────────────


async def test_the_socket_is_gone_when_the_server_is_cancelled(path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_control, path, VERBS, ControlSettings()))
        assert names(path.parent) == [path.name]
        async with await connect(path) as stream:
            assert (await ask(stream, "look"))["ok"]
            nursery.cancel_scope.cancel()
    assert names(path.parent) == []


async def test_a_second_server_on_the_same_path_is_refused(server: Path) -> None:
    with pytest.raises(AddressInUseError):
        await serve_control(server, VERBS, ControlSettings())
    assert await is_served(server)


async def test_an_unknown_group_stops_the_start(path: Path) -> None:
    with pytest.raises(SettingsError, match="no-such-group"):
        await serve_control(path, VERBS, ControlSettings(view_groups=["no-such-group"]))
    assert names(path.parent) == []
