"""Which machines a listing wants: what the services narrow by, and the rest, decided on what they found."""

from __future__ import annotations

from regiond.api.encoding.groups import DOMAIN_ID, DOMAIN_NAME
from regiond.api.encoding.machines import STATUS
from regiond.api.fields import Field, TextList, Values
from regiond.machines.model import MachineFilter, MachineView

_MANY = TextList()


def _many(name: str, doc: str) -> Field:
    return Field(name=name, kind=_MANY, default=(), doc=doc)


FILTERS = (
    _many("id", "System id."),
    _many("hostname", "Hostname."),
    _many("mac_address", "MAC address of one of its cards."),
    _many("zone", "Name of its zone."),
    _many("pool", "Name of its resource pool."),
    _many("pod", "Name of its VM host."),
    _many("domain", "Name of its domain."),
    _many("status", "Status, such as ready."),
    _many("tags", "A tag it must have; all of them when repeated."),
    _many("agent_name", "Agent that allocated it; nothing is allocated yet, so a name matches none."),
)


def wanted(values: Values) -> MachineFilter:
    return MachineFilter(
        system_ids=values["id"],
        hostnames=values["hostname"],
        mac_addresses=tuple(mac.lower() for mac in values["mac_address"]),
        zones=values["zone"],
        pools=values["pool"],
        hosts=values["pod"],
    )


def keeps(machine: MachineView, values: Values) -> bool:
    """Whether `machine` also has the status, tags, domain and agent that were asked for."""
    if values["agent_name"]:
        return False
    if values["domain"] and not {DOMAIN_NAME, str(DOMAIN_ID)} & set(values["domain"]):
        return False
    if not set(values["tags"]) <= set(machine.tags):
        return False
    number, name = STATUS[machine.state]
    statuses = {status.lower().replace("_", " ") for status in values["status"]}
    return not statuses or bool(statuses & {name.lower(), str(number)})
