"""Assigns virtual functions of ports to NICs so that as many NICs as possible get one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from attrs import frozen


@frozen(kw_only=True)
class Shortage:
    """The NICs (by number) each need a virtual function of one of `ports`, which have fewer free than that."""

    nics: tuple[int, ...]
    ports: tuple[str, ...]


def assign_functions(wanted: Mapping[int, Sequence[str]], free: Mapping[str, int]) -> Mapping[int, str] | Shortage:
    """Returns the port of each NIC: a bipartite matching by augmenting paths.

    `wanted` lists the ports that a NIC can use, the preferred one first. NICs are served by number; an earlier NIC
    gives up a better port only if a later one would get none otherwise.
    """
    users: dict[str, list[int]] = defaultdict(list)
    for nic in sorted(wanted):
        visited: dict[str, None] = {}
        if not _assign(nic, wanted, free, users, visited):
            competing = {nic, *(user for port in visited for user in users[port])}
            return Shortage(nics=tuple(sorted(competing)), ports=tuple(sorted(visited)))
    return {nic: port for port, nics in users.items() for nic in nics}


def _assign(
    nic: int,
    wanted: Mapping[int, Sequence[str]],
    free: Mapping[str, int],
    users: dict[str, list[int]],
    visited: dict[str, None],
) -> bool:
    """Assigns a port to the NIC, moving others if needed. `visited` collects the ports that could not be freed."""
    for port in wanted[nic]:
        if port not in visited and len(users[port]) < free[port]:
            users[port].append(nic)
            return True
    for port in wanted[nic]:
        if port in visited:
            continue
        visited[port] = None
        for user in tuple(users[port]):
            if _assign(user, wanted, free, users, visited):
                users[port].remove(user)
                users[port].append(nic)
                return True
    return False
