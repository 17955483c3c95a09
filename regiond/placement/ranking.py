"""Ranks hosts for a machine, and for several in order, each as if the claims of those before it were taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve

from regiond.placement.affinity import NO_MEMBERS, GroupMembers
from regiond.placement.candidate import Candidate
from regiond.placement.claimed_hosts import RemainingHosts
from regiond.placement.evaluation import evaluate
from regiond.placement.model import Evaluation, Placement
from regiond.placement.requirements import Requirements, Strategy


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


def place_sequentially(
    requirements: Requirements,
    hosts: Sequence[Candidate],
    times: int,
    *,
    strategy: Strategy = "spread",
    members: GroupMembers = NO_MEMBERS,
) -> tuple[Placement, ...]:
    """Returns 1 to `times` placements of equal machines.

    The result ends before the first machine that no longer fits, unless that is the first one: only the ledger knows
    for certain what the others leave free. Evaluates each host once, and after each placement the hosts of the chosen
    server again; all again if the machines are in groups, since each then affects other hosts too.
    """
    placements = [place(requirements, hosts, strategy=strategy, members=members)]
    remaining = RemainingHosts(hosts)
    while len(placements) < times and (chosen := placements[-1].chosen) is not None:
        changed = remaining.claim(requirements, chosen)
        if requirements.groups:
            members = members.after(requirements.groups, remaining.by_id[chosen.host_id])
            following = place(requirements, remaining.by_id.values(), strategy=strategy, members=members)
        else:
            again = place(requirements, changed, strategy=strategy)
            following = _with_new_evaluations(placements[-1], again, strategy)
        if following.chosen is None:
            break
        placements.append(following)
    return tuple(placements)


def _with_new_evaluations(placement: Placement, again: Placement, strategy: Strategy) -> Placement:
    """Replaces the evaluations of the hosts that were placed again."""
    replaced = {one.host_id for one in (*again.ranked, *again.rejected)}
    ranked = (one for one in placement.ranked if one.host_id not in replaced)
    rejected = (one for one in placement.rejected if one.host_id not in replaced)
    return evolve(
        placement,
        ranked=tuple(sorted((*ranked, *again.ranked), key=rank(strategy))),
        rejected=tuple(sorted((*rejected, *again.rejected), key=lambda one: one.host_id)),
    )
