"""One for one: a crashed actor is restarted alone, with back-off, within a budget."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
import trio

from orchestrator.actors.actor import Actor, ActorState, Surroundings
from orchestrator.actors.graph import downstream_of
from orchestrator.actors.job import ASKED_BY, Job
from orchestrator.actors.mailbox import Kind, Wake
from orchestrator.actors.watch import Watch
from orchestrator.errors import ControlError, NotThereError
from orchestrator.metrics import Metrics
from orchestrator.model import Ending, Outcome
from orchestrator.retry import RetryRule

log = structlog.get_logger("supervisor")


@dataclass(frozen=True, slots=True)
class RestartRule:
    """More than `budget` crashes without a success between them, or within `window_s` seconds, and the job
    is failed until it is resumed. The first is for slow jobs, the second for those that succeed now and then.
    """

    budget: int = 5
    window_s: float = 600.0
    delay: RetryRule = RetryRule(retries=0, base_s=1.0, cap_s=60.0)


class _Crashes:
    """The crashes of one job that still count."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._in_a_row = 0
        self._success_at: datetime | None = None

    def add(self, actor: Actor, rule: RestartRule) -> None:
        now = trio.current_time()
        if actor.history.last_success_at != self._success_at:
            self._success_at, self._in_a_row = actor.history.last_success_at, 0
        self._in_a_row += 1
        self._recent.append(now)
        while self._recent[0] < now - rule.window_s:
            self._recent.popleft()

    @property
    def count(self) -> int:
        return max(self._in_a_row, len(self._recent))

    def describe(self, rule: RestartRule) -> str:
        if len(self._recent) > rule.budget:
            return f"crashed {len(self._recent)} times in {rule.window_s:.0f} s"
        return f"crashed {self._in_a_row} times in a row"

    def forget(self) -> None:
        self._recent.clear()
        self._in_a_row = 0


