"""Power on, off, cycle."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked, headers
from tests.faults.matrix.held import changes
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import Asked, OfMachines, Told
from tests.faults.matrix.scenarios.machines import Made, compose


@frozen
class Power(OfMachines):
    """`action` is on, off or cycle."""

    action: str
    kinds = (OperationKind.POWER,)

    @property
    def name(self) -> str:
        return f"power_{self.action}"

    async def prepare(self, inn: Inn) -> Made:
        return await compose(inn, power_on="false" if self.action == "on" else "true")

    async def ask(self, inn: Inn, ground: Made, key: str) -> Asked:
        op = [("op", self.name)]
        return asked(await inn.installed.api.send("POST", ground.path, query=op, headers=headers(key)))

    async def check(self, inn: Inn, ground: Made, told: Told) -> Iterable[str]:
        """A guest that is switched already is not switched again. Only a cycle whose answer was lost is made anew."""
        switched = [power for event, power in changes(inn, ground.host, ground.hostname) if event == "power"]
        wanted = "off" if self.action == "off" else "on"
        known = (await inn.installed.get(ground.path))["power_state"]
        times = switched.count(wanted) - (self.action == "cycle")  # it was switched on to be cycled
        attempts = told.operation.get("attempt", 1) if self.action == "cycle" else 1
        return [
            *([f"the host has it {switched[-1:]}"] if switched[-1:] != [wanted] else []),
            *([f"it is known to be {known}"] if known != wanted else []),
            *([f"switched {wanted} {times} times"] if not 1 <= times <= attempts else []),
        ]
