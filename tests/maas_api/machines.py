"""The rules by which MAAS keeps machines: what it takes, refuses, and does at once. No transport."""

from __future__ import annotations

from typing import Any

from attrs import define, field

ARCHITECTURES = ("amd64/generic", "arm64/generic")
_PREFIX = "power_parameters_"
_PARAMETERS = {
    "power_on_uri", "power_off_uri", "power_query_uri", "power_on_regex", "power_off_regex", "power_verify_ssl",
    "power_user", "power_pass", "power_token",
}  # fmt: skip
_REQUIRED = ("power_on_uri", "power_off_uri", "power_query_uri")
_SECRET = ("power_pass", "power_token")
_DEFAULTS = {
    "power_on_regex": r"status.*\:.*running", "power_off_regex": r"status.*\:.*stopped", "power_verify_ssl": "n",
}  # fmt: skip
_IDS = "34678abcdefghkmnpqrstwxy"

Form = dict[str, list[str]]


class Refused(Exception):
    """`status` and the body of the answer: messages by field, or a text."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


@define(kw_only=True)
class MaasMachine:
    system_id: str
    hostname: str
    architecture: str
    mac_addresses: tuple[str, ...]
    power: dict[str, str]
    status: int
    locked: bool = False

    def json(self) -> dict[str, Any]:
        names = {0: "New", 1: "Commissioning", 4: "Ready", 6: "Deployed"}
        return {
            "system_id": self.system_id, "hostname": self.hostname, "fqdn": f"{self.hostname}.maas",
            "architecture": self.architecture, "status": self.status, "status_name": names[self.status],
            "power_type": "webhook", "locked": self.locked,
            "interface_set": [
                {"id": number, "name": f"eth{number}", "type": "physical", "mac_address": mac}
                for number, mac in enumerate(self.mac_addresses)
            ],
            "resource_uri": f"/MAAS/api/2.0/machines/{self.system_id}/",
        }  # fmt: skip


@define
class Machines:
    """`created` counts every machine that was ever made, so that a test sees one that was made twice."""

    all: dict[str, MaasMachine] = field(factory=dict)
    created: int = 0

    def find(self, system_id: str) -> MaasMachine:
        if system_id not in self.all:
            raise Refused(404, "No Machine matches the given query.")
        return self.all[system_id]

    def list(self, macs: list[str], ids: list[str] | None = None) -> list[MaasMachine]:
        """Returns those with one of the addresses and one of the ids; an empty filter is none."""
        wanted = {mac.lower() for mac in macs}
        found = [one for one in self.all.values() if not wanted or wanted & set(one.mac_addresses)]
        return [one for one in found if not ids or one.system_id in ids]

    def create(self, form: Form) -> tuple[MaasMachine, bool]:
        """Returns the machine, and whether it is commissioned at once."""
        problems: dict[str, list[str]] = {}
        architecture = _one(form, "architecture")
        if "/" not in architecture:
            architecture += "/generic"
        if architecture not in ARCHITECTURES:
            problems["architecture"] = [f"'{architecture}' is not a valid architecture."]
        macs = tuple(mac.lower() for mac in form.get("mac_addresses", ()))
        if not macs:
            problems["mac_addresses"] = ["This field is required."]
        for other in self.list(list(macs)) if macs else ():
            problems["mac_addresses"] = [f"MAC address {macs[0]} already in use on {other.hostname}."]
        hostname = _one(form, "hostname")
        if any(one.hostname == hostname for one in self.all.values()):
            problems["hostname"] = [f'Node with hostname "{hostname}" already exists']
        power = _power(form, problems)
        public = {name: value for name, value in power.items() if name not in _SECRET}
        if any({n: v for n, v in one.power.items() if n not in _SECRET} == public for one in self.all.values()):
            problems["power_parameters"] = ["BMC with this Power type and Power parameters already exists."]
        if problems:
            raise Refused(400, problems)
        deployed = _one(form, "deployed") == "true"
        commission = _one(form, "commission", "true") == "true" and not deployed
        self.created += 1
        made = MaasMachine(
            system_id=_system_id(self.created), hostname=hostname or f"made-{self.created}", architecture=architecture,
            mac_addresses=macs, power=power, status=6 if deployed else 1 if commission else 0,
        )  # fmt: skip
        self.all[made.system_id] = made
        return made, commission

    def delete(self, system_id: str) -> None:
        if self.find(system_id).locked:
            raise Refused(403, "Cannot delete locked machine.")
        del self.all[system_id]


def _power(form: Form, problems: dict[str, list[str]]) -> dict[str, str]:
    given = {name.removeprefix(_PREFIX): values[-1] for name, values in form.items() if name.startswith(_PREFIX)}
    if _one(form, "power_type") != "webhook":
        problems["power_type"] = ["This MAAS drives machines by webhook only."]
    for name in given.keys() - _PARAMETERS:
        problems["power_parameters"] = [f"Unknown parameter(s): {name}."]
    for name in _REQUIRED:
        if not given.get(name):
            problems[f"{_PREFIX}{name}"] = ["This field is required."]
    return {**_DEFAULTS, **given}


def _one(form: Form, name: str, default: str = "") -> str:
    return form.get(name, [default])[-1]


def _system_id(number: int) -> str:
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, len(_IDS))
        digits = _IDS[digit] + digits
    return digits