class Supervisor:
    """All actors of the house. Raises GraphError for dependencies that can't be."""

    def __init__(
        self,
        actors: Iterable[Actor],
        metrics: Metrics,
        surroundings: Surroundings,
        rule: RestartRule | None = None,
    ) -> None:
        listed = list(actors)
        self._downstream = downstream_of(actor.job for actor in listed)
        self.actors = {actor.job.name: actor for actor in listed}
        self._metrics = metrics
        self._house = surroundings
        self._rule = rule or RestartRule()
        self._revived = {name: trio.Event() for name in self.actors}
        self._declared = {name: actor.job for name, actor in self.actors.items()}
        """With the timing that each job has while it is not slowed down."""
        self._slowed = ""
        """Why background jobs are slowed down; empty: they are not."""

    async def run(self) -> None:
        """Keep every actor going; returns when all have drained."""
        async with trio.open_nursery() as keepers:
            keepers.start_soon(self._house.pacer.run)
            keepers.start_soon(Watch(self.actors.values(), self._house.clock).run)
            async with trio.open_nursery() as nursery:
                for actor in self.actors.values():
                    nursery.start_soon(self._keep, actor, name=f"actor:{actor.job.name}")
            keepers.cancel_scope.cancel()

    # ── events ──────────────────────────────────────────────────────────────────────────────────

    def job_ended(self, name: str, outcome: Outcome) -> None:
        """Wake whatever comes after a job that is done; a posting window may have closed."""
        if outcome.ending is Ending.DONE:
            for follower in self._downstream[name]:
                if not self.actors[follower].slowed:
                    self.wake(follower, f"{name} is done")
        for actor in self.actors.values():
            if actor.is_postponed:
                actor.mailbox.put(Wake(Kind.POKE))

    def wake(self, name: str, reason: str) -> None:
        """Make a job run soon; a job that is off stays off."""
        if name in self.actors:
            self.actors[name].mailbox.put(Wake(Kind.EVENT, reason))

    # ── for operators ───────────────────────────────────────────────────────────────────────────

    def find(self, name: str) -> Actor:
        try:
            return self.actors[name]
        except KeyError:
            known = ", ".join(sorted(self.actors))
            raise NotThereError(f"there is no job {name!r}", remedy=f"Jobs: {known}.") from None

    def pause(self, name: str | None) -> list[str]:
        """Pause one job, or all but the upkeep of the house; the names of those that are meant."""
        meant = self._but_upkeep() if name is None else [self.find(name)]
        for actor in meant:
            actor.pause()
        return [actor.job.name for actor in meant]

    def resume(self, name: str | None) -> None:
        """Resume one job or all; a failed one starts afresh."""
        for actor in self.actors.values() if name is None else [self.find(name)]:
            actor.resume()
            self._revived[actor.job.name].set()

    def run_now(self, name: str, who: str) -> None:
        """Run a job as soon as no run of it is under way, even a paused or failed one."""
        self.find(name).mailbox.put(Wake(Kind.ASKED, f"{ASKED_BY}{who}"))
        self._revived[name].set()

    def retime(self, job: Job) -> None:
        """Give a job that is here the timing of `job`, if that is another one."""
        self._declared[job.name] = job
        self._time(job)

    def slow_down(self, why: str) -> None:
        """Let background jobs run half as often, and not when another job is done; empty: as ever again."""
        if bool(why) is bool(self._slowed):
            return
        self._slowed = why
        log.warning("jobs_slowed_down", why=why) if why else log.info("jobs_as_often_as_ever")
        for job in self._declared.values():
            self._time(job)

    def _time(self, job: Job) -> None:
        actor = self.actors[job.name]
        actor.slowed = self._slowed if job.can_wait else ""
        timed = job.slowed() if actor.slowed else job
        if (actor.job.every_s, actor.job.daily_at) != (timed.every_s, timed.daily_at):
            actor.retime(timed)

    def drain(self) -> None:
        """Start no new run; `run` returns when the runs under way have ended."""
        for name, actor in self.actors.items():
            actor.drain()
            self._revived[name].set()

    def look(self) -> str:
        """How many jobs there are, and which have failed. Raises ControlError when one of them is stuck."""
        if stuck := self.stuck:
            raise ControlError(f"stuck: {', '.join(stuck)}", remedy="Restart the daemon, and report the bug")
        failed = [name for name, actor in self.actors.items() if actor.state is ActorState.FAILED]
        return f"{len(self.actors)} jobs{', failed: ' + ', '.join(failed) if failed else ''}"

    @property
    def stuck(self) -> list[str]:
        """The jobs whose tasks have not gone on when they had to."""
        return [name for name, actor in self.actors.items() if actor.is_stuck]

    @property
    def running(self) -> list[str]:
        return [name for name, actor in self.actors.items() if actor.state is ActorState.RUNNING]

    @property
    def is_paused(self) -> bool:
        """Whether all jobs but the upkeep of the house are paused."""
        jobs = self._but_upkeep()
        return bool(jobs) and all(actor.is_paused for actor in jobs)

    def _but_upkeep(self) -> list[Actor]:
        return [actor for actor in self.actors.values() if not actor.job.is_upkeep]

    # ── one for one ─────────────────────────────────────────────────────────────────────────────

    async def _keep(self, actor: Actor) -> None:
        crashes = _Crashes()
        while not actor.is_draining:
            try:
                await actor.run()
            except Exception as error:
                log.exception("actor_crashed", job=actor.job.name)
                if not actor.is_draining:
                    await self._after_crash(actor, crashes, error)
        actor.set_state(ActorState.OFF)

    async def _after_crash(self, actor: Actor, crashes: _Crashes, error: Exception) -> None:
        self._revived[actor.job.name] = trio.Event()
        crashes.add(actor, self._rule)
        self._metrics.job_restarts.labels(job_name=actor.job.name).inc()
        what = f"{type(error).__name__}: {error}"
        if crashes.count > self._rule.budget:
            await self._fail(actor, crashes, what)
            return
        delay_s = self._rule.delay.delay_s(crashes.count, self._house.rng)
        actor.set_state(ActorState.BACKING_OFF, f"{what}; restarts in {delay_s:.0f} s")
        with trio.move_on_after(delay_s):
            await self._revived[actor.job.name].wait()

    async def _fail(self, actor: Actor, crashes: _Crashes, what: str) -> None:
        name = actor.job.name
        actor.set_state(ActorState.FAILED, f"{crashes.describe(self._rule)}: {what}")
        log.error("job_failed", job=name, crashes=crashes.count, remedy=f"orchestrator ctl resume {name}")
        await self._revived[name].wait()
        crashes.forget()
