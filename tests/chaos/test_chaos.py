"""A short campaign. `make chaos` is the long one: every point, every fault, as many cycles as one likes."""

import json
import os
import random
import sys
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
import trio

from orchestrator.crash import OF_POSTS
from tests.chaos import campaign
from tests.chaos.campaign import RESULTS, Result, draw, keep, main, read_results, replay, strays, table
from tests.chaos.comparison import FILES_GROWTH, MEMORY_GROWTH, Books, Footprint
from tests.chaos.faults import FAULTS, POINT
from tests.chaos.site import Document
from tests.chaos.stepped import jumping
from tests.integration.daemon import Daemon, wait_until
from tests.rows import TODAY, Row

ON_SITE: Document = {"reference": "r1", "account": "ada", "fingerprint": "f1", "in_reply_to": None}
PUBLISHED: Row = {
    "id": 1,
    "account": "ada",
    "fingerprint": "f1",
    "state": "published",
    "reference": "r1",
    "in_reply_to": None,
    "counted_on": TODAY,
    "detail": "",
}
COUNTED: Row = {"account": "ada", "day": TODAY, "posts": 1, "replies": 0}
QUEUED: Row = {**PUBLISHED, "state": "queued", "reference": None, "counted_on": None}
ANSWER: Document = {**ON_SITE, "reference": "r2", "in_reply_to": "t1"}
REPLY: Row = {**PUBLISHED, "id": 2, "reference": "r2", "in_reply_to": "t1"}
COUNTED_REPLY: Row = {**COUNTED, "posts": 0, "replies": 1}


PLANS: dict[str, list[tuple[int, str]]] = {
    "the daemon": [
        (1, f"point:{point}") for point in ("claim:after", "press:after", "send:after", "record:before")
    ],
    "its family": [(1, "point:settle_past:before"), (15, "browser"), (15, "driver"), (100, "postgres")],
    "the site": [(3, "answers"), (1, "limits"), (39, "slow"), (22, "site")],
    "its pages and its time": [(39, "renderer"), (2, "sign_out"), (17, "clock")],
    "its clock": [(5, "jump")],
    "two daemons": [(34, "standby")],
}
"""Seeds whose moment is a point after which no post waits long: the campaign has the others."""
SIDE_BY_SIDE = 2
"""Worlds at once: a cycle mostly waits."""


@pytest.mark.timeout(900)
async def test_what_is_killed_costs_no_post_and_doubles_none(tmp_path: Path) -> None:
    places = trio.CapacityLimiter(SIDE_BY_SIDE)
    said: dict[str, str] = {}

    async def live(name: str, plan: list[tuple[int, str]]) -> None:
        arguments = ["--plan", json.dumps(plan), "--results", str(tmp_path / name)]
        command = [sys.executable, "-m", "tests.chaos.campaign", *arguments]
        async with places:
            ended = await trio.run_process(command, capture_stdout=True, check=False)
        said[name] = ended.stdout.decode()

    async with trio.open_nursery() as nursery:
        for name, plan in PLANS.items():
            nursery.start_soon(live, name, plan)
    for name, plan in PLANS.items():
        results = read_results(tmp_path / name)
        assert [result.wrong for result in results] == [[] for _ in plan], said[name]
        assert [result.fault for result in results] == [fault for _, fault in plan]
        assert f"| all | {len(plan)} | 0 |" in said[name]


def test_a_clock_jumps_as_far_as_its_file_says(tmp_path: Path) -> None:
    file = tmp_path / "steps"
    file.write_text("0")
    clock = jumping(lambda: 1000.0, file)
    assert clock() == 1000.0
    file.write_text("-18.0")
    assert clock() == 982.0


def test_every_point_is_a_fault_of_its_own() -> None:
    assert [name.removeprefix(POINT) for name in FAULTS if name.startswith(POINT)] == list(OF_POSTS)


