"""What `./dev abuse` prints and writes: a row for each attack, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

from attrs import frozen

from common.serialization import to_dict
from tests.abuse.good_client import COMPOSE, READ
from tests.abuse.judgement import Compared, Disturbance, Limits, Memory, Observation, not_judged, problems
from tests.abuse.latencies import Latencies
from tests.bench.machine import Machine

_HEAD = (
    "| attack | stolen, % | read, p50 / p99 ms | × | compose, p50 / p99 ms | × | region, MiB | rack, MiB | answers "
    "| got in |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
_MOST_ANSWERS = 4


class ExitStatus(IntEnum):
    """Of `./dev abuse`. 2 is that of a wrong argument."""

    MET = 0
    MISSED = 1
    NOT_JUDGED = 3  # and nothing was missed


@frozen(kw_only=True)
class Report:
    machine: Machine
    date: str
    took_s: float
    quick: bool
    stolen: float = 0.0  # of the CPU time of the whole run, by other machines on the same host
    limits: Limits
    observations: Sequence[Observation]

    @property
    def missed(self) -> Mapping[str, tuple[str, ...]]:
        """The limits that were missed, by attack."""
        found = {one.attack: problems(one, self.limits) for one in self.observations}
        return {attack: missed for attack, missed in found.items() if missed}

    @property
    def not_judged(self) -> Mapping[str, str]:
        """Why latencies were not judged, by attack."""
        found = {one.attack: not_judged(one, self.limits) for one in self.observations}
        return {attack: reason for attack, reason in found.items() if reason is not None}

    @property
    def exit_status(self) -> ExitStatus:
        if self.missed:
            return ExitStatus.MISSED
        return ExitStatus.NOT_JUDGED if self.not_judged else ExitStatus.MET

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **to_dict(self),
            "missed": {attack: list(missed) for attack, missed in self.missed.items()},
            "not_judged": dict(self.not_judged),
            "exit_status": int(self.exit_status),
        }


def text(report: Report) -> str:
    """The machine, the limits, a table, and what was missed or not judged."""
    return "\n".join((
        report.machine.text,
        f"took        {report.took_s:.0f} s" + ("; quick: short attacks, few samples" if report.quick else ""),
        *_samples(report.observations),
        *_stolen(report),
        "",
        limits_text(report.limits),
        "",
        *_table(report),
        "",
        *_verdict(report),
    ))  # fmt: skip


def _samples(observations: Sequence[Observation]) -> Iterator[str]:
    def fewest(of: Callable[[Compared], Latencies]) -> str:
        read, compose = (min(of(one.latencies[kind]).number for one in observations) for kind in (READ, COMPOSE))
        return f"{read} reads and {compose} composes"

    if observations:
        calm, attacked = fewest(lambda one: one.calm), fewest(lambda one: one.attacked)
        yield f"samples     at least {calm} in each calm, {attacked} in each attack"


def _stolen(report: Report) -> Iterator[str]:
    if report.stolen > report.limits.max_stolen:
        yield f"stolen      {report.stolen * 100:.1f} % of the CPU time of the whole run, by the host of this machine"
    if repeated := sum(one.calm.measured + one.attacked.measured - 2 for one in report.observations):
        yield f"repeated    {repeated} calms or attacks during which the host took CPU time"


def limits_text(limits: Limits) -> str:
    return (
        f"Limits: p99 at most {limits.max_ratio:g} times that of the calm (judged from {limits.floor_ms:.0f} ms on), "
        f"{limits.max_growth_mib:.0f} MiB more resident memory, no request of the good client fails, nothing gets in. "
        f"Latencies are not judged if the host took more than {limits.max_stolen * 100:g} % of CPU time."
    )


def _table(report: Report) -> Iterator[str]:
    """Two rows for each attack: the calm before it, and the attack."""
    yield from _HEAD
    for one in report.observations:
        calm = [cell for kind in (READ, COMPOSE) for cell in (_latency(one.latencies[kind].calm), "")]
        yield _row("*(calm)*", _percent(one.calm), *calm, "", "", "", "")
        judged = one.attack not in report.not_judged
        yield _row(
            one.attack, _percent(one.attacked),
            *(cell for kind in (READ, COMPOSE) for cell in _compared(one.latencies[kind], judged=judged)),
            *(_memory(one.memory[daemon]) for daemon in ("region", "rack")),
            _answers(one.answers), str(len(one.admitted)),
        )  # fmt: skip


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(disturbance: Disturbance) -> str:
    return f"{disturbance.stolen * 100:.1f}"


def _latency(latencies: Latencies) -> str:
    return f"{latencies.p50_ms} / {latencies.p99_ms}"


def _compared(compared: Compared, *, judged: bool) -> tuple[str, str]:
    return _latency(compared.attacked), f"{compared.ratio:.1f}" if judged else "not judged"


def _memory(memory: Memory) -> str:
    return f"{memory.before_mib:.0f} → {memory.peak_mib:.0f}"


def _answers(answers: Mapping[str, int]) -> str:
    ordered = sorted(answers.items(), key=lambda one: -one[1])
    shown = [f"{number} × {answer}" for answer, number in ordered[:_MOST_ANSWERS]]
    return ", ".join([*shown, *(["…"] if len(ordered) > _MOST_ANSWERS else [])])


def _verdict(report: Report) -> Iterator[str]:
    for attack, reasons in report.missed.items():
        for reason in reasons:
            yield f"missed  {attack}: {reason}"
    for attack, why in report.not_judged.items():
        yield f"not judged  {attack}: {why}"
    if report.exit_status is ExitStatus.MET:
        yield "Every limit was met."
    elif report.not_judged:
        found = "Limits were missed" if report.missed else "No limit was missed"
        yield (
            f"{found}, and the latencies of {len(report.not_judged)} of {len(report.observations)} attacks were not "
            f"judged. Exit status {report.exit_status}. Run these again when the host of this machine is less busy."
        )
