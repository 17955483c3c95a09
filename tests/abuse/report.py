"""What `./dev abuse` prints and writes: a row for each attack, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.serialization import to_dict
from tests.abuse.good_client import COMPOSE, READ
from tests.abuse.judgement import Compared, Limits, Memory, Observation, problems
from tests.bench.machine import Machine

_HEAD = (
    "| attack | read, p50 / p99 ms | × | compose, p50 / p99 ms | × | region, MiB | rack, MiB | answers | got in |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
_MOST_ANSWERS = 4


@frozen(kw_only=True)
class Report:
    machine: Machine
    date: str
    took_s: float
    quick: bool
    limits: Limits
    observations: Sequence[Observation]

    @property
    def missed(self) -> Mapping[str, tuple[str, ...]]:
        """The limits that were missed, by attack."""
        found = {one.attack: problems(one, self.limits) for one in self.observations}
        return {attack: missed for attack, missed in found.items() if missed}

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**to_dict(self), "missed": {attack: list(missed) for attack, missed in self.missed.items()}}


def text(report: Report) -> str:
    """The machine, the limits, a table, and what was missed."""
    return "\n".join((
        report.machine.text,
        f"took        {report.took_s:.0f} s" + ("; quick: short attacks, few samples" if report.quick else ""),
        "",
        limits_text(report.limits),
        "",
        *_table(report.observations),
        "",
        *_verdict(report.missed),
    ))  # fmt: skip


def limits_text(limits: Limits) -> str:
    return (
        f"Limits: p99 at most {limits.max_ratio:g} times that of the calm (judged from {limits.floor_ms:.0f} ms on), "
        f"{limits.max_growth_mib:.0f} MiB more resident memory, no request of the good client fails, nothing gets in."
    )


def _table(observations: Sequence[Observation]) -> Iterator[str]:
    yield from _HEAD
    if observations:
        calm = {kind: found.calm for kind, found in observations[0].latencies.items()}
        cells = [cell for kind in (READ, COMPOSE) for cell in (f"{calm[kind].p50_ms} / {calm[kind].p99_ms}", "")]
        yield _row("*(calm)*", *cells, "", "", "", "")
    for one in observations:
        yield _row(
            one.attack, *_latency(one.latencies[READ]), *_latency(one.latencies[COMPOSE]),
            *(_memory(one.memory[daemon]) for daemon in ("region", "rack")),
            _answers(one.answers), str(len(one.admitted)),
        )  # fmt: skip


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _latency(compared: Compared) -> tuple[str, str]:
    return f"{compared.attacked.p50_ms} / {compared.attacked.p99_ms}", f"{compared.ratio:.1f}"


def _memory(memory: Memory) -> str:
    return f"{memory.before_mib:.0f} → {memory.peak_mib:.0f}"


def _answers(answers: Mapping[str, int]) -> str:
    ordered = sorted(answers.items(), key=lambda one: -one[1])
    shown = [f"{number} × {answer}" for answer, number in ordered[:_MOST_ANSWERS]]
    return ", ".join([*shown, *(["…"] if len(ordered) > _MOST_ANSWERS else [])])


def _verdict(missed: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if not missed:
        yield "Every limit was met."
    for attack, reasons in missed.items():
        for reason in reasons:
            yield f"missed  {attack}: {reason}"
