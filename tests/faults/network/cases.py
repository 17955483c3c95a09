"""The table of network faults: on each link every fault, before an operation and in its middle."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import product

from attrs import frozen

from tests.faults.network.site import Link
from tests.faults.network.wire import Fault


class Moment(StrEnum):
    BEFORE = "before"
    DURING = "during"


class Action(StrEnum):
    COMPOSE = "compose"
    POWER = "power"
    DELETE = "delete"


@frozen(kw_only=True)
class Case:
    link: Link
    fault: Fault
    moment: Moment
    action: Action

    def __str__(self) -> str:
        return " ".join((self.link, self.fault, self.moment, self.action)).replace(",", "").replace(" ", "-")


@frozen(kw_only=True)
class Limits:
    """Seconds. `answered_s` is until the client has an answer, `recovered_s` from the heal to the end of the operation.

    They are those of the page docs/reference/network-faults.md, and more: the machine of a test may be busy.
    """

    answered_s: float = 60.0
    recovered_s: float = 60.0


LIMITS = Limits()
# Each has to be in the error or in the reason why the operation waits.
WORDS = {Link.DATABASE: "database", Link.RACK: "rack", Link.HOST: "10.77.3.1"}


def cases(*links: Link) -> Iterator[Case]:
    for link, fault, moment in product(links, Fault, Moment):
        yield Case(link=link, fault=fault, moment=moment, action=Action.COMPOSE)
    for link, action in product(links, (Action.POWER, Action.DELETE)):
        yield Case(link=link, fault=Fault.BLACK_HOLE, moment=Moment.DURING, action=action)
