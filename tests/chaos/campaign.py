"""Breaks worlds, cycle by cycle, and compares after each: `make chaos`.

make chaos CYCLES=100 SEED=1     whatever the seeds 1 to 100 draw
make chaos CYCLES=10 FAULT=point:press:before
make chaos CYCLES=1 SEED=17      one of them again

The results are lines of JSON in a file; what stands there is not done again. Exit code 1 when anything
was ever wrong.
"""
# ruff: noqa: T201 - it is a program of the terminal

import argparse
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import trio

from orchestrator.errors import ControlError
from tests.arguments import at_least_one
from tests.chaos.comparison import (
    COUNTERS,
    DOUBLE,
    GONE,
    MISSING,
    MOVING,
    POSTS,
    Books,
    Footprint,
    in_doubt,
)
from tests.chaos.faults import FAULTS, POINT, Fault
from tests.chaos.world import PUBLISHERS, SETTLE_S, World, open_world
from tests.integration.daemon import Daemon, processes_of, wait_until
from tests.rows import Row

RESULTS = Path("chaos.jsonl")
SETTLED_S = 180 + 4 * SETTLE_S
"""How long until no post is in doubt: it may have to be called stuck first."""
CYCLE_S = 900.0
SETTLED = ("post_found", "post_requeued", "post_given_up")
"""In the log: a post that was ambiguous is not any more."""
PAUSE_S = 0.5


@dataclass(slots=True)
class Result:
    """One cycle; `wrong` is empty when all was well."""

    seed: int
    fault: str
    moment: str = ""
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""
    back_s: float = 0.0
    """From the strike's end until a further post was out."""
    seconds: float = 0.0
    doubtful: int = 0
    """How often a post was ambiguous."""
    left: list[str] = field(default_factory=list)
    """Why posts are left to a person."""
    replay: str = ""


class Cycles:
    """The cycles that one after the other break the same world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._books, self._footprint = Books(), Footprint()
        self._left: set[int] = set()

    async def live(self, fault: Fault, rng: random.Random, result: Result) -> None:
        """One cycle; what is wrong is said in its result."""
        begin = time.monotonic()
        try:
            with trio.fail_after(CYCLE_S):
                await self._world.be_ready()
                await self._strike(self._world, fault, rng, result)
        except Exception as error:  # noqa: BLE001 - whatever ended the cycle is its result
            result.wrong.append(_told(error))
        if result.wrong:
            result.wrong.append(f"its files: {self._world.place}")
        result.seconds = round(time.monotonic() - begin, 1)

    async def _strike(self, world: World, fault: Fault, rng: random.Random, result: Result) -> None:
        before = world.said_times(*SETTLED)
        await world.has_posted()
        await world.answer()
        result.moment = await fault.strike(world, rng)
        struck_at = time.monotonic()
        await world.be_ready()
        await world.answer()
        await world.has_posted()
        result.back_s = round(time.monotonic() - struck_at, 1)
        posts = await self._settle(world)
        left = [post for post in posts if post["state"] == "ambiguous" and post["id"] not in self._left]
        self._left.update(post["id"] for post in left)
        result.left = [f"{post['account']}: {post['detail']}" for post in left]
        result.doubtful = world.said_times(*SETTLED) - before + len(left)
        assert world.daemon is not None
        result.wrong += [
            *self._books.compare(await world.site.ledger(), posts, await world.query(COUNTERS)),
            *self._footprint.compare(world.daemon.process.pid),
            *strays(world.place, world.daemon),
        ]

    async def _settle(self, world: World) -> list[Row]:
        """Wait until nothing is under way or in doubt; the posts then."""
        daemon = world.daemon
        assert daemon is not None
        deadline = trio.current_time() + SETTLED_S
        await self._pause(world)
        while True:
            moving = await world.query(MOVING)
            states = Counter(post["state"] for post in moving)
            if not states["claimed"] and not states["submitting"] and not in_doubt(moving):
                return await world.query(POSTS)
            assert trio.current_time() < deadline, f"not settled: {states}. {daemon.said()}"
            if states["claimed"]:  # only the next run puts back what one could not
                await world.ask_posting("resume")
                await trio.sleep(PAUSE_S)
                await self._pause(world)
            await trio.sleep(PAUSE_S)

    async def _pause(self, world: World) -> None:
        daemon = world.daemon
        assert daemon is not None
        await world.ask_posting("pause")

        async def is_paused() -> bool:
            try:
                states = [(await daemon.job(job)).get("state") for job in PUBLISHERS]
            except ControlError:
                return False
            return states == ["paused"] * len(PUBLISHERS)

        await wait_until(is_paused, "posting is paused", daemon.said, SETTLED_S)


def draw(rng: random.Random, wanted: str) -> Fault:
    """A fault by the dice, among those whose name begins with `wanted`."""
    among = [fault for fault in FAULTS.values() if fault.name.startswith(wanted)]
    return rng.choices(among, [fault.weight for fault in among])[0]


def strays(place: Path, daemon: Daemon) -> list[str]:
    """Processes that belong to the daemon and do not descend from it, and those of another daemon."""
    found = [
        process
        for state_dir in (place / "daemon", place / "standby")
        if state_dir.exists()
        for process in processes_of(state_dir)
    ]
    # Looked at afterwards: what has begun meanwhile is not among those that were found.
    family = {process.pid for process in daemon.family()} | {daemon.process.pid}
    left = [process for process in found if process.pid not in family]
    return [f"left over: {process}" for process in left if psutil.pid_exists(process.pid)]


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6000:]


# ── results ─────────────────────────────────────────────────────────────────────────────────────


def read_results(path: Path) -> list[Result]:
    if not path.exists():
        return []
    return [Result(**json.loads(line)) for line in path.read_text().splitlines()]


def keep(path: Path, result: Result) -> None:
    with path.open("a") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def table(results: list[Result]) -> list[str]:
    """One line for each fault, all points of the daemon's death in one."""
    heads = "fault", "cycles", "wrong", "double", "lost", "ambiguous", "settled by itself", "left to a person"
    lines = [f"| {' | '.join(heads)} | longest until the next post |", f"|{'---|' * (len(heads) + 1)}"]
    kinds = sorted({_kind(result) for result in results})
    for kind in [*kinds, "all"]:
        some = [one for one in results if kind in (_kind(one), "all") and not one.skipped]
        doubtful, left = sum(one.doubtful for one in some), sum(len(one.left) for one in some)
        counts = (
            len(some),
            sum(bool(one.wrong) for one in some),
            _said(some, DOUBLE),
            _said(some, GONE, MISSING),
            doubtful,
            doubtful - left,
            left,
        )
        longest_s = max((one.back_s for one in some), default=0.0)
        lines.append(f"| {kind} | {' | '.join(map(str, counts))} | {longest_s:.1f} s |")
    return lines


