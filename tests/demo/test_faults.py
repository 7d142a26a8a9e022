import random

import pytest
import trio
import trio.testing

from orchestrator.demo.faults import Faults
from tests.demo.harness import Visitor, parse

ALERT = "p.error[role=alert]"


async def test_an_error_hides_the_page_and_the_request_is_not_carried_out(visitor: Visitor) -> None:
    await visitor.sign_in()
    await visitor.admin("faults", {"error_500": {"path": "/compose", "method": "POST"}})
    response = await visitor.write("hello")
    assert response.status_code == 500
    parse(response.text).one(ALERT)
    assert await visitor.ledger_texts() == []


async def test_an_error_after_the_work_was_done_leaves_the_post_accepted(visitor: Visitor) -> None:
    await visitor.sign_in()
    await visitor.admin("faults", {"error_500": {"method": "POST", "processed": True}})
    assert (await visitor.write("hello")).status_code == 500
    assert await visitor.ledger_texts() == ["hello"]


async def test_a_rate_limit_says_when_to_come_back(visitor: Visitor) -> None:
    await visitor.admin("faults", {"rate_limit_429": {"seconds": 12}})
    response = await visitor.http.get("/")
    assert (response.status_code, response.headers["retry-after"]) == (429, "12")


async def test_garbage_is_a_200_without_anything_of_the_page(visitor: Visitor) -> None:
    await visitor.admin("faults", {"garbage": 1})
    response = await visitor.http.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "article" not in response.text
    with pytest.raises(AssertionError):
        parse(response.text)


async def test_slow_answers_come_late_but_whole(
    visitor: Visitor, autojump_clock: trio.testing.MockClock
) -> None:
    await visitor.admin("faults", {"slow_s": 90})
    started = trio.current_time()
    assert (await visitor.get("/")).all("article.post")
    assert trio.current_time() - started >= 90


async def test_a_fault_ends_after_its_number_of_times(visitor: Visitor) -> None:
    await visitor.admin("faults", {"error_500": {"times": 2}})
    statuses = [(await visitor.http.get("/")).status_code for _ in range(4)]
    assert statuses == [500, 500, 200, 200]
    assert (await visitor.admin("faults")).json()["error_500"]["times"] == 0


async def test_a_fault_with_a_path_leaves_other_pages_alone(visitor: Visitor) -> None:
    await visitor.admin("faults", {"error_500": {"path": "/@"}})
    assert (await visitor.http.get("/@ada")).status_code == 500
    assert (await visitor.http.get("/")).status_code == 200


@pytest.mark.parametrize("fault", ["error_500", "garbage", "rate_limit_429"])
async def test_admin_and_health_are_never_at_fault(visitor: Visitor, fault: str) -> None:
    await visitor.admin("faults", {fault: 1})
    assert (await visitor.http.get("/healthz")).json()["status"] == "ok"
    assert (await visitor.admin("faults")).status_code == 200
    await visitor.admin("faults", {})
    assert (await visitor.http.get("/")).status_code == 200


async def test_a_post_that_the_site_refuses_itself_uses_up_no_hidden_answer(visitor: Visitor) -> None:
    await visitor.sign_in()
    await visitor.admin("faults", {"error_500": {"method": "POST", "processed": True, "times": 1}})
    response = await visitor.write("")
    assert response.status_code == 422
    assert (await visitor.admin("faults")).json()["error_500"]["times"] == 1


async def test_cookies_of_a_hidden_answer_are_not_set(visitor: Visitor) -> None:
    await visitor.admin("faults", {"error_500": {"path": "/sign-in", "method": "POST", "processed": True}})
    assert (await visitor.sign_in()).status_code == 500
    assert "session" not in visitor.http.cookies


def test_a_rate_is_a_share_of_the_requests() -> None:
    faults = Faults(random.Random(1))
    faults.set({"error_500": 0.25})
    taken = sum(faults.take("error_500", "GET", "/") is not None for _ in range(2000))
    assert 400 < taken < 600
    assert faults.take("garbage", "GET", "/") is None


def test_a_rate_of_nought_is_never() -> None:
    faults = Faults(random.Random(1))
    faults.set({"error_500": 0})
    assert all(faults.take("error_500", "GET", "/") is None for _ in range(100))


def test_a_time_given_back_after_the_switch_was_changed_is_lost() -> None:
    faults = Faults(random.Random(1))
    faults.set({"drop_answer": {"times": 1}})
    fault = faults.take("drop_answer", "POST", "/compose")
    assert fault is not None
    faults.set({})
    faults.give_back("drop_answer", fault)
    assert faults.on == {}
