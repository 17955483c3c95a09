"""An attack that does harm is reported with the limit it missed; one that does none is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from tests.abuse.judgement import Compared, Limits, Memory, Observation, is_refusal, problems
from tests.abuse.latencies import Latencies
from tests.abuse.report import Report, text
from tests.bench.machine import Machine

CALM = Latencies(number=1000, p50_ms=8.0, p99_ms=20.0)
COMPARED = Compared(calm=CALM, attacked=Latencies(number=500, p50_ms=9.0, p99_ms=58.0))
HARMLESS = Observation(
    attack="headers",
    latencies={"read": COMPARED, "compose": COMPARED},
    memory={"region": Memory(before_mib=90.0, peak_mib=120.0), "rack": Memory(before_mib=80.0, peak_mib=80.0)},
    answers={"401": 900, "closed": 3},
)
LIMITS = Limits(floor_ms=20.0)


def read(p99_ms: float, *, number: int = 500) -> dict[str, Compared]:
    attacked = Latencies(number=number, p50_ms=9.0, p99_ms=p99_ms)
    return {**HARMLESS.latencies, "read": Compared(calm=CALM, attacked=attacked)}


def test_an_attack_that_does_no_harm_misses_no_limit() -> None:
    assert problems(HARMLESS, LIMITS) == ()


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        ({"latencies": read(62.0)}, "p99 of read is 62 ms, 3.1 times that of the calm"),
        ({"latencies": read(0.0, number=0)}, "no read was measured"),
        ({"memory": {"region": Memory(before_mib=90.0, peak_mib=391.0)}}, "region grew by 301 MiB"),
        ({"answers": {"401": 1, "200": 2}}, "2 attackers were answered 200"),
        ({"answers": {"401": 1, "500": 1}}, "1 attackers were answered 500"),
        ({"answers": {}}, "no attacker got any answer"),
        ({"admitted": ("the account eve",)}, "an attacker got the account eve"),
        ({"failures": ("read: 503", "read: 429")}, "2 requests of the good client failed, such as read: 503"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_harm_is_named_with_its_numbers(harm: dict[str, Any], problem: str) -> None:
    (found,) = problems(evolve(HARMLESS, **harm), LIMITS)
    assert found.startswith(problem)


def test_a_ratio_is_not_judged_below_the_floor() -> None:
    slower = evolve(HARMLESS, latencies=read(99.0))
    assert problems(slower, evolve(LIMITS, floor_ms=100.0)) == ()
    assert problems(slower, evolve(LIMITS, floor_ms=98.0)) != ()


@pytest.mark.parametrize("answer", ["400", "429", "503", "closed", "rpc not_allowed"])
def test_an_error_or_a_closed_connection_lets_nobody_in(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ["200", "301", "500", "502", "4", "done"])
def test_any_other_answer_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)


def test_percentiles_are_by_nearest_rank() -> None:
    assert Latencies.of(float(n) for n in range(100, 0, -1)) == Latencies(number=100, p50_ms=50.0, p99_ms=99.0)
    assert Latencies.of([]) == Latencies()


def test_a_report_has_a_row_for_each_attack_and_what_was_missed() -> None:
    machine = Machine(
        cpu="A CPU", cores=2, memory_gib=4.0, kernel="6.1", postgresql="18.4", python="3.11", load=0.1, commit="c0"
    )
    found = [HARMLESS, evolve(HARMLESS, attack="logins", admitted=("the API key k",))]
    report = Report(machine=machine, date="2026-11-21", took_s=3.0, quick=True, limits=LIMITS, observations=found)
    row = "| headers | 9.0 / 58.0 | 2.9 | 9.0 / 58.0 | 2.9 | 90 → 120 | 80 → 80 | 900 × 401, 3 × closed | 0 |"
    assert row in text(report).splitlines()
    assert text(report).endswith("\nmissed  logins: an attacker got the API key k")
    assert json.loads(json.dumps(report.plain()))["missed"] == {"logins": ["an attacker got the API key k"]}
    assert text(evolve(report, observations=[HARMLESS])).endswith("\nEvery limit was met.")
