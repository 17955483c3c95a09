"""What an attack is, what its attackers know, and what they report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import define, field, frozen

from common.trust.certificates import Credentials


@frozen(kw_only=True)
class Target:
    """A deployment as attackers see it. Strangers know the ports only."""

    http_port: int
    rpc_port: int
    report_port: int  # of the rack, which guests reach
    user_key: str = field(repr=False)  # of an account that may use one pool
    user_cookie: str = field(repr=False)  # of a session of this account
    user_machine: str  # the system id of a machine that this account owns, switched on
    viewer_key: str = field(repr=False)  # of another such account
    viewer_cookie: str = field(repr=False)
    viewer_machine: str  # that this other account owns, switched on
    administrator_key: str = field(repr=False)  # of the person who adds a hostile hypervisor
    rack: Credentials  # of a rack that is enrolled for a zone without hosts
    idle_connections: int = 5000


@define
class Tally:
    """Counts the answers by status or error code; `admitted` has what no attacker may get."""

    answers: Counter[str] = field(factory=Counter)
    admitted: list[str] = field(factory=list)

    def count(self, answer: str) -> None:
        self.answers[answer] += 1

    def admit(self, what: str) -> None:
        """Records what an attacker got. The first few are enough."""
        if len(self.admitted) < 5:
            self.admitted.append(what)

    def plain(self) -> dict[str, Any]:
        return {"answers": dict(self.answers), "admitted": self.admitted}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Tally:
        return cls(Counter(plain["answers"]), list(plain["admitted"]))


class Attack(Protocol):
    """One way to harm a deployment."""

    @property
    def name(self) -> str:
        """Selects it on the command line."""

    @property
    def what(self) -> str:
        """Its line in the help text."""

    async def run(self, target: Target, tally: Tally) -> None:
        """Attacks until it is cancelled, then undoes what an accomplice with rights has done."""
