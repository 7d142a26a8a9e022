"""The real program while its site does not answer, and while an operator keeps it away from there."""

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.daemon import (
    Daemon,
    Document,
    check_that_nothing_is_lost_or_doubled,
    running,
    wait_until,
)

pytestmark = pytest.mark.timeout(300)

QUICK = {
    "ORCHESTRATOR_BREAKERS__FAILURES": "2",
    "ORCHESTRATOR_BREAKERS__OPEN_S": "0.5",
    "ORCHESTRATOR_BREAKERS__OPEN_MAX_S": "1",
}
RARELY_S = 20 * 86_400.0
"""In shown seconds: not within the test."""


async def breaker(daemon: Daemon) -> Document:
    """The only one."""
    [found] = (await daemon.ask("breakers"))["breakers"]
    return dict(found)


async def wait_for_breaker(daemon: Daemon, state: str) -> None:
    async def has_come() -> bool:
        return bool((await breaker(daemon))["state"] == state)

    await wait_until(has_come, f"the breaker is {state}", daemon.said)


async def figure(daemon: Daemon, name: str, **labels: str) -> float:
    """The sum of the metric's series with these labels."""
    address = (await daemon.status())["links"]["health"].replace("/readyz", "/metrics")
    async with httpx.AsyncClient() as http:
        text = (await http.get(address)).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    assert found, f"there is no {name} with {labels}"
    return sum(found)


async def probes(daemon: Daemon) -> float:
    return await figure(daemon, "orchestrator_circuit_breaker_transitions_total", to="half_open")


async def wait_for_probes(daemon: Daemon, count: int) -> None:
    until = await probes(daemon) + count

    async def are_made() -> bool:
        return await probes(daemon) >= until

    await wait_until(are_made, f"the site is looked at {count} times more", daemon.said)


async def wait_until_no_context_is_used(daemon: Daemon) -> None:
    async def are_free() -> bool:
        return all(slot["lease"] is None for slot in (await daemon.status())["slots"])

    await wait_until(are_free, "no context is used", daemon.said)


async def wait_for_posts(daemon: Daemon, more: int) -> None:
    until = len(await daemon.ledger()) + more

    async def are_there() -> bool:
        return len(await daemon.ledger()) >= until

    await wait_until(are_there, f"the site has {more} more posts", daemon.said)


async def wait_until_a_queued_post_is_due(daemon: Daemon) -> None:
    async def is_due() -> bool:
        now = (await daemon.status())["clock"]["now"]
        overdue = f"due_at < timestamptz '{now}' - interval '15 min'"
        return bool(await daemon.query(f"SELECT 1 FROM posts WHERE state = 'queued' AND {overdue}"))

    await wait_until(is_due, "a post is overdue", daemon.said)


async def test_a_site_that_does_not_answer_is_left_alone_and_posting_goes_on_by_itself(
    state_dir: Path,
) -> None:
    async with running(state_dir, environment=QUICK) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, 2)
        await daemon.set_faults(error_500={})
        await wait_for_probes(daemon, 1)
        await wait_until_no_context_is_used(daemon)
        leases = await figure(daemon, "orchestrator_leases_total")
        await wait_for_probes(daemon, 3)
        assert await figure(daemon, "orchestrator_leases_total") == leases  # nobody goes there meanwhile

        assert await daemon.mode() == "degraded"
        assert (await daemon.readyz())[0] == 200
        status = await daemon.status()
        [problem] = [one for one in status["problems"] if "site:" in one["what"]]
        assert "does not answer" in problem["what"]
        assert "answers 500" in problem["what"]
        assert "orchestrator ctl breakers" in problem["remedy"]
        assert problem["since"]
        why = " ".join((await daemon.ask("why", job="posting"))["lines"])
        assert "no site is to be asked now" in why

        await daemon.ask("pause")  # no job asks for the site: it is looked at all the same
        await daemon.set_faults()
        await wait_for_breaker(daemon, "closed")
        await daemon.wait_for_mode("ready")
        await daemon.ask("resume")
        await wait_for_posts(daemon, 2)
        await check_that_nothing_is_lost_or_doubled(daemon)


async def test_a_job_that_gave_up_before_the_breaker_opened_comes_back_when_it_closes(
    state_dir: Path,
) -> None:
    environment = {
        **QUICK,
        "ORCHESTRATOR_BREAKERS__FAILURES": "4",  # as many as `posting` has tries
        "ORCHESTRATOR_JOBS__POSTING__EVERY_S": str(RARELY_S),
    }
    async with running(state_dir, environment=environment) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, 1)

        async def is_queued() -> bool:
            return bool(await daemon.query("SELECT 1 FROM posts WHERE state = 'queued'"))

        await wait_until(is_queued, "a post is queued", daemon.said)
        await daemon.ask("pause")
        await wait_until_a_queued_post_is_due(daemon)
        await daemon.set_faults(error_500={})
        await daemon.ask("resume", job="posting")
        await daemon.ask("run", job="posting")

        async def has_given_up() -> bool:
            return (await daemon.job("posting")).get("gave_up") is not None

        await wait_until(has_given_up, "posting has given up", daemon.said)
        await wait_for_probes(daemon, 1)
        await daemon.set_faults()
        await wait_for_posts(daemon, 1)
        await check_that_nothing_is_lost_or_doubled(daemon)


async def test_a_breaker_forced_open_holds_over_a_restart_until_it_decides_again(state_dir: Path) -> None:
    async with running(state_dir, environment=QUICK) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, 1)
        name = (await breaker(daemon))["name"]
        answer = await daemon.ask("breaker", breaker=name, order="open")
        assert f"orchestrator ctl breaker {name} auto" in answer["message"]
        await daemon.ask("drain")
        assert await daemon.ended() == 0
    environment = {**QUICK, "ORCHESTRATOR_JOBS__POSTING__EVERY_S": str(RARELY_S)}
    async with running(state_dir, environment=environment) as daemon:
        await daemon.wait_for_mode("degraded")
        assert (await breaker(daemon))["state"] == "forced_open"
        [problem] = [one for one in (await daemon.status())["problems"] if name in one["what"]]
        assert "by order of" in problem["what"]
        assert f"orchestrator ctl breaker {name} auto" in problem["remedy"]
        before = await daemon.ledger()

        await wait_until_a_queued_post_is_due(daemon)
        assert await figure(daemon, "orchestrator_leases_total") == 0
        assert await daemon.ledger() == before

        await daemon.ask("pause", job="plan")  # which wakes posting too
        await daemon.ask("breaker", breaker=name, order="auto")
        await wait_for_posts(daemon, 1)
        again = await daemon.query("SELECT job FROM job_runs WHERE trigger LIKE '%may be asked again'")
        assert "posting" in {row["job"] for row in again}
        await daemon.ask("resume")
        await wait_for_posts(daemon, 1)
        await check_that_nothing_is_lost_or_doubled(daemon)
