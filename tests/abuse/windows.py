"""Decides which calms and attacks are measured again, since the host took CPU time, and combines them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from attrs import define, frozen

from tests.abuse.good_client import COMPOSE, READ
from tests.abuse.judgement import Compared, Disturbance, Memory, Observation
from tests.abuse.latencies import Latencies


@frozen(kw_only=True)
class Window:
    """Some seconds of calm. `phase` names the requests of the good client that were due in it; `stolen` is the share of
    CPU time that the host took, from 0 to 1.
    """

    phase: str
    stolen: float


@frozen(kw_only=True)
class AttackWindow(Window):
    """Some seconds of an attack."""

    memory: Mapping[str, Memory]
    answers: Mapping[str, int]
    admitted: tuple[str, ...] = ()


class Measured(Protocol):
    """What the good client measured."""

    def latencies(self, kind: str, phase: str) -> Latencies: ...

    def problems(self, phase: str) -> list[str]: ...


W = TypeVar("W", bound=Window)


@define(kw_only=True)
class Repetitions:
    """Bounds repetitions by their number for each window, and by their time in the whole run."""

    max_stolen: float
    per_window: int
    total_s: float
    spent_s: float = 0.0

    def is_due(self, window: Window, *, measured: int, window_s: float) -> bool:
        """Whether `window`, the last one of `measured`, is too noisy and another one of `window_s` fits in."""
        fits = measured <= self.per_window and self.spent_s + window_s <= self.total_s
        return fits and window.stolen > self.max_stolen


async def until_quiet(
    measure: Callable[[int], Awaitable[W]], repetitions: Repetitions, *, window_s: float, clock: Callable[[], float]
) -> list[W]:
    """Every window that was measured, at least one; only the last one can be quiet. `measure` is given its number, and
    `clock` returns seconds.
    """
    windows = [await measure(1)]
    while repetitions.is_due(windows[-1], measured=len(windows), window_s=window_s):
        began = clock()
        windows.append(await measure(len(windows) + 1))
        repetitions.spent_s += clock() - began
    return windows


def least_disturbed(windows: Sequence[W]) -> W:
    return min(windows, key=lambda one: one.stolen)


def observation(
    attack: str, calms: Sequence[Window], attacks: Sequence[AttackWindow], measured: Measured
) -> Observation:
    """Latencies of the least disturbed windows. Harm counts from every window of the attack: no noise excuses it."""
    calm, attacked = least_disturbed(calms), least_disturbed(attacks)
    answers = sum((Counter(one.answers) for one in attacks), Counter[str]())
    return Observation(
        attack=attack,
        latencies={
            kind: Compared(
                calm=measured.latencies(kind, calm.phase), attacked=measured.latencies(kind, attacked.phase)
            )
            for kind in (READ, COMPOSE)
        },
        memory={
            daemon: max((one.memory[daemon] for one in attacks), key=lambda memory: memory.growth_mib)
            for daemon in attacked.memory
        },
        answers=dict(answers),
        admitted=tuple(what for one in attacks for what in one.admitted),
        failures=tuple(problem for one in attacks for problem in measured.problems(one.phase)),
        calm=Disturbance(stolen=calm.stolen, measured=len(calms)),
        attacked=Disturbance(stolen=attacked.stolen, measured=len(attacks)),
    )  # fmt: skip
