"""Which port's virtual function each card takes, so that all of a machine's cards get one if that is possible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from attrs import frozen


@frozen(kw_only=True)
class Shortage:
    """`cards` (by number) need a function each, and only these `ports` will do: they have fewer left than that."""

    cards: tuple[int, ...]
    ports: tuple[str, ...]


def assign_functions(wanted: Mapping[int, Sequence[str]], free: Mapping[str, int]) -> Mapping[int, str] | Shortage:
    """The port of each card: the first of its `wanted` ones as far as the others leave it that.

    Cards in the order of their numbers; one only gives up a better port when a later one would go without otherwise.
    """
    takers: dict[str, list[int]] = defaultdict(list)
    for card in sorted(wanted):
        seen: dict[str, None] = {}
        if not _seat(card, wanted, free, takers, seen):
            in_the_way = {card, *(taker for port in seen for taker in takers[port])}
            return Shortage(cards=tuple(sorted(in_the_way)), ports=tuple(sorted(seen)))
    return {card: port for port, cards in takers.items() for card in cards}


def _seat(
    card: int,
    wanted: Mapping[int, Sequence[str]],
    free: Mapping[str, int],
    takers: dict[str, list[int]],
    seen: dict[str, None],
) -> bool:
    """Give the card a port, moving others if need be. `seen` collects the ports that were tried in vain."""
    for port in wanted[card]:
        if port not in seen and len(takers[port]) < free[port]:
            takers[port].append(card)
            return True
    for port in wanted[card]:
        if port in seen:
            continue
        seen[port] = None
        for taker in tuple(takers[port]):
            if _seat(taker, wanted, free, takers, seen):
                takers[port].remove(taker)
                takers[port].append(card)
                return True
    return False
