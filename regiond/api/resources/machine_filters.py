"""Which machines a listing wants: what the services narrow by, and the rest, decided on what they found."""

from __future__ import annotations

from regiond.api.encoding.groups import DOMAIN_ID, DOMAIN_NAME
from regiond.api.encoding.machines import STATUS
from regiond.api.fields import Field, Integer, Text, TextList, Values
from regiond.machines.life import MachineState
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
    _many("agent_name", "Name of the agent that allocated it."),
    Field(
        name="limit",
        kind=Integer(least=1, most=1000),
        doc="A page: how many at most, sorted by hostname. Without it all are listed, the oldest first.",
    ),
    Field(name="after", kind=Text(longest=256), doc="With `limit`: those that follow this hostname, the next page."),
)


def wanted(values: Values) -> MachineFilter:
    return MachineFilter(
        system_ids=values["id"],
        hostnames=values["hostname"],
        mac_addresses=tuple(mac.lower() for mac in values["mac_address"]),
        zones=values["zone"],
        pools=values["pool"],
        hosts=values["pod"],
        agent_names=values["agent_name"],
        states=tuple(state for state in STATUS if _has_status(state, values)),
        tags=values["tags"],
        limit=values["limit"],
        after=values["after"] or None,
    )


def keeps(machine: MachineView, values: Values) -> bool:
    """Whether `machine` has the status, tags and domain that were asked for: a status or domain that there is none of
    narrows nothing before."""
    if values["domain"] and not {DOMAIN_NAME, str(DOMAIN_ID)} & set(values["domain"]):
        return False
    if not set(values["tags"]) <= set(machine.tags):
        return False
    return not values["status"] or _has_status(machine.state, values)


def _has_status(state: MachineState, values: Values) -> bool:
    """Whether it is one of those that were asked for."""
    number, name = STATUS[state]
    return bool({status.lower().replace("_", " ") for status in values["status"]} & {name.lower(), str(number)})