def _said(results: list[Result], *words: str) -> int:
    """How often what was wrong was said in these words."""
    return sum(word in line for result in results for line in result.wrong for word in words)


def _kind(result: Result) -> str:
    return "point" if result.fault.startswith(POINT) else result.fault


async def run(plan: Sequence[tuple[int, str]], path: Path) -> list[Result]:
    """Live a cycle for each seed and beginning of a fault's name; keep each result as it comes.

    After a wrong one the world is a new one.
    """
    results: list[Result] = []
    while len(results) < len(plan):
        seed, wanted = plan[len(results)]
        first = draw(random.Random(seed), wanted)
        if why := first.kind.why_not():
            skipped = Result(seed, first.name, skipped=why, replay=replay(seed, wanted))
            results.append(skipped)
            keep(path, skipped)
            print(f"{len(results)}/{len(plan)} seed {seed} {first.name}: skipped, {why}", flush=True)
            continue
        async with open_world(first.kind) as world:
            cycles = Cycles(world)
            for seed, wanted in plan[len(results) :]:
                rng = random.Random(seed)
                fault = draw(rng, wanted)
                if fault.kind != first.kind:
                    break
                result = Result(seed, fault.name, replay=replay(seed, wanted))
                await cycles.live(fault, rng, result)
                results.append(result)
                keep(path, result)
                _tell(result, f"{len(results)}/{len(plan)}")
                if result.wrong:
                    world.is_kept = True
                    break
    return results


def replay(seed: int, wanted: str) -> str:
    return f"make chaos CYCLES=1 SEED={seed}{f' FAULT={wanted}' if wanted else ''}"


def _tell(result: Result, progress: str) -> None:
    state = "WRONG" if result.wrong else "well"
    print(
        f"{progress} seed {result.seed} {result.fault} ({result.moment}): {state}, "
        f"{result.doubtful} ambiguous, a post after {result.back_s} s, {result.seconds} s",
        flush=True,
    )
    for why in result.left:
        print(f"    left to a person: {why}", flush=True)
    for line in result.wrong:
        print(f"    {line}")
    if result.wrong:
        print(f"    again: {result.replay}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Break things.")
    parser.add_argument("--cycles", type=at_least_one, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first cycle; the next ones follow it")
    parser.add_argument("--fault", default="", help=f"only those that begin so: {', '.join(FAULTS)}")
    parser.add_argument("--results", type=Path, default=RESULTS, help="goes on from there")
    parser.add_argument(
        "--plan", type=json.loads, help="JSON: seeds, each with the beginning of a fault's name"
    )
    given = parser.parse_args(arguments)
    if not any(name.startswith(given.fault) for name in FAULTS):
        parser.error(f"no fault begins with {given.fault!r}")
    if given.plan is not None:
        return _tell_all(trio.run(run, [(seed, fault) for seed, fault in given.plan], given.results))
    wanted = {replay(seed, given.fault): seed for seed in range(given.seed, given.seed + given.cycles)}
    # One cycle alone is asked for to see it again.
    before = [one for one in read_results(given.results) if one.replay in wanted and given.cycles > 1]
    left = sorted(set(wanted.values()) - {one.seed for one in before})
    # To start a world takes long, so cycles in worlds of one kind come together.
    kinds = {seed: draw(random.Random(seed), given.fault).kind for seed in left}
    plan = [(seed, given.fault) for seed in sorted(left, key=kinds.__getitem__)]
    return _tell_all(before + trio.run(run, plan, given.results))


def _tell_all(results: list[Result]) -> int:
    print("\n".join(table(results)))
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
