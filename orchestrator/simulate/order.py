"""The same seed, the same run: trio's order of tasks made repeatable.

trio shuffles tasks that are ready at the same moment. The two private names of trio that make the shuffle
repeatable are used here and nowhere else in the package; hypothesis-trio and pytest-trio use them too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from trio._core import _run


@contextmanager
def repeatable_order(seed: int) -> Iterator[None]:
    """Within the block, `trio.run` schedules by `seed` alone; afterwards everything is as it was."""
    was_allowed, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _allow(True)
    _run._r.seed(seed)
    try:
        yield
    finally:
        _allow(was_allowed)
        _run._r.setstate(state)


def _allow(is_allowed: bool) -> None:
    _run._ALLOW_DETERMINISTIC_SCHEDULING = is_allowed  # type: ignore[misc]  # trio's plugins set it too
