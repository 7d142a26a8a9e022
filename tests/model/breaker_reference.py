"""A reference model of the breaker: what it should be after the same steps.

It is written to be read, not to be used: whole ticks instead of seconds, every figure derived from a history
that is never shortened, and time that stops at each moment at which something is due.
"""

from dataclasses import dataclass, field
from random import Random

TICK_S = 1 / 64


@dataclass(frozen=True)
class Figures:
    """A breaker's rule in ticks; open times are multiples of 8, so that every draw is a whole tick."""

    failures: int
    open: int
    open_max: int
    probes: int
    probe: int


@dataclass(eq=False)
class Call:
    """One call; `deadline` is None unless it is a probe."""

    deadline: int | None
    is_back: bool = False


@dataclass(eq=False)
class Era:
    """The time between two changes of state."""

    state: str
    began: int
    ends: int | None = None
    calls: list[Call] = field(default_factory=list)


@dataclass(eq=False)
class Asking:
    """The keeper's own call, and when the party answers it: None for never."""

    call: Call
    answers_at: int | None


class Reference:
    """What a breaker is to do."""

    def __init__(self, figures: Figures, dice: Random) -> None:
        self.figures = figures
        self.dice = dice
        self.now = 0
        self.eras = [Era("closed", 0)]
        self.ends = ["success"]  # of calls that count: "success", or the failure's line
        self.lines = [""]
        self.is_kept = False
        self.asking: Asking | None = None

    # what can be seen

    @property
    def era(self) -> Era:
        return self.eras[-1]

    @property
    def probes(self) -> list[Call]:
        return [call for call in self.era.calls if call.deadline is not None and not call.is_back]

    @property
    def failures(self) -> int:
        return self.ends[::-1].index("success")

    @property
    def next_probe_in(self) -> int | None:
        if self.era.state == "half_open":
            return 0
        return None if self.era.ends is None else self.era.ends - self.now

    def may_call(self, *, is_keeper: bool = False) -> bool:
        is_kept_free = self.is_kept and self.asking is None and not is_keeper
        return self.era.state in ("closed", "forced_closed") or (
            self.era.state == "half_open" and len(self.probes) + is_kept_free < self.figures.probes
        )

    # what can happen

    def begin(self) -> Call:
        call = Call(self.now + self.figures.probe if self.era.state == "half_open" else None)
        self.era.calls.append(call)
        return call

    def end(self, call: Call, verdict: str, line: str = "") -> None:
        call.is_back = True
        if call not in self.era.calls or self.era.state == "forced_closed" or verdict == "neutral":
            return
        if verdict == "failure":
            self.fail(line)
            if self.era.state == "half_open" or self.failures >= self.figures.failures:
                self.open()
        else:
            self.ends.append("success")
            if self.era.state == "half_open":
                self.enter("closed")

    def force(self, state: str) -> None:
        if self.era.state != state:
            self.enter(state)

    def unforce(self) -> None:
        after = {"forced_open": "half_open", "forced_closed": "closed"}
        if self.era.state in after:
            self.enter(after[self.era.state])

    def fail(self, line: str) -> None:
        self.ends.append(line)
        self.lines.append(line)

    def open(self) -> None:
        states = [era.state for era in self.eras]
        while states and states[-1] in ("open", "half_open"):
            states.pop()
        openings = sum(era.state == "open" for era in self.eras[len(states) :])
        bound = min(self.figures.open * 2**openings, self.figures.open_max)
        self.enter("open", ends=self.now + bound // 2 + bound // 8 * self.dice.randrange(5))

    def enter(self, state: str, ends: int | None = None) -> None:
        self.eras.append(Era(state, self.now, ends))
        if state.startswith("forced"):
            self.ends.append("success")

    # time

    def next_moment(self) -> int | None:
        """When the next thing is due, the keeper's included."""
        moments = [self.era.ends, *(call.deadline for call in self.probes)]
        if self.asking is not None:
            moments += [self.asking.answers_at, self.asking.call.deadline]
        return min((moment for moment in moments if moment is not None), default=None)

    def go_to(self, moment: int) -> None:
        """Time passes, and the keeper does nothing meanwhile."""
        while (due := self.next_due()) is not None and due <= moment:
            self.now = due
            if self.era.state == "open":
                self.enter("half_open")
            else:
                self.fail(f"a probe did not come back within {self.figures.probe * TICK_S:g} s")
                self.open()
        self.now = moment

    def next_due(self) -> int | None:
        if self.era.state == "open":
            return self.era.ends
        return min((call.deadline for call in self.probes if call.deadline is not None), default=None)

    def keeper_acts(self, answers_after: int | None, verdict: str, line: str) -> None:
        """The keeper does what it can at this moment, until it has to wait.

        The party would answer a probe that begins now after so many ticks (None: never), and answers one
        that ends now with this verdict.
        """
        while True:
            if self.asking is None:
                if not self.is_kept or self.era.state != "half_open" or not self.may_call(is_keeper=True):
                    return
                answers_at = None if answers_after is None else self.now + answers_after
                self.asking = Asking(self.begin(), answers_at)
            asking = self.asking
            deadline = asking.call.deadline
            assert deadline is not None
            if self.now >= deadline:
                self.end(asking.call, "neutral")  # its deadline has failed it already
            elif asking.answers_at is not None and self.now >= asking.answers_at:
                self.end(asking.call, "failure" if verdict == "neutral" else verdict, line)
            else:
                return
            self.asking = None