def test_a_fault_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--fault", "nonsense"])
    assert ended.value.code == 2
    assert "no fault begins with 'nonsense'" in capsys.readouterr().err


# ── the comparison finds what it is for ─────────────────────────────────────────────────────────


def test_a_post_that_both_have_once_is_well() -> None:
    assert Books().compare([ON_SITE], [PUBLISHED], [COUNTED]) == []


def test_a_post_and_answers_with_its_text_are_well() -> None:
    other = {**ANSWER, "reference": "r3", "in_reply_to": "t2"}
    replies = [REPLY, {**REPLY, "id": 3, "reference": "r3", "in_reply_to": "t2"}]
    counters = [{**COUNTED, "replies": 2}]
    assert Books().compare([ON_SITE, ANSWER, other], [PUBLISHED, *replies], counters) == []


@pytest.mark.parametrize(
    ("ledger", "posts", "counters", "words"),
    [
        ([ON_SITE, {**ON_SITE, "reference": "r2"}], [PUBLISHED], [COUNTED], "double on the site"),
        ([ON_SITE], [], [], "not published in the database"),
        ([ON_SITE], [QUEUED], [], "not published in the database"),
        ([], [PUBLISHED], [COUNTED], "which the site does not have"),
        ([{**ON_SITE, "fingerprint": "f2"}], [PUBLISHED], [COUNTED], "which the site does not have"),
        ([], [{**QUEUED, "state": "submitting", "counted_on": TODAY}], [COUNTED], "is left submitting"),
        ([], [{**QUEUED, "state": "claimed"}], [], "is left claimed"),
        ([ON_SITE], [PUBLISHED], [{**COUNTED, "posts": 2}], "counter of ada"),
        ([ON_SITE], [PUBLISHED], [], "counter of ada"),
        ([], [QUEUED], [COUNTED], "counter of ada"),
        ([], [{**QUEUED, "counted_on": TODAY}], [COUNTED], "is queued, and is counted"),
        (
            [ANSWER, {**ANSWER, "reference": "r3", "fingerprint": "f3"}],
            [REPLY],
            [COUNTED_REPLY],
            "double on the site",
        ),
        ([ANSWER], [{**REPLY, "in_reply_to": "t2"}], [COUNTED_REPLY], "which the site does not have"),
        ([ANSWER], [REPLY], [COUNTED], "counter of ada"),
    ],
)
def test_whatever_does_not_agree_is_found(
    ledger: list[Document], posts: list[Row], counters: list[Row], words: str
) -> None:
    assert words in " ".join(Books().compare(ledger, posts, counters))


@pytest.mark.parametrize(
    ("posts", "words"),
    [([], "gone from the database"), ([{**PUBLISHED, "reference": "r2"}], "was r1, and is r2")],
)
def test_what_was_there_before_must_stay(posts: list[Row], words: str) -> None:
    books = Books()
    books.compare([ON_SITE], [PUBLISHED], [COUNTED])
    assert words in " ".join(books.compare([ON_SITE], posts, [COUNTED]))


def test_an_ambiguous_post_may_be_on_the_site_or_not() -> None:
    doubtful = {**PUBLISHED, "state": "ambiguous", "reference": None}
    for ledger in ([], [ON_SITE]):
        assert Books().compare(ledger, [doubtful], [COUNTED]) == []


def test_the_table_counts_doubles_losses_and_who_settled_what_was_ambiguous() -> None:
    lost = Books().compare([], [PUBLISHED], [COUNTED])
    double = Books().compare([ON_SITE, {**ON_SITE, "reference": "r2"}], [PUBLISHED], [COUNTED])
    results = [
        Result(1, "daemon", wrong=lost, doubtful=3, left=["ada: why"], back_s=2.0),
        Result(2, "daemon", wrong=double, back_s=1.0),
        Result(3, "point:press:before"),
    ]
    heads, _, *lines = table(results)
    numbers = [dict(zip(heads.split(" | "), line.split(" | "), strict=True)) for line in lines]
    assert lines[0] == "| daemon | 2 | 2 | 1 | 1 | 3 | 2 | 1 | 2.0 s |"
    assert (numbers[0]["double"], numbers[0]["lost"], numbers[0]["settled by itself"]) == ("1", "1", "2")
    assert lines[1:] == [
        "| point | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0.0 s |",
        "| all | 3 | 2 | 1 | 1 | 3 | 2 | 1 | 2.0 s |",
    ]


