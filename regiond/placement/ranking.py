"""Evaluates all candidates and ranks those that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from regiond.placement.affinity import NO_MEMBERS, GroupMembers
from regiond.placement.evaluation import evaluate
from regiond.placement.model import Candidate, Evaluation, Placement, Requirements, Strategy


def place(
    requirements: Requirements,
    hosts: Iterable[Candidate],
    *,
    strategy: Strategy = "spread",
    members: GroupMembers = NO_MEMBERS,
) -> Placement:
    """Evaluates every host. Nothing fitting is an answer (`chosen` is None), never an exception.

    `spread` prefers the host with the largest share of its claimable compute left afterwards, `pack` the one with the
    smallest. Ties go to the lower id, so the order of `hosts` does not matter. A host that satisfies more of the soft
    rules of the machine's groups comes first in any case; `members` are those of the groups.
    """
    fitting: list[Evaluation] = []
    rejected: list[Evaluation] = []
    for host in hosts:
        evaluation = evaluate(requirements, host, members)
        (fitting if evaluation.fits else rejected).append(evaluation)
    fitting.sort(key=rank(strategy))
    rejected.sort(key=lambda evaluation: evaluation.host_id)
    return Placement(ranked=tuple(fitting), rejected=tuple(rejected))


def rank(strategy: Strategy) -> Callable[[Evaluation], tuple[int, float, int]]:
    """Returns the sort key that puts the preferred host first."""
    sign = -1.0 if strategy == "spread" else 1.0
    return lambda evaluation: (evaluation.conflicts, sign * (evaluation.score or 0.0), evaluation.host_id)
