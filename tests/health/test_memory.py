"""The decisions: figures, limits and standing in, standing and actions out."""

from pathlib import Path

import pytest

from orchestrator.errors import SettingsError
from orchestrator.health.memory import (
    CALM_LOOKS,
    GROW_WAIT_S,
    MB,
    Actions,
    ContextFigures,
    ExtraFigures,
    Figures,
    Limits,
    Standing,
    Step,
    cgroup_limit_bytes,
    decide,
    limits_of,
    why_not,
)
from orchestrator.settings import MemorySettings, Settings

LIMITS = Limits(400 * MB, 450 * MB, 100 * MB, has_extra=True, source="")
PLENTY = 8000 * MB
NOTHING = Actions()


def figures(used_mb: float, *contexts: ContextFigures, **others: object) -> Figures:
    return Figures(int(used_mb * MB), **{"available_bytes": PLENTY, "contexts": contexts} | others)  # type: ignore[arg-type]


def idle(slot: int, size_mb: int = 20) -> ContextFigures:
    return ContextFigures(slot, size_mb * MB, is_open=True)


def used(slot: int, size_mb: int = 20, *, is_critical: bool = False) -> ContextFigures:
    return ContextFigures(slot, size_mb * MB, is_open=True, is_used=True, is_critical=is_critical)


def empty(slot: int) -> ContextFigures:
    return ContextFigures(slot, 0, is_open=False)


@pytest.mark.parametrize(
    ("used_mb", "before", "after"),
    [
        (399, Step.NONE, Step.NONE),
        (400, Step.NONE, Step.NONE),
        (401, Step.NONE, Step.PAUSED),
        (401, Step.PAUSED, Step.CLOSED),
        (401, Step.CLOSED, Step.SWEPT),
        (450, Step.SWEPT, Step.SWEPT),  # new work is refused above the critical limit alone
        (450, Step.REFUSED, Step.REFUSED),
        (451, Step.NONE, Step.SWEPT),  # at once all that frees memory
        (451, Step.CLOSED, Step.SWEPT),
        (451, Step.SWEPT, Step.REFUSED),
        (451, Step.REFUSED, Step.REFUSED),
        (361, Step.PAUSED, Step.PAUSED),  # between calm and warning all stays
        (361, Step.REFUSED, Step.REFUSED),
        (359, Step.REFUSED, Step.SWEPT),  # and back one by one in the reverse order
        (359, Step.SWEPT, Step.CLOSED),
        (359, Step.CLOSED, Step.PAUSED),
        (359, Step.PAUSED, Step.NONE),
        (359, Step.NONE, Step.NONE),
    ],
)
def test_steps_up_and_down(used_mb: float, before: Step, after: Step) -> None:
    standing, _ = decide(figures(used_mb), LIMITS, Standing(before))
    assert standing.step is after


@pytest.mark.parametrize(
    ("used_mb", "before", "closed", "sweeps"),
    [
        (401, Step.NONE, (), False),
        (401, Step.PAUSED, (1,), False),
        (401, Step.CLOSED, (1,), True),
        (451, Step.NONE, (1,), True),
        (451, Step.SWEPT, (1,), True),
        (390, Step.SWEPT, (), False),  # nothing is closed or swept that need not be
        (359, Step.SWEPT, (), False),
    ],
)
def test_idle_contexts_are_closed_before_caches_are_swept(
    used_mb: float, before: Step, closed: tuple[int, ...], sweeps: bool
) -> None:
    _, actions = decide(figures(used_mb, used(0), idle(1), empty(2)), LIMITS, Standing(before))
    assert (actions.close, actions.sweep) == (closed, sweeps)


@pytest.mark.parametrize(
    ("context", "used_mb", "closed", "cut_off"),
    [
        (idle(0, 100), 300, (), ()),
        (idle(0, 101), 300, (0,), ()),
        (used(0, 101), 300, (0,), ()),  # at the end of its use
        (used(0, 200), 300, (0,), ()),
        (used(0, 201), 300, (), (0,)),  # twice its limit: in the middle of it
        (used(0, 101), 451, (), (0,)),  # and the limit itself is enough when the house is in danger
        (used(0, 100), 451, (), ()),
        (used(0, 900, is_critical=True), 999, (0,), ()),  # a post is never cut off
    ],
)
def test_a_context_above_its_limit_is_renewed(
    context: ContextFigures, used_mb: float, closed: tuple[int, ...], cut_off: tuple[int, ...]
) -> None:
    _, actions = decide(figures(used_mb, context), LIMITS, Standing())
    assert (actions.close, actions.cut_off) == (closed, cut_off)


@pytest.mark.parametrize(
    ("used_mb", "wait_s", "available_mb", "is_added"),
    [
        (200, GROW_WAIT_S, 8000, True),
        (200, GROW_WAIT_S - 1, 8000, False),
        (261, GROW_WAIT_S, 8000, False),  # with a context of 100 MB we would be above 90 % of 400
        (200, GROW_WAIT_S, 199, False),
    ],
)
def test_a_context_is_added_when_background_waits_and_memory_allows_it(
    used_mb: float, wait_s: float, available_mb: int, is_added: bool
) -> None:
    seen = figures(used_mb, background_wait_s=wait_s, available_bytes=available_mb * MB)
    assert decide(seen, LIMITS, Standing())[1].add is is_added


