"""The rejected hosts of a placement, grouped by the check that each failed first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

TRIED = "this compose already failed here"
UNASKED = "excluded by your host filter"  # hosts that the request did not mean say least of why it failed


@frozen(kw_only=True)
class RejectedHost:
    """`reasons` are sentences with numbers; the first one decides its group."""

    name: str
    reasons: tuple[str, ...]


@frozen(kw_only=True)
class Rejection:
    """`count` may exceed the named hosts: of a large fleet, most are only counted."""

    heading: str
    hosts: tuple[RejectedHost, ...]
    count: int


def rejections(placement: Mapping[str, Any]) -> list[Rejection]:
    """`placement` is the API's JSON. The group with the most hosts comes first, that of unasked hosts last."""
    named: dict[str, list[RejectedHost]] = {}
    counts: dict[str, int] = {}
    for one in placement["rejected"]:
        heading = _heading(one["reasons"])
        named.setdefault(heading, []).append(RejectedHost(name=one["host"], reasons=tuple(one["reasons"])))
        counts[heading] = counts.get(heading, 0) + 1
    for one in placement["summarized"]:
        heading = _heading([one["reason"]])
        counts[heading] = counts.get(heading, 0) + one["hosts"]
    found = [
        Rejection(heading=heading, hosts=tuple(named.get(heading, ())), count=count)
        for heading, count in counts.items()
    ]
    return sorted(found, key=lambda group: (group.heading == UNASKED, -group.count, group.heading))


def _heading(reasons: Sequence[str]) -> str:
    """What the reasons of several hosts have in common: `needs 4 cores` of `needs 4 cores, 1 free (8 cores × 1.0)`."""
    first = reasons[0] if reasons else "rejected"
    cuts = [at for sign in (", ", ": ", " (") if (at := first.find(sign)) > 0]
    return first[: min(cuts)] if cuts else first
