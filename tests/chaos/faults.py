"""What the campaign does to a world. Each fault returns the moment in words, and leaves things broken.

The campaign has the world ready and posting before, and starts again what was killed after it.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from shutil import disk_usage

import psutil
import trio

from orchestrator.crash import OF_POSTS
from tests.chaos.site import Document
from tests.chaos.world import LEASE_TTL_S, READY_S, SETTLE_S, Kind, World
from tests.integration.daemon import Daemon, wait_until

REACHED_S = READY_S + 2 * SETTLE_S
"""How long it may take until a point is reached: two looks tell that a post is not on the site."""
PRESS = {"path": "/compose", "method": "POST", "times": 1}
TAKEN = {"drop_answer": {**PRESS, "processed": True}}
NOT_TAKEN = {"drop_answer": {**PRESS, "processed": False}}
NEEDS: dict[str, Document] = {
    "put_back": {"error_500": {"path": "/compose", "method": "GET", "times": 1}},
    "doubt": TAKEN,
    "look": TAKEN,
    "found": TAKEN,
    "missed": NOT_TAKEN,
    "again": NOT_TAKEN,
}
"""What the site must do so that a step comes to pass."""
JUMPS_H = (-6, -1, 1, 24)
OF_A_POST = tuple(
    point
    for point in OF_POSTS
    if point.partition(":")[0] in ("claim", "write", "intent", "fence_check", "press", "send", "record")
)

Strike = Callable[[World, Random], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break a world; `weight` is how often it is drawn."""

    name: str
    strike: Strike
    weight: int = 1
    kind: Kind = Kind.PLAIN
    """Of the world that it needs."""


# ── moments ─────────────────────────────────────────────────────────────────────────────────────


async def _random_moment(world: World, rng: Random) -> str:
    """Some moment of a run of `posting`, or after it."""
    delay_s = rng.uniform(0, 1)
    await wait_until(world.is_posting, "posting runs", patience_s=READY_S)
    await trio.sleep(delay_s)
    return f"posting + {delay_s:.2f} s"


async def _stopped_at(world: World, point: str) -> Daemon:
    """The world's daemon, a new one, stopped at the point."""
    await world.end()
    world.daemon = daemon = await world.start(point, "stop")
    await world.stopped(daemon, REACHED_S)
    return daemon


# ── the daemon ──────────────────────────────────────────────────────────────────────────────────


async def kill_daemon(world: World, rng: Random) -> str:
    moment = await _random_moment(world, rng)
    await world.kill()
    return moment


def kill_at(point: str) -> Strike:
    """The daemon kills itself at the point."""

    async def strike(world: World, _rng: Random) -> str:
        await world.end()
        world.daemon = daemon = await world.start(point)
        await world.site.set_faults(NEEDS.get(point.partition(":")[0], {}))
        code = await world.dead(daemon, REACHED_S)
        assert code == -signal.SIGKILL, f"exit code {code}: {daemon.said()}"
        await world.site.set_faults({})
        return point

    return strike


async def pause_daemon(world: World, rng: Random) -> str:
    """SIGSTOP for longer than the lease lasts, with nobody there to take it."""
    moment = await _random_moment(world, rng)
    assert world.daemon is not None
    world.daemon.signal(signal.SIGSTOP)
    await trio.sleep(2 * LEASE_TTL_S)
    world.daemon.signal(signal.SIGCONT)
    return moment


async def overtake(world: World, rng: Random) -> str:
    """The daemon stops at a point of a post; a second one takes over; then the first one goes on."""
    point = rng.choice(OF_A_POST)
    first = await _stopped_at(world, point)
    name = "standby" if first.state_dir.name == "daemon" else "daemon"
    world.daemon = await world.start(name=name)
    await world.be_ready()
    first.signal(signal.SIGCONT)
    code = await world.dead(first, READY_S)
    assert code == 1, f"exit code {code} of a daemon that was overtaken: {first.said()}"
    return point


# ── its family ──────────────────────────────────────────────────────────────────────────────────


def kill_one(find: Callable[[Daemon], list[psutil.Process]]) -> Strike:
    """`kill -9` a process of the daemon's: at a random moment, or while the daemon stands at a point."""

    async def strike(world: World, rng: Random) -> str:
        def act(daemon: Daemon) -> bool:
            return _kill_any(find(daemon), rng)

        return await _at_some_moment(world, rng, act)

    return strike


async def kill_site(world: World, rng: Random) -> str:
    def act(_daemon: Daemon) -> bool:
        world.site.kill()
        return True

    return await _at_some_moment(world, rng, act)


async def _at_some_moment(world: World, rng: Random, act: Callable[[Daemon], bool]) -> str:
    """`act` is false when there is nothing to act on just then: it has another moment, until there is."""
    if rng.random() < 0.5:
        point = rng.choice(OF_A_POST)
        daemon = await _stopped_at(world, point)
        has_acted = act(daemon)
        daemon.signal(signal.SIGCONT)
        if has_acted:
            return point
        await world.be_ready()
    assert world.daemon is not None
    while True:
        moment = await _random_moment(world, rng)
        if act(world.daemon):
            return moment


