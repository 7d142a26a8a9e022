"""Every verb of the daemon, asked by processes of real users: who may do what, as docs/security.md says."""

import grp
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.control.verbs import verbs_of
from tests.fakes import make_house, make_stage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")

DOCS = Path(__file__).parents[2] / "docs" / "security.md"
ROW = re.compile(r"^\| (view|operate|admin) \| (.+) \|$", re.MULTILINE)
LEVELS = ("view", "operate", "admin")

OWNER, OPERATOR, READER, OTHER, NAMELESS = 54321, 54322, 54323, 54324, 65534
VIEWING, OPERATING = "daemon", "bin"
"""Groups that every machine has, and whose number is all that counts here."""

SERVER = """
import os, sys
from dataclasses import replace
from functools import partial
from pathlib import Path
import trio
from orchestrator.control.server import serve_control
from orchestrator.control.verbs import verbs_of
from orchestrator.settings import ControlSettings
from tests.fakes import make_house, make_stage

async def say_ok(caller, args):
    return caller.level.name.lower()

async def main():
    house = make_house(make_stage([]))
    table = verbs_of(house, lambda who: None)
    verbs = {name: replace(verb, handler=say_ok, required=frozenset()) for name, verb in table.items()}
    settings = ControlSettings(view_groups=[sys.argv[2]], operate_groups=[sys.argv[3]])
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_control, Path(sys.argv[1]), verbs, settings))
        print("ready", flush=True)
        await trio.lowlevel.wait_readable(sys.stdin)
        nursery.cancel_scope.cancel()
"""
CLIENT = """
import json, os, sys
from pathlib import Path
from orchestrator.control import client
from orchestrator.errors import ControlError

def ask(verb):
    try:
        return client.request(Path(sys.argv[1]), verb)
    except ControlError as error:
        return str(error)

def main():
    print(json.dumps({verb: ask(verb) for verb in json.loads(sys.argv[2])}))
"""
RUN = "os.setgroups({groups}); os.setgid({gid}); os.setuid({uid}); {run}"
"""Once everything is imported: another user need not be able to read our files."""


def program(text: str, run: str, uid: int, groups: list[int]) -> str:
    return text + "\n" + RUN.format(groups=groups, gid=uid, uid=uid, run=run)


def gid(group: str) -> int:
    return grp.getgrnam(group).gr_gid


@pytest.fixture(scope="module")
def socket_path() -> Iterator[Path]:
    """A server with the daemon's verbs that runs as OWNER."""
    with TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        (place / "run").mkdir()
        os.chown(place / "run", OWNER, OWNER)
        path = place / "run" / "control.sock"
        with running(path):
            yield path


@contextmanager
def running(path: Path) -> Iterator[None]:
    text = program(SERVER, "trio.run(main)", OWNER, [gid(VIEWING), gid(OPERATING)])
    command = [sys.executable, "-c", text, str(path), VIEWING, OPERATING]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.stdin.close()
        assert process.wait(timeout=20) == 0


def documented() -> dict[str, frozenset[str]]:
    """The verbs of each level."""
    found = {
        level: frozenset(re.findall(r"`(\w+)`", verbs)) for level, verbs in ROW.findall(DOCS.read_text())
    }
    assert tuple(found) == LEVELS
    return found


async def all_verbs() -> list[str]:
    return sorted(verbs_of(make_house(make_stage([])), lambda _who: None))


@dataclass(frozen=True)
class Who:
    """A process by user and groups, and what it may do: its level, or the words that refuse it."""

    name: str
    uid: int
    groups: tuple[str, ...]
    may: str


PEOPLE = [
    Who("root", 0, (), "admin"),
    Who("owner", OWNER, (), "admin"),
    Who("group operator", OPERATOR, (VIEWING, OPERATING), "operate"),
    Who("group operator who may not enter by the file", OPERATOR, (OPERATING,), "permission denied"),
    Who("group reader", READER, (VIEWING,), "view"),
    Who("other", OTHER, (), "permission denied"),
    Who("nameless", NAMELESS, (VIEWING, OPERATING), "user 65534 may not use this socket"),
]


def ask_all(who: Who, path: Path, verbs: list[str]) -> dict[str, str]:
    """What a process of theirs is answered."""
    text = program(CLIENT, "main()", who.uid, [gid(group) for group in who.groups])
    command = [sys.executable, "-c", text, str(path), json.dumps(verbs)]
    said = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2], timeout=60)
    answers: dict[str, str] = json.loads(said.stdout)
    return answers


@pytest.mark.parametrize("who", PEOPLE, ids=lambda who: who.name)
async def test_who_may_do_what(socket_path: Path, who: Who) -> None:
    verbs = await all_verbs()
    answers = ask_all(who, socket_path, verbs)
    if who.may not in LEVELS:
        assert dict.fromkeys(verbs, True) == {verb: who.may in answers[verb] for verb in verbs}
        return
    allowed = set[str]().union(*(documented()[level] for level in LEVELS[: LEVELS.index(who.may) + 1]))
    assert {verb for verb in verbs if answers[verb] == who.may} == allowed
    for verb in set(verbs) - allowed:
        assert re.fullmatch(rf"{verb} needs the level \w+; yours is {who.may}", answers[verb])


@pytest.mark.parametrize("who", [one for one in PEOPLE if one.may not in LEVELS], ids=lambda who: who.name)
async def test_whoever_is_kept_out_by_the_file_is_kept_out_by_us_too(socket_path: Path, who: Who) -> None:
    mode = socket_path.stat().st_mode
    socket_path.chmod(0o666)  # as if somebody had done it by mistake
    try:
        answers = ask_all(who, socket_path, ["status", "drain"])
    finally:
        socket_path.chmod(mode)
    may_operate = OPERATING in who.groups and who.uid != NAMELESS
    refused = f"user {who.uid} may not use this socket"
    assert answers["status"] == ("operate" if may_operate else refused)
    assert answers["drain"] == ("drain needs the level admin; yours is operate" if may_operate else refused)


async def test_the_docs_name_every_verb_once() -> None:
    named = [verb for verbs in documented().values() for verb in verbs]
    assert sorted(named) == await all_verbs()