def test_no_context_is_added_beside_the_added_one_nor_while_work_is_shed_nor_against_the_settings() -> None:
    extra = ExtraFigures(3, is_spare=False)
    assert decide(figures(200, background_wait_s=99, extra=extra), LIMITS, Standing())[1] == NOTHING
    assert not decide(figures(200, background_wait_s=99), LIMITS, Standing(Step.CLOSED))[1].add
    forbidden = Limits(400 * MB, 450 * MB, 100 * MB, has_extra=False, source="")
    assert decide(figures(200, background_wait_s=99), forbidden, Standing())[1] == NOTHING


@pytest.mark.parametrize(
    ("used_mb", "slot", "is_spare", "withdrawn"),
    [
        (200, 3, True, None),
        (401, 3, True, 3),
        (401, 2, False, 2),  # its run goes on, and gives it back at its end
        (401, None, False, None),  # one is on its way out
    ],
)
def test_the_added_context_is_withdrawn_when_memory_is_short(
    used_mb: float, slot: int | None, is_spare: bool, withdrawn: int | None
) -> None:
    extra = ExtraFigures(slot, is_spare)
    assert decide(figures(used_mb, extra=extra), LIMITS, Standing())[1].withdraw == withdrawn


def test_the_added_context_is_withdrawn_when_nobody_has_wanted_it_for_a_while() -> None:
    free, taken = (ExtraFigures(3, is_spare) for is_spare in (True, False))
    standing = Standing()
    for extra in (free, taken, *[free] * (CALM_LOOKS - 1)):
        standing, actions = decide(figures(200, extra=extra), LIMITS, standing)
        assert actions == NOTHING
    assert decide(figures(200, extra=free), LIMITS, standing)[1].withdraw == 3


@pytest.mark.parametrize(
    ("step", "allowed"),
    [
        (Step.NONE, {0, 1, 2, 3, 10}),
        (Step.PAUSED, {0, 1, 2}),
        (Step.CLOSED, {0, 1, 2}),
        (Step.SWEPT, {0, 1, 2}),
        (Step.REFUSED, {0}),
    ],
)
def test_which_jobs_start_runs(step: Step, allowed: set[int]) -> None:
    assert {priority for priority in (0, 1, 2, 3, 10) if why_not(step, priority) is None} == allowed


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("machine_mb", "cgroup_mb", "warning_mb", "critical_mb"),
    [
        (1000, None, 400, 450),  # half of the machine's
        (24_000, None, 1400, 1575),  # what three contexts need at most
        (24_000, 1000, 800, 900),  # the cgroup's
        (24_000, 8000, 1400, 1575),
    ],
)
def test_limits_follow_from_the_machine(
    machine_mb: int, cgroup_mb: int | None, warning_mb: int, critical_mb: int
) -> None:
    cgroup_bytes = None if cgroup_mb is None else cgroup_mb * MB
    limits = limits_of(MemorySettings(), 3, machine_mb * MB, cgroup_bytes)
    assert (limits.warning_bytes, limits.critical_bytes) == (warning_mb * MB, critical_mb * MB)


def test_settings_go_before_the_machine() -> None:
    limits = limits_of(MemorySettings(warning_mb=400, critical_mb=450, context_mb=80), 3, PLENTY, None)
    assert limits == Limits(400 * MB, 450 * MB, 80 * MB, has_extra=True, source="from the settings")


@pytest.mark.parametrize("wrong", [{"warning_mb": 400}, {"warning_mb": 450, "critical_mb": 450}])
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=r"^memory .*critical_mb"):
        Settings.load(overrides={"memory": wrong}, environ={})


def test_the_least_limit_of_our_cgroup_and_those_above_counts(tmp_path: Path) -> None:
    unit = tmp_path / "system.slice" / "orchestrator.service"
    unit.mkdir(parents=True)
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/orchestrator.service\n")
    assert cgroup_limit_bytes(tmp_path, own) is None
    (unit / "memory.max").write_text("max\n")
    assert cgroup_limit_bytes(tmp_path, own) is None
    (unit / "memory.high").write_text("900000000\n")
    (unit.parent / "memory.max").write_text("700000000\n")
    assert cgroup_limit_bytes(tmp_path, own) == 700_000_000


def test_the_first_version_of_cgroups_is_understood_too(tmp_path: Path) -> None:
    (tmp_path / "memory" / "box").mkdir(parents=True)
    own = tmp_path / "cgroup"
    own.write_text("9:name=systemd:/\n4:memory:/box\n0::/\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroup_limit_bytes(tmp_path, own) is None
    (tmp_path / "memory" / "box" / "memory.limit_in_bytes").write_text("600000000\n")
    assert cgroup_limit_bytes(tmp_path, own) == 600_000_000