# ── and so do those of what is left over, and of what has grown ─────────────────────────────────


def test_memory_that_is_kept_is_found() -> None:
    footprint = Footprint()
    assert footprint.compare(os.getpid()) == []
    leak = b"leak" * (MEMORY_GROWTH // 2)  # twice as much: what others share of our pages changes too
    assert "the daemon has grown" in " ".join(footprint.compare(os.getpid()))
    del leak


def test_files_that_stay_open_are_found(tmp_path: Path) -> None:
    footprint = Footprint()
    assert footprint.compare(os.getpid()) == []
    with ExitStack() as stack:
        for number in range(FILES_GROWTH + 1):
            stack.enter_context((tmp_path / str(number)).open("w"))
        assert "open files" in " ".join(footprint.compare(os.getpid()))


def test_another_daemon_has_a_footprint_of_its_own() -> None:
    footprint = Footprint(pid=os.getpid() + 1)
    assert footprint.compare(os.getpid()) == []


async def test_a_process_that_is_no_child_of_the_daemon_is_left_over(tmp_path: Path) -> None:
    state_dir = tmp_path / "daemon"
    state_dir.mkdir()
    async with trio.open_nursery() as nursery:
        start = partial(nursery.start, partial(trio.run_process, cwd=state_dir, check=False))
        family = Daemon(await start(["sh", "-c", "sleep 600 & wait"]), state_dir, tmp_path / "log")
        await wait_until(partial(trio.to_thread.run_sync, family.family), "it has a child")
        assert strays(tmp_path, family) == []
        other = await start(["sleep", "600"])
        [found] = strays(tmp_path, family)
        assert f"pid={other.pid}" in found
        nursery.cancel_scope.cancel()


# ── a campaign that was broken off ──────────────────────────────────────────────────────────────


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The last plan; all of its cycles go well at once."""
    lived: list[tuple[int, str]] = []

    async def live(plan: list[tuple[int, str]], path: Path) -> list[Result]:
        await trio.lowlevel.checkpoint()
        lived[:] = plan
        results = [Result(seed, "daemon", replay=replay(seed, wanted)) for seed, wanted in plan]
        for result in results:
            keep(path, result)
        return results

    monkeypatch.setattr(campaign, "run", live)
    return lived


def test_cycles_in_worlds_of_one_kind_come_together(lived: list[tuple[int, str]], tmp_path: Path) -> None:
    assert main(["--cycles", "60", "--results", str(tmp_path / RESULTS)]) == 0
    kinds = [draw(random.Random(seed), wanted).kind for seed, wanted in lived]
    assert len(lived) == 60
    assert len(list(groupby(kinds))) == len(set(kinds)) > 1


def test_what_stands_in_the_results_is_not_done_again(
    lived: list[tuple[int, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--fault", "daemon", "--results", str(tmp_path / RESULTS)]
    assert main(["--cycles", "3", *options]) == 0
    assert main(["--cycles", "5", *options]) == 0
    assert lived == [(4, "daemon"), (5, "daemon")]
    assert "| all | 5 | 0 |" in capsys.readouterr().out
    assert main(["--cycles", "1", "--seed", "3", *options]) == 0
    assert lived == [(3, "daemon")]
    keep(tmp_path / RESULTS, Result(6, "daemon", wrong=["a double"], replay=replay(6, "daemon")))
    assert main(["--cycles", "7", *options]) == 1