def _kill_any(processes: list[psutil.Process], rng: Random) -> bool:
    if not processes:
        return False
    try:
        rng.choice(processes).kill()
    except psutil.NoSuchProcess:  # a renderer ends with its page
        return False
    return True


def _with(daemon: Daemon, name: str, argument: str = "", parent: str = "") -> list[psutil.Process]:
    found = []
    for process in daemon.family():
        with suppress(psutil.NoSuchProcess):
            above = process.parent()
            is_child = above is not None and parent in above.name()
            if name in process.name() and argument in " ".join(process.cmdline()) and is_child:
                found.append(process)
    return found


def _browser(daemon: Daemon) -> list[psutil.Process]:
    return [found for found in _with(daemon, "chrom", parent="node") if "--type=" not in _line(found)]


def _renderers(daemon: Daemon) -> list[psutil.Process]:
    return _with(daemon, "chrom", "--type=renderer")


def _driver(daemon: Daemon) -> list[psutil.Process]:
    return _with(daemon, "node", parent="python")


def _postmaster(daemon: Daemon) -> list[psutil.Process]:
    return [found for found in _with(daemon, "postgres") if " -D " in _line(found)]


def _line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


# ── the site ────────────────────────────────────────────────────────────────────────────────────


def site_does(choose: Callable[[Random], Document]) -> Strike:
    """The site has faults until all have struck."""

    async def strike(world: World, rng: Random) -> str:
        faults = choose(rng)
        await world.site.set_faults(faults)

        async def have_struck() -> bool:
            return await world.site.faults_left() == 0

        assert world.daemon is not None
        await wait_until(have_struck, "every fault has struck", world.daemon.said, REACHED_S)
        return ", ".join(f"{name} {fault}" for name, fault in faults.items())

    return strike


async def sign_out(world: World, rng: Random) -> str:
    moment = await _random_moment(world, rng)
    await world.site.sign_out_everyone()
    return moment


def _answer_lost(rng: Random) -> Document:
    name = rng.choice(["drop_answer", "error_500", "garbage"])
    return {name: {**PRESS, "times": rng.randint(1, 2), "processed": rng.random() < 0.7}}


def _anywhere(name: str, seconds: float = 0) -> Callable[[Random], Document]:
    return lambda rng: {name: {"path": "/", "times": rng.randint(1, 4), "seconds": seconds}}


def _slow(rng: Random) -> Document:
    return {"slow_s": {"path": rng.choice(["/", "/compose"]), "times": 2, "seconds": rng.randint(2, 12)}}


# ── the machine ─────────────────────────────────────────────────────────────────────────────────


async def step_clock(world: World, rng: Random) -> str:
    """The wall clock is another one after a power cut."""
    hours = rng.choice(JUMPS_H)
    await _random_moment(world, rng)
    await world.kill()
    world.site.kill()
    world.step_clock(hours)
    return f"{hours:+d} h"


async def jump_clock(world: World, rng: Random) -> str:
    """The wall clock of the running daemon jumps; those of the site and the database do not."""
    hours = rng.choice(JUMPS_H)
    moment = await _random_moment(world, rng)
    world.jump_clock(hours)
    return f"{hours:+d} h at {moment}"


async def fill_disk(world: World, rng: Random) -> str:
    """Not a byte is left on the daemon's disk for a while."""
    seconds = rng.uniform(3, 10)
    moment = await _random_moment(world, rng)
    filler = world.place / "filler"
    await trio.to_thread.run_sync(_fill, filler)
    await trio.sleep(seconds)
    filler.unlink()
    return f"{moment}, for {seconds:.0f} s"


def _fill(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (2**20, 4096):
            with suppress(OSError):  # there is no room left
                while disk_usage(path.parent).free:
                    os.write(file, bytes(size))
    finally:
        os.close(file)


POINT = "point:"
FAULTS = {
    fault.name: fault
    for fault in (
        *(Fault(POINT + point, kill_at(point)) for point in OF_POSTS),
        Fault("daemon", kill_daemon, 8),
        Fault("pause", pause_daemon, 2),
        Fault("standby", overtake, 6, Kind.SHARED),
        Fault("browser", kill_one(_browser), 4),
        Fault("renderer", kill_one(_renderers), 4),
        Fault("driver", kill_one(_driver), 4),
        Fault("postgres", kill_one(_postmaster), 4),
        Fault("site", kill_site, 4),
        Fault("answers", site_does(_answer_lost), 6),
        Fault("slow", site_does(_slow), 2),
        Fault("errors", site_does(_anywhere("error_500")), 2),
        Fault("limits", site_does(_anywhere("rate_limit_429", 1)), 2),
        Fault("sign_out", sign_out, 2),
        Fault("clock", step_clock, 2),
        Fault("jump", jump_clock, 2, Kind.STEPPED),
        Fault("disk", fill_disk, 2, Kind.SMALL),
    )
}
