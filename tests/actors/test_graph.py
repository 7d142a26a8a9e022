import itertools

import pytest

from orchestrator.actors.graph import as_dot, downstream_of, drawn
from orchestrator.errors import GraphError
from tests.fakes import a_job


def test_each_job_knows_what_its_success_wakes() -> None:
    jobs = [
        a_job("plan"),
        a_job("posting", after=("plan",)),
        a_job("metrics", after=("posting",)),
        a_job("learn", after=("metrics", "plan")),
    ]
    assert downstream_of(jobs) == {
        "plan": ("posting", "learn"),
        "posting": ("metrics",),
        "metrics": ("learn",),
        "learn": (),
    }


def test_a_name_that_comes_twice_is_an_error() -> None:
    with pytest.raises(GraphError, match="two jobs are named plan"):
        downstream_of([a_job("plan"), a_job("plan")])


def test_an_upstream_job_that_is_not_there_is_named_with_the_one_that_wants_it() -> None:
    with pytest.raises(GraphError, match="job posting comes after plann, which is not there"):
        downstream_of([a_job("plan"), a_job("posting", after=("plann",))])


def test_a_job_that_waits_for_itself_is_an_error() -> None:
    with pytest.raises(GraphError, match="plan → plan"):
        downstream_of([a_job("plan", after=("plan",))])


def test_a_cycle_is_named_in_the_order_of_waiting() -> None:
    jobs = [a_job("a", after=("b",)), a_job("b", after=("c",)), a_job("c", after=("a",)), a_job("d")]
    with pytest.raises(GraphError) as caught:
        downstream_of(jobs)
    ring = str(caught.value).removeprefix("the jobs wait for each other: ").split(" → ")
    waits_for = {"a": "b", "b": "c", "c": "a"}
    assert len(ring) == 4
    assert all(waits_for[one] == other for one, other in itertools.pairwise(ring))


def test_a_job_that_names_an_upstream_twice_is_woken_once() -> None:
    assert downstream_of([a_job("a"), a_job("b", after=("a", "a"))])["a"] == ("b",)


def test_the_graph_is_drawn_top_down() -> None:
    jobs = [
        a_job("plan"),
        a_job("posting", after=("plan",)),
        a_job("metrics", after=("posting",)),
        a_job("learn", after=("metrics",)),
        a_job("analytics", after=("metrics",)),
        a_job("replies", after=("plan",)),
        a_job("upkeep"),
    ]
    assert drawn(jobs).splitlines() == [
        "plan",
        "├─ posting",
        "│  └─ metrics",
        "│     ├─ learn",
        "│     └─ analytics",
        "└─ replies",
        "upkeep",
    ]


def test_a_job_after_several_is_drawn_once_below_the_deepest_and_names_the_others() -> None:
    jobs = [
        a_job("digest", after=("plan", "learn")),
        a_job("plan"),
        a_job("posting", after=("plan",)),
        a_job("learn", after=("posting",)),
    ]
    assert drawn(jobs).splitlines() == [
        "plan",
        "└─ posting",
        "   └─ learn",
        "      └─ digest (also after plan)",
    ]


def test_what_can_not_be_is_not_drawn() -> None:
    with pytest.raises(GraphError, match="wait for each other"):
        drawn([a_job("a", after=("b",)), a_job("b", after=("a",))])
    with pytest.raises(GraphError, match="comes after nobody"):
        drawn([a_job("a", after=("nobody",))])


def test_the_graph_can_be_had_for_graphviz() -> None:
    assert as_dot([a_job("a"), a_job("b", after=("a",))]).splitlines() == [
        "digraph jobs {",
        '  "a";',
        '  "b";',
        '  "a" -> "b";',
        "}",
    ]
