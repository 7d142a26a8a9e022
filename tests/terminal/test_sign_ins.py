"""`ctl accounts --watch`: a bar until there is no sign-in to come."""

import io
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from orchestrator.terminal.sign_ins import watch_sign_ins


class Daemon:
    """Signs in so many at each look."""

    def __init__(self, *counts: tuple[int, int, int], barred: tuple[str, ...] = ()) -> None:
        self._counts: Iterator[tuple[int, int, int]] = iter(counts)
        self._barred = barred
        self.pauses = 0

    def ask(self, verb: str, **args: Any) -> Any:
        if verb == "why":
            assert args == {"job": "onboarding"}
            return {"lines": ["Running for 3 s: 3 signed in; now bert."]}
        assert verb == "accounts"
        if args["limit"] > 1:
            signed_in = [{"name": "ada", "signed_in_at": "2026-05-04T10:00:00+00:00"}]
            return {
                "accounts": [*signed_in, *({"name": name, "signed_in_at": None} for name in self._barred)]
            }
        done, to_come, barred = next(self._counts)
        return {"sign_ins": {"signed_in": done, "to_come": to_come, "barred": barred}}

    def pause(self) -> None:
        self.pauses += 1


def watch(daemon: Daemon, *, is_terminal: bool = False) -> tuple[bool, str]:
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, width=120)
    return watch_sign_ins(daemon.ask, console, daemon.pause), output.getvalue()


def test_outside_a_terminal_each_change_is_a_line() -> None:
    daemon = Daemon((0, 5, 0), (0, 5, 0), (3, 2, 0), (5, 0, 0))
    assert watch(daemon) == (
        True,
        "0 of 5 signed in\n3 of 5 signed in\n5 of 5 signed in\nAll 5 accounts are signed in.\n",
    )
    assert daemon.pauses == 3


def test_in_a_terminal_there_is_a_bar_and_what_the_job_does() -> None:
    is_all, output = watch(Daemon((3, 2, 0), (5, 0, 0)), is_terminal=True)
    assert is_all
    assert "━" in output
    assert "3/5" in output
    assert "now bert" in output


def test_accounts_that_can_not_be_signed_in_are_named_and_not_waited_for() -> None:
    is_all, output = watch(Daemon((3, 1, 1), (4, 0, 1), barred=("bert",)))
    assert not is_all
    assert output.splitlines()[-1] == (
        "4 accounts are signed in; 1 can't be: bert. See: orchestrator ctl accounts bert"
    )


def test_what_comes_meanwhile_is_waited_for_too() -> None:
    is_all, output = watch(Daemon((4, 1, 0), (4, 3, 0), (7, 0, 0)))
    assert is_all
    assert output.splitlines()[:2] == ["4 of 5 signed in", "4 of 7 signed in"]
