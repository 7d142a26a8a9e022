"""The short soak, and what its verdict says of lines that are known."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from tests.soak.picture import draw
from tests.soak.run import SPEED, soak
from tests.soak.samples import PARTS, Sample, members_of
from tests.soak.verdict import LIMITS, judge
from tests.weight import own_bytes

MINUTES = 1.0


def line(daemon_mb: Callable[[float], float], minutes: int = 60) -> list[Sample]:
    rest = dict.fromkeys(PARTS, 50.0)
    return [Sample(m, {**rest, "daemon": daemon_mb(m)}, 100, 10, 50) for m in map(float, range(minutes))]


@pytest.mark.parametrize(
    ("daemon_mb", "is_flat"),
    [
        (lambda _minute: 70, True),
        (lambda minute: 70 + min(minute, 10) * 5, True),  # it warms up and stays
        (lambda minute: 70 + 8 * (minute % 2), True),  # it goes up and down
        (lambda minute: 70 + minute % 3 * minute, True),  # it works harder from time to time, then rests
        (lambda minute: 70 + minute * 0.3, False),  # a leak of 13 MB in 45 minutes
        (lambda minute: 70 + minute * 0.3 + 80 * (minute % 3), False),  # the same in a daemon that works
    ],
)
def test_a_leak_is_told_from_a_warm_up(daemon_mb: Callable[[float], float], is_flat: bool) -> None:
    findings = {finding.limit.name: finding for finding in judge(line(daemon_mb))}
    assert findings["memory of the daemon"].is_flat is is_flat
    assert findings["open files"].is_flat
    assert ("GROWS" in str(findings["memory of the daemon"])) is not is_flat


def test_too_few_samples_are_no_proof() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge(line(lambda _minute: 70, minutes=9))


@contextmanager
def at_work(program: Path) -> Iterator[int]:
    """The id of a process of a copy of `cat`, which has begun and waits."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdout.read(1)
        yield process.pid
        process.stdin.close()


def test_a_process_weighs_the_same_whoever_else_runs_its_program(tmp_path: Path) -> None:
    program = Path(shutil.copy("/bin/cat", tmp_path / "program"))
    with at_work(program) as one:
        alone = own_bytes(one)
        with at_work(program):
            assert own_bytes(one) == alone > 0
    assert own_bytes(one) == 0


WITH_AN_ENDED_CHILD = """
import os, sys
ended = os.fork() or os._exit(0)
os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
if os.fork():
    print(ended, flush=True)
sys.stdin.read()
"""


def test_a_renderer_that_ends_does_not_take_the_others_out_of_the_sample() -> None:
    command = [sys.executable, "-c", WITH_AN_ENDED_CHILD, "run-driver"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ended = int(process.stdout.readline())
        found = [(part, one.pid) for part, one in members_of(psutil.Process(process.pid)) if one.pid != ended]
        process.stdin.close()
    assert [part for part, _ in found] == ["driver", "browser"]
    assert found[0][1] == process.pid


def test_the_picture_is_whole() -> None:
    root = ElementTree.fromstring(draw(line(lambda _minute: 70), SPEED))
    areas = root.findall("{http://www.w3.org/2000/svg}polygon")
    assert len(areas) == len(PARTS)


@pytest.mark.timeout(280)
def test_a_short_soak_of_the_real_program_holds_the_line(tmp_path: Path) -> None:
    """A minute is no proof that nothing leaks; it is one that the soak works and nothing runs away."""
    samples_file = tmp_path / "soak.jsonl"
    samples = soak(MINUTES, samples_file, show=False)
    assert len(samples_file.read_text().splitlines()) == len(samples)
    assert all(size > 0 for size in samples[-1].memory_mb.values())
    assert samples[-1].published > 0
    runaway = [str(finding) for finding in judge(samples) if finding.growth > 10 * finding.limit.most]
    assert not runaway
    assert {limit.name for limit in LIMITS} == {finding.limit.name for finding in judge(samples)}
