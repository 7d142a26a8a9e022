"""Looks at the parts of the house, each by name, with what to do when one is down."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from random import Random

import structlog
import trio

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError, StateDirectoryError
from orchestrator.metrics import Metrics
from orchestrator.model import CheckResult, CheckState
from orchestrator.retry import RetryRule, root_of

RECHECK_S = 2.0
"""Between two looks at something that is down."""
MIN_FREE_BYTES = 100 * 2**20
"""Below this the disk counts as full: PostgreSQL needs room for its log."""

log = structlog.get_logger("checks")


@dataclass(frozen=True, slots=True)
class Check:
    """One look. `probe` returns a detail for people, and raises an OrchestratorError when all is not well."""

    name: str
    probe: Callable[[], Awaitable[str]]
    is_critical: bool = True
    limit_s: float = 20.0
    """A probe that takes longer counts as down."""


class Checks:
    """All checks and what each one showed last."""

    def __init__(self, clock: Clock, metrics: Metrics, redact: Callable[[str], str] = str) -> None:
        """`redact` takes secrets out of what is said of a part."""
        self._clock = clock
        self._redact = redact
        self._metrics = metrics
        self._checks: dict[str, Check] = {}
        self.results: dict[str, CheckResult] = {}
        self.down_since: dict[str, datetime] = {}

    def add(self, check: Check) -> None:
        """A part of the house that will be looked at; until then its state is pending."""
        self._checks[check.name] = check
        self.results[check.name] = CheckResult(check.name, CheckState.PENDING, check.is_critical)
        self._metrics.declare_check(check.name)

    @property
    def is_all_up(self) -> bool:
        """Whether every critical check holds."""
        return all(r.state is CheckState.UP for r in self.results.values() if r.is_critical)

    @property
    def down(self) -> list[CheckResult]:
        return [result for result in self.results.values() if result.state is CheckState.DOWN]

    def is_down(self, name: str) -> bool:
        return name in self.results and self.results[name].state is CheckState.DOWN

    async def look(self, name: str) -> CheckResult:
        """Look at one part now."""
        check = self._checks[name]
        start = trio.current_time()
        result = await _look(check)
        duration_s = trio.current_time() - start
        result = replace(result, detail=self._redact(result.detail), duration_s=duration_s)
        self._note(result)
        return result

    async def look_at_all(self) -> list[CheckResult]:
        """Look at everything, side by side."""
        async with trio.open_nursery() as nursery:
            for name in self._checks:
                nursery.start_soon(self.look, name)
        return list(self.results.values())

    async def watch_for_recovery(self, on_look: Callable[[], None]) -> None:
        """For ever, look often at whatever is down, each part by itself; `on_look` is called after each."""
        async with trio.open_nursery() as nursery:
            for name in self._checks:
                nursery.start_soon(self._watch, name, on_look)

    async def _watch(self, name: str, on_look: Callable[[], None]) -> None:
        while True:
            await trio.sleep(RECHECK_S)
            if self.is_down(name):
                await self.look(name)
            on_look()

    async def insist(self, name: str, rule: RetryRule, rng: Random) -> CheckResult:
        """Look until it is up, by `rule` at most; the last result. For the start (A1.1)."""
        for tried in range(1, rule.retries + 2):
            result = await self.look(name)
            if result.state is CheckState.UP or tried > rule.retries:
                break
            delay_s = rule.delay_s(tried, rng)
            log.warning("check_failed", check=name, detail=result.detail, retry_in_s=round(delay_s, 2))
            await trio.sleep(delay_s)
        return result

    def _note(self, result: CheckResult) -> None:
        before = self.results[result.name].state
        self.results[result.name] = result
        is_up = result.state is CheckState.UP
        self._metrics.check_up.labels(check=result.name).set(is_up)
        self._metrics.check_seconds.labels(check=result.name).observe(result.duration_s)
        if is_up:
            self.down_since.pop(result.name, None)
        else:
            self.down_since.setdefault(result.name, self._clock.now())
        if is_up and before is CheckState.DOWN:
            log.info("check_recovered", check=result.name)
        elif not is_up and before is not CheckState.DOWN:
            log.error("check_down", check=result.name, detail=result.detail, remedy=result.remedy)


async def _look(check: Check) -> CheckResult:
    detail, remedy = f"no answer within {check.limit_s:g} s", ""
    with trio.move_on_after(check.limit_s):
        try:
            detail = await check.probe()
            return CheckResult(check.name, CheckState.UP, check.is_critical, detail=detail)
        except* Exception as group:
            # A cancellation that comes with the error goes on: `except*` leaves it alone.
            error = root_of(group)
            if isinstance(error, OrchestratorError):
                detail, remedy = str(error), error.remedy
            else:
                log.exception("check_crashed", check=check.name)
                detail = f"bug in the check: {type(error).__name__}: {error}"
    return CheckResult(check.name, CheckState.DOWN, check.is_critical, detail=detail, remedy=remedy)


class Disk:
    """The disk that the state directory is on."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._limiter = trio.CapacityLimiter(1)  # a disk that hangs keeps one thread, and none of trio's own

    async def probe(self) -> str:
        """The state directory takes writes and has room. Raises StateDirectoryError."""
        return await trio.to_thread.run_sync(
            _look_at_disk, self._state_dir, limiter=self._limiter, abandon_on_cancel=True
        )


def _look_at_disk(state_dir: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=state_dir) as probe:
            probe.write(b"probe")
        free_bytes = shutil.disk_usage(state_dir).free
    except OSError as error:
        raise StateDirectoryError(
            f"the state directory {state_dir} can't be written: {error.strerror}",
            remedy="Mend its rights or free some space.",
        ) from error
    if free_bytes < MIN_FREE_BYTES:
        raise StateDirectoryError(
            f"only {free_bytes / 2**20:.0f} MiB are free in {state_dir}",
            remedy=f"Free some space; {MIN_FREE_BYTES / 2**20:.0f} MiB are needed.",
        )
    return f"{free_bytes / 2**30:.1f} GiB free"
