"""Compares what was measured during an attack with the limits. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field, frozen

from tests.abuse.latencies import Latencies


@frozen(kw_only=True)
class Limits:
    """Below `floor_ms` no latency is judged: its ratio would say more about the machine than about the attack. Neither
    is one whose calm or attack lost more than `max_stolen` of the machine's CPU time to the machine's host.
    """

    max_ratio: float = 3.0
    floor_ms: float = 100.0
    max_growth_mib: float = 300.0
    max_failures: int = 0  # of the good client's requests
    max_stolen: float = 0.03


@frozen(kw_only=True)
class Compared:
    """The latencies of one kind of request."""

    calm: Latencies
    attacked: Latencies

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles."""
        return self.attacked.p99_ms / self.calm.p99_ms if self.calm.p99_ms else 0.0


@frozen(kw_only=True)
class Memory:
    """Resident memory of a daemon: before the attack, and its peak during it."""

    before_mib: float
    peak_mib: float

    @property
    def growth_mib(self) -> float:
        return self.peak_mib - self.before_mib


@frozen(kw_only=True)
class Disturbance:
    """The share of CPU time, from 0 to 1, that the machine's host took while latencies were measured, at best of
    `measured` times.
    """

    stolen: float = 0.0
    measured: int = 1


@frozen(kw_only=True)
class Observation:
    """One attack. `answers` are those that attackers got; `admitted` is what they got or made that they may not.

    The latencies are of the calm and of the attack with the least disturbance; all else is of every repetition.
    """

    attack: str
    latencies: Mapping[str, Compared]
    memory: Mapping[str, Memory]
    answers: Mapping[str, int]
    admitted: tuple[str, ...] = ()
    failures: tuple[str, ...] = field(default=())
    calm: Disturbance = Disturbance()
    attacked: Disturbance = Disturbance()


def problems(found: Observation, limits: Limits) -> tuple[str, ...]:
    """Every limit that was missed, in words; empty if the attack did no harm, as far as that was judged."""
    return tuple(_problems(found, limits))


def not_judged(found: Observation, limits: Limits) -> str | None:
    """Why the latencies are not judged; None if they are. All other limits always are."""
    disturbed = [
        f"{one.stolen * 100:.1f} % of CPU time during the {window} (the least of {one.measured})"
        for window, one in (("calm", found.calm), ("attack", found.attacked))
        if one.stolen > limits.max_stolen
    ]
    return f"the host of this machine took {' and '.join(disturbed)}" if disturbed else None


def _problems(found: Observation, limits: Limits) -> Iterator[str]:
    if not found.answers:
        yield "no attacker got any answer: was there an attack?"
    judged = not_judged(found, limits) is None
    for kind, compared in found.latencies.items():
        yield from _slow(kind, compared, limits, judged=judged)
    for daemon, memory in found.memory.items():
        if memory.growth_mib > limits.max_growth_mib:
            yield f"{daemon} grew by {memory.growth_mib:.0f} MiB, the limit is {limits.max_growth_mib:.0f} MiB"
    for answer, number in found.answers.items():
        if not is_refusal(answer):
            yield f"{number} attackers were answered {answer}"
    for what in found.admitted:
        yield f"an attacker got {what}"
    if len(found.failures) > limits.max_failures:
        yield f"{len(found.failures)} requests of the good client failed, such as {found.failures[0]}"


def _slow(kind: str, compared: Compared, limits: Limits, *, judged: bool) -> Iterator[str]:
    if not (compared.calm.number and compared.attacked.number):
        yield f"no {kind} was measured"
    elif judged and compared.attacked.p99_ms > max(limits.floor_ms, limits.max_ratio * compared.calm.p99_ms):
        yield (
            f"p99 of {kind} is {compared.attacked.p99_ms:.0f} ms, {compared.ratio:.1f} times that of the calm; the "
            f"limit is {limits.max_ratio:g} times, from {limits.floor_ms:.0f} ms on"
        )


def is_refusal(answer: str) -> bool:
    """Whether an answer lets nobody in. `opened` and `served` count what attackers did, not what they got."""
    return (len(answer) == 3 and answer.startswith("4")) or answer in _REFUSALS or answer.startswith("rpc ")


_REFUSALS = frozenset({"503", "closed", "no answer", "opened", "served"})
