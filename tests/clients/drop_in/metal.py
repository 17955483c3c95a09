"""The machine that the recorded MAAS has: a whole object of MAAS's API, and the life that clients give it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from tests.maas_api.machine_answers import machine
from tests.maas_api.state import Maas
from tests.maas_site.machines import FIRST_NODE

METAL = "m3t4kx"  # its system id
Fields = Mapping[str, Sequence[str]]
_STATUS = {"Ready": 4, "Deployed": 6, "Deploying": 9, "Allocated": 10}


def _object() -> dict[str, Any]:
    """That of a VM of the made-up site, with all its keys, but no VM."""
    rows = Maas().rows
    found = machine(rows, rows.one("node", FIRST_NODE))
    text = json.dumps(found).replace(found["system_id"], METAL).replace(found["hostname"], "metal")
    of_metal = {"pod": None, "virtualmachine_id": None, "parent": None, "power_type": "ipmi", "storage": 8000.0}
    return {**json.loads(text), **of_metal, "cpu_count": 8, "memory": 16384, "constraints_by_type": {}}


@define
class Metal:
    """`list`, `allocate` and the rest are what MAAS does with it; None: it does not fit, or is not in that status."""

    status: str = "Ready"
    agent_name: str = ""
    owner_data: dict[str, str] = field(factory=dict)
    _as_made: dict[str, Any] = field(factory=_object)

    @property
    def json(self) -> dict[str, Any]:
        owner = None if self.status == "Ready" else "admin"
        return {
            **self._as_made, "status_name": self.status, "status": _STATUS[self.status], "owner": owner,
            "owner_data": self.owner_data, "power_state": "on" if self.status == "Deployed" else "off",
        }  # fmt: skip

    def list(self, wanted: Fields) -> list[dict[str, Any]]:
        known = {"id": METAL, "hostname": "metal", "agent_name": self.agent_name}
        fits = all(known[name] in wanted[name] for name in known.keys() & wanted.keys())
        return [self.read()] if fits else []

    def read(self) -> dict[str, Any]:
        """The object; a deployment ends with the next one."""
        found = self.json
        if self.status == "Deploying":
            self.status = "Deployed"
        return found

    def allocate(self, wanted: Fields) -> dict[str, Any] | None:
        """MAAS 4.0 ignores `pod` and `pod_type`."""

        def one(name: str, otherwise: str) -> str:
            return wanted.get(name, [otherwise])[0]

        fits = float(one("cpu_count", "1")) <= 8 and float(one("mem", "1")) <= 16384
        if self.status != "Ready" or not fits or one("system_id", METAL) != METAL or one("name", "metal") != "metal":
            return None
        self.status, self.agent_name = "Allocated", one("agent_name", "")
        return self.json

    def deploy(self) -> dict[str, Any]:
        self.status = "Deploying"
        return self.json

    def release(self) -> dict[str, Any]:
        self.status, self.agent_name, self.owner_data = "Ready", "", {}
        return self.json
