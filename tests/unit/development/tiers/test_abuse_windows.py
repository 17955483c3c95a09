"""A calm or an attack during which the host took CPU time is measured again, within bounds, and no harm is lost."""

from __future__ import annotations

import pytest
from attrs import define

from tests.abuse.good_client import GoodClient, Sample
from tests.abuse.judgement import Limits, Memory, not_judged, problems
from tests.abuse.windows import AttackWindow, Repetitions, Window, observation, until_quiet

WINDOW_S = 10.0


@define
class Host:
    """Takes these shares of the CPU time, window by window. A window takes WINDOW_S and 2 s more."""

    shares: list[float]
    now_s: float = 0.0

    async def measure(self, number: int) -> Window:
        self.now_s += WINDOW_S + 2.0
        return Window(phase=f"calm {number}", stolen=self.shares.pop(0))

    async def windows(self, repetitions: Repetitions) -> list[Window]:
        return await until_quiet(self.measure, repetitions, window_s=WINDOW_S, clock=lambda: self.now_s)


def repetitions(*, per_window: int = 2, total_s: float = 1000.0) -> Repetitions:
    return Repetitions(max_stolen=0.03, per_window=per_window, total_s=total_s)


@pytest.mark.parametrize(
    ("shares", "measured"),
    [
        ([0.0], 1),
        ([0.03], 1),
        ([0.04, 0.01], 2),
        ([0.2, 0.1, 0.0], 3),
        ([0.2, 0.1, 0.3], 3),
    ],
    ids=["calm", "at the limit", "noisy once", "noisy twice", "noisy for ever"],
)
async def test_a_noisy_window_is_measured_again_at_most_twice(shares: list[float], measured: int) -> None:
    windows = await Host([*shares]).windows(repetitions())
    assert [one.stolen for one in windows] == shares
    assert [one.phase for one in windows] == [f"calm {number}" for number in range(1, measured + 1)]


async def test_the_time_of_all_repetitions_in_a_run_is_bounded() -> None:
    allowed, host = repetitions(total_s=35.0), Host([0.5] * 100)
    assert [len(await host.windows(allowed)) for _ in range(4)] == [3, 2, 1, 1]
    assert allowed.spent_s == 3 * (WINDOW_S + 2.0)


async def test_a_first_measurement_costs_no_repetition() -> None:
    allowed = repetitions(total_s=35.0)
    await Host([0.0]).windows(allowed)
    assert allowed.spent_s == 0.0


async def test_without_repetitions_each_window_is_measured_once() -> None:
    assert len(await Host([0.5]).windows(repetitions(total_s=0.0))) == 1


def client(*samples: tuple[str, float, str | None]) -> GoodClient:
    """One that has read and composed: phase, milliseconds and what went wrong."""
    return GoodClient(
        port=0, key="", host_ids=(),
        samples=[
            Sample(phase=phase, kind=kind, took_ms=took_ms, problem=problem)
            for phase, took_ms, problem in samples for kind in ("read", "compose")
        ],
    )  # fmt: skip


def attacked(phase: str, stolen: float, *, peak_mib: float = 100.0, admitted: tuple[str, ...] = ()) -> AttackWindow:
    memory = {"region": Memory(before_mib=90.0, peak_mib=peak_mib)}
    return AttackWindow(phase=phase, stolen=stolen, memory=memory, answers={"401": 5}, admitted=admitted)


CALMS = [Window(phase="calm 1", stolen=0.2), Window(phase="calm 2", stolen=0.01)]
SAMPLES = (("calm 1", 900.0, None), ("calm 2", 50.0, None))


def test_latencies_are_those_of_the_least_disturbed_windows() -> None:
    attacks = [attacked("attack 1", 0.1), attacked("attack 2", 0.02)]
    measured = client(*SAMPLES, ("attack 1", 5000.0, None), ("attack 2", 140.0, None))
    found = observation("logins", CALMS, attacks, measured)
    assert {kind: (one.calm.p99_ms, one.attacked.p99_ms) for kind, one in found.latencies.items()} == {
        "read": (50.0, 140.0), "compose": (50.0, 140.0),
    }  # fmt: skip
    assert (found.calm.stolen, found.calm.measured) == (0.01, 2)
    assert (found.attacked.stolen, found.attacked.measured) == (0.02, 2)
    assert problems(found, Limits()) == ()
    assert not_judged(found, Limits()) is None


def test_an_attack_is_compared_with_its_own_calm() -> None:
    measured = client(*SAMPLES, ("attack 1", 160.0, None))
    missed = problems(observation("logins", CALMS, [attacked("attack 1", 0.0)], measured), Limits())
    assert [one.partition(",")[0] for one in missed] == ["p99 of read is 160 ms", "p99 of compose is 160 ms"]


def test_harm_during_a_repeated_attack_is_not_lost() -> None:
    attacks = [
        attacked("attack 1", 0.1, peak_mib=391.0, admitted=("the account eve",)),
        attacked("attack 2", 0.0),
    ]
    measured = client(*SAMPLES, ("attack 1", 60.0, "503"), ("attack 2", 60.0, None))
    found = observation("logins", CALMS, attacks, measured)
    assert found.answers == {"401": 10}
    assert problems(found, Limits()) == (
        "region grew by 301 MiB, the limit is 300 MiB",
        "an attacker got the account eve",
        "2 requests of the good client failed, such as read: 503",
    )
