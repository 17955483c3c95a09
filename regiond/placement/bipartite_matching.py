"""Gives each of several demands one of the resources that it can use, by a bipartite matching."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from attrs import frozen

K = TypeVar("K", int, str)  # identifies a resource


@frozen(kw_only=True)
class Shortage(Generic[K]):
    """These demands (by number) can only use `resources`, which have fewer free pieces than there are demands."""

    demands: tuple[int, ...]
    resources: tuple[K, ...]


def match(usable: Mapping[int, Sequence[K]], free: Mapping[K, int]) -> Mapping[int, K] | Shortage[K]:
    """Returns the resource of each demand, or the demands that compete for too few pieces. Uses augmenting paths.

    `usable` lists the resources that a demand can use, the preferred one first; `free` has the pieces of each. Demands
    are served by number; an earlier one gives up a better resource only if a later one would get none otherwise.
    """
    users: dict[K, list[int]] = defaultdict(list)
    for demand in sorted(usable):
        visited: dict[K, None] = {}
        if not _assign(demand, usable, free, users, visited):
            competing = {demand, *(user for resource in visited for user in users[resource])}
            return Shortage(demands=tuple(sorted(competing)), resources=tuple(sorted(visited)))
    return {demand: resource for resource, demands in users.items() for demand in demands}


def _assign(
    demand: int,
    usable: Mapping[int, Sequence[K]],
    free: Mapping[K, int],
    users: dict[K, list[int]],
    visited: dict[K, None],
) -> bool:
    """Assigns a resource to the demand, moving others if needed. `visited` collects those that could not be freed."""
    for resource in usable[demand]:
        if resource not in visited and len(users[resource]) < free[resource]:
            users[resource].append(demand)
            return True
    for resource in usable[demand]:
        if resource in visited:
            continue
        visited[resource] = None
        for user in tuple(users[resource]):
            if _assign(user, usable, free, users, visited):
                users[resource].remove(user)
                users[resource].append(demand)
                return True
    return False
