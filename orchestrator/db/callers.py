"""Who asks for a connection, and from where: cheap to note each time, put into words only when needed."""

import sys
from dataclasses import dataclass
from types import CodeType, FrameType

import trio

DEPTH = 8
"""Frames noted; the innermost are the ones that tell."""
_ACTOR = "actor:"
_RUNNER = trio.run.__code__.co_filename
"""Below it there is nothing of ours."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The task that asked, and where it stood then."""

    owner: str
    """A job, such as "job posting", or the task's name."""
    frames: tuple[tuple[CodeType, int], ...]
    """Code and line, innermost first. No frames: these would keep everything alive that they see."""

    def stack(self) -> list[str]:
        """The places, innermost first."""
        return [f"{code.co_filename}:{line} in {code.co_qualname}" for code, line in self.frames]


def caller() -> Caller:
    """Whoever called the function that calls this one. On the trio side."""
    return Caller(_owner(), _frames())


def _owner() -> str:
    """The job whose actor the task belongs to, or the task itself."""
    own = trio.lowlevel.current_task()
    task: trio.lowlevel.Task | None = own
    while task is not None:
        if task.name.startswith(_ACTOR):
            return f"job {task.name.removeprefix(_ACTOR)}"
        task = task.parent_nursery.parent_task if task.parent_nursery is not None else None
    return f"task {own.name.rpartition('.')[2]}"


def _frames() -> tuple[tuple[CodeType, int], ...]:
    frame: FrameType | None = sys._getframe(3)
    found: list[tuple[CodeType, int]] = []
    while frame is not None and len(found) < DEPTH and frame.f_code.co_filename != _RUNNER:
        found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)
