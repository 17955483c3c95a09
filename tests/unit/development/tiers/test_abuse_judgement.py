"""An attack that does harm is reported with the limit it missed; one that does none is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from tests.abuse.judgement import Compared, Disturbance, Limits, Memory, Observation, is_refusal, not_judged, problems
from tests.abuse.latencies import Latencies
from tests.abuse.report import ExitStatus, Report, text
from tests.abuse.stolen_time import CpuTimes
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
QUIET, NOISY = Disturbance(stolen=0.03), Disturbance(stolen=0.123, measured=3)
MACHINE = Machine(
    cpu="A CPU", cores=2, memory_gib=4.0, kernel="6.1", postgresql="18.4", python="3.11", load=0.1, commit="c0"
)


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


@pytest.mark.parametrize(
    ("noisy", "window"), [(evolve(HARMLESS, calm=NOISY), "calm"), (evolve(HARMLESS, attacked=NOISY), "attack")]
)
@pytest.mark.parametrize("p99_ms", [20.0, 62.0])
def test_latencies_of_a_noisy_window_are_not_judged(noisy: Observation, window: str, p99_ms: float) -> None:
    found = evolve(noisy, latencies=read(p99_ms))
    assert problems(found, LIMITS) == ()
    assert not_judged(found, LIMITS) == (
        f"the host of this machine took 12.3 % of CPU time during the {window} (the least of 3)"
    )


def test_latencies_are_judged_up_to_the_limit_of_stolen_time() -> None:
    found = evolve(HARMLESS, latencies=read(62.0), calm=QUIET, attacked=QUIET)
    assert len(problems(found, LIMITS)) == 1
    assert not_judged(found, LIMITS) is None


def test_noise_excuses_no_other_harm() -> None:
    harm: dict[str, Any] = {
        "memory": {"region": Memory(before_mib=90.0, peak_mib=391.0)},
        "admitted": ("the account eve",),
        "failures": ("read: 503",),
    }
    assert len(problems(evolve(HARMLESS, calm=NOISY, attacked=NOISY, **harm), LIMITS)) == 3


@pytest.mark.parametrize("answer", ["400", "429", "503", "closed", "rpc not_allowed"])
def test_an_error_or_a_closed_connection_lets_nobody_in(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ["200", "301", "500", "502", "4", "done"])
def test_any_other_answer_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)


def test_percentiles_are_by_nearest_rank() -> None:
    assert Latencies.of(float(n) for n in range(100, 0, -1)) == Latencies(number=100, p50_ms=50.0, p99_ms=99.0)
    assert Latencies.of([]) == Latencies()


def report(*found: Observation) -> Report:
    return Report(machine=MACHINE, date="2026-11-21", took_s=3.0, quick=True, limits=LIMITS, observations=found)


def test_a_report_has_the_calm_the_attack_and_what_was_missed() -> None:
    found = report(HARMLESS, evolve(HARMLESS, attack="logins", admitted=("the API key k",)))
    calm = "| *(calm)* | 0.0 | 8.0 / 20.0 |  | 8.0 / 20.0 |  |  |  |  |  |"
    row = "| headers | 0.0 | 9.0 / 58.0 | 2.9 | 9.0 / 58.0 | 2.9 | 90 → 120 | 80 → 80 | 900 × 401, 3 × closed | 0 |"
    assert f"{calm}\n{row}\n" in text(found)
    samples = (
        "samples     at least 1000 reads and 1000 composes in each calm, 500 reads and 500 composes in each attack"
    )
    assert samples in text(found).splitlines()
    assert text(found).endswith("\nmissed  logins: an attacker got the API key k")
    assert json.loads(json.dumps(found.plain()))["missed"] == {"logins": ["an attacker got the API key k"]}


def test_a_report_says_what_was_not_judged() -> None:
    found = report(HARMLESS, evolve(HARMLESS, attack="logins", attacked=NOISY))
    assert "| logins | 12.3 | 9.0 / 58.0 | not judged |" in text(found)
    assert "\nrepeated    2 calms or attacks" in text(found)
    *_, why, sentence = text(found).splitlines()
    assert why.startswith("not judged  logins: the host of this machine took 12.3 % of CPU time during the attack")
    assert sentence.startswith(
        "No limit was missed, and the latencies of 1 of 2 attacks were not judged. Exit status 3."
    )
    assert list(json.loads(json.dumps(found.plain()))["not_judged"]) == ["logins"]


MISSED = evolve(HARMLESS, attack="keys", admitted=("the API key k",))
UNJUDGED = evolve(HARMLESS, attack="logins", calm=NOISY)


@pytest.mark.parametrize(
    ("found", "status", "sentence"),
    [
        ([HARMLESS], ExitStatus.MET, "Every limit was met."),
        ([HARMLESS, MISSED], ExitStatus.MISSED, "missed  keys: "),
        ([HARMLESS, UNJUDGED], ExitStatus.NOT_JUDGED, "No limit was missed, and "),
        (
            [UNJUDGED, MISSED],
            ExitStatus.MISSED,
            "Limits were missed, and the latencies of 1 of 2 attacks were not judged",
        ),
    ],
    ids=["met", "missed", "not judged", "both"],
)
def test_the_exit_status_and_the_last_line_agree(found: list[Observation], status: int, sentence: str) -> None:
    assert report(*found).exit_status == status
    assert text(report(*found)).splitlines()[-1].startswith(sentence)


def test_the_exit_statuses_differ_from_that_of_a_wrong_argument() -> None:
    assert [int(status) for status in ExitStatus] == [0, 1, 3]


def test_stolen_cpu_time_is_told() -> None:
    before = CpuTimes.read("cpu  100 0 50 800 10 0 0 40 0 0\ncpu0 1 2 3")
    after = CpuTimes.read("cpu  150 0 70 900 10 0 0 70 0 0\ncpu0 1 2 3")
    assert after.stolen_since(before) == pytest.approx(30 / 200)
    assert CpuTimes.read().total > 0
