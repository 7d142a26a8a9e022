"""What `make contexts` does, in short; and that it sees what stays."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bench.site import running_site
from orchestrator.browser import context as contexts
from orchestrator.browser.context import OpenContext
from tests.browser import cycles as tool
from tests.browser.cycles import cycle, open_cycles

close = contexts.close_context


@pytest.mark.timeout(300)
async def test_contexts_that_are_opened_cancelled_and_closed_leave_nothing(tmp_path: Path) -> None:
    lines: list[str] = []
    with running_site(tmp_path / "site", {}) as address:
        async with open_cycles(tmp_path / "state", address, cancelled_share=0.3, seed=1) as cycles:
            assert await cycle(cycles, 100, lines.append) == [], lines
    assert cycles.done == 100
    assert cycles.cancelled > 0, lines


async def forget_to_close(_opened: OpenContext) -> None:
    pass


async def leave_a_sender(opened: OpenContext) -> None:
    await close(opened)
    await opened.engine.playwright.request.new_context()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("leaky_close", "figures"),
    [(forget_to_close, {"contexts", "objects", "processes"}), (leave_a_sender, {"objects"})],
)
async def test_what_stays_of_each_context_is_seen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leaky_close: Callable[[OpenContext], Awaitable[None]],
    figures: set[str],
) -> None:
    monkeypatch.setattr(tool, "SETTLE_S", 1)
    monkeypatch.setattr(contexts, "close_context", leaky_close)
    with running_site(tmp_path / "site", {}) as address:
        async with open_cycles(tmp_path / "state", address, cancelled_share=0, seed=1) as cycles:
            found = await cycle(cycles, 20, lambda _line: None)
    assert figures <= {line.partition(" ")[0] for line in found}, found
