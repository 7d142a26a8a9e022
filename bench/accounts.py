"""A daemon with 500 accounts, next to one with two: start, memory, and how long `ctl accounts` takes.

The real `orchestrator run` on its own database, beside the bundled site. The first start of each makes the
state and is not counted.
"""

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.daemon import Daemon, running_daemon, user_environment
from bench.figure import Aim, Figure, Report, ratio, spread
from bench.site import running_site
from orchestrator.control import client

MANY, FEW = 500, 2
LIMIT_S = 120.0
LOOK_EVERY_S = 0.02
ASKED = 5
MB = 1e6
PASSWORD = "pass-of-nobody"  # noqa: S105 - of accounts that are there for the bench alone


@dataclass(slots=True)
class Taken:
    """What was seen of the daemon with so many accounts, a value for each round."""

    ready_s: list[float] = field(default_factory=list)
    first_job_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    answer_s: list[float] = field(default_factory=list)
    command_s: list[float] = field(default_factory=list)


def measure(directory: Path, rounds: int) -> Report:
    names = [f"account{number}" for number in range(MANY)]
    with running_site(directory / "site", dict.fromkeys(names, PASSWORD)) as address:
        places = {count: _place(directory, address, names[:count]) for count in (FEW, MANY)}
        for place in places.values():
            with running_daemon(place / "orchestrator.toml", place):
                pass
        taken = {count: Taken() for count in places}
        for _ in range(rounds):
            for count, place in places.items():
                _take(place, taken[count], count)
    few, many = taken[FEW], taken[MANY]
    figures = [
        _figure("start to ready", many.ready_s, few.ready_s, Aim(1.5)),
        _figure("start to the first run of a job", many.first_job_s, few.first_job_s, Aim(1.5)),
        Figure(
            f"memory of the daemon with {MANY} accounts after its first job (PSS)",
            statistics.median(many.memory_mb),
            f"{spread(many.memory_mb, decimals=0)} MB",
            f"{spread(few.memory_mb, decimals=0)} MB with {FEW}",
            Aim(150, "MB"),
            "MB",
            0,
        ),
        Figure(
            f"`ctl accounts` of {MANY}: the daemon's answer",
            statistics.median(many.answer_s) * 1000,
            f"{spread(many.answer_s, 1000, 0)} ms; the whole command {spread(many.command_s)} s",
            f"{spread(few.answer_s, 1000, 0)} ms with {FEW}; {spread(few.command_s)} s",
            Aim(200, "ms"),
            "ms",
            0,
        ),
    ]
    return Report(figures, [f"accounts: {rounds} rounds"])


def _figure(what: str, many: list[float], few: list[float], aim: Aim) -> Figure:
    beside = f"{spread(few)} s with {FEW}"
    return Figure(
        f"{what} with {MANY} accounts, next to {FEW}", ratio(many, few), f"{spread(many)} s", beside, aim
    )


def _place(directory: Path, address: str, names: list[str]) -> Path:
    """A state directory with the settings of a daemon for these accounts."""
    place = directory / f"with-{len(names)}"
    place.mkdir(mode=0o755)
    rows = [f"{name},murmur,{name},{PASSWORD}" for name in names]
    (place / "accounts.csv").write_text("\n".join(["name,site,username,password", *rows]) + "\n")
    (place / "orchestrator.toml").write_text(
        f'state_dir = "{place}"\naccounts_file = "{place}/accounts.csv"\n'
        f'[sites.murmur]\nprofile = "microblog"\nbase_url = "{address}"\n'
        f'[log]\nfile = "{place}/daemon.log"\n'
    )
    return place


def _take(place: Path, taken: Taken, count: int) -> None:
    began = datetime.now(UTC)
    started_at = time.monotonic()
    with running_daemon(place / "orchestrator.toml", place) as daemon:
        socket = place / "control.sock"
        taken.ready_s.append(daemon.ready_after_s)
        _await_first_job(daemon, socket, began)
        taken.first_job_s.append(time.monotonic() - started_at)
        taken.memory_mb.append(psutil.Process(daemon.process.pid).memory_full_info().pss / MB)
        answers = [_timed_answer(socket, count) for _ in range(ASKED)]
        taken.answer_s.append(statistics.median(answers))
        taken.command_s.append(_timed_command(socket))


def _await_first_job(daemon: Daemon, socket: Path, began: datetime) -> None:
    end_at = time.monotonic() + LIMIT_S
    while not any(_has_run(job, began) for job in client.request(socket, "jobs")["jobs"]):
        if daemon.process.poll() is not None or time.monotonic() > end_at:
            raise RuntimeError("no job has run")
        time.sleep(LOOK_EVERY_S)


def _has_run(job: dict[str, Any], began: datetime) -> bool:
    last = job["last"]
    is_new = last is not None and datetime.fromisoformat(last["at"]) >= began.replace(microsecond=0)
    return is_new or job["state"] in ("running", "queued")


def _timed_answer(socket: Path, count: int) -> float:
    started_at = time.monotonic()
    answer = client.request(socket, "accounts", {"limit": MANY})
    took_s = time.monotonic() - started_at
    if len(answer["accounts"]) != count:
        raise RuntimeError(f"{len(answer['accounts'])} accounts were told instead of {count}")
    return took_s


def _timed_command(socket: Path) -> float:
    program = str(Path(sys.executable).with_name("orchestrator"))
    command = [program, "ctl", "--socket", str(socket), "accounts", "--limit", str(MANY)]
    started_at = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=user_environment(), check=True)
    return time.monotonic() - started_at
