"""Filters of a machine listing: most are applied by the query, the others to its result."""

from __future__ import annotations

from functools import partial

from regiond.api.field_types import Integer, Text, TextList
from regiond.api.fields import Field, Values
from regiond.api.resources.lookups import group_names, host_names
from regiond.api.serializers.groups import DOMAIN_ID
from regiond.api.serializers.machines import STATUS
from regiond.api.services import Services
from regiond.machines.model import MachineFilter, MachineState, MachineView
from regiond.networks.model import DOMAIN_NAME

_MANY = TextList()


def _many(name: str, doc: str) -> Field:
    return Field(name=name, type=_MANY, default=(), doc=doc)


FILTERS = (
    _many("id", "System id."),
    _many("hostname", "Hostname."),
    _many("mac_address", "MAC address of one of its NICs."),
    _many("zone", "Id or name of its zone."),
    _many("pool", "Id or name of its resource pool."),
    _many("pod", "Id or name of its VM host."),
    _many("domain", "Name of its domain."),
    _many("status", "Status, such as ready."),
    _many("tags", "Tag that the machine must have; may be repeated."),
    _many("not_tags", "Tag that the machine must not have; may be repeated."),
    _many("agent_name", "Name of the agent that allocated it."),
    Field(
        name="limit",
        type=Integer(minimum=1, maximum=1000),
        doc="Maximum number of machines, sorted by hostname (default: all, oldest first).",
    ),
    Field(
        name="after", type=Text(max_length=256), doc="With limit: only machines after this hostname, for the next page."
    ),
)
# Filters that MAAS documents and that do not restrict this listing.
OF_MAAS = frozenset({
    "arch", "cpu_count", "cpu_speed", "deployment_target", "devices", "distro_series", "fabric_classes", "fabrics",
    "interfaces", "link_speed", "mem", "not_agent_name", "not_arch", "not_cpu_count", "not_cpu_speed",
    "not_deployment_target", "not_distro_series", "not_domain", "not_fabric_classes", "not_fabrics", "not_hostname",
    "not_id", "not_in_pool", "not_in_zone", "not_link_speed", "not_mac_address", "not_mem", "not_osystem", "not_owner",
    "not_pod", "not_pod_type", "not_power_state", "not_simple_status", "not_status", "not_subnets", "not_system_id",
    "not_vlans", "osystem", "owner", "parent", "pod_type", "power_state", "simple_status", "storage",
    "subnets", "system_id", "vlans",
})  # fmt: skip


async def machine_filter(services: Services, values: Values) -> MachineFilter:
    """The filters that the query applies; zones, pools and hosts by name, whether given by id or name."""
    return MachineFilter(
        system_ids=values["id"],
        hostnames=values["hostname"],
        mac_addresses=tuple(mac.lower() for mac in values["mac_address"]),
        zones=await group_names(services.groups.zones, values["zone"]),
        pools=await group_names(partial(services.groups.pools, caller=services.caller), values["pool"]),
        hosts=await host_names(services, values["pod"]),
        agent_names=values["agent_name"],
        states=tuple(state for state in STATUS if _has_status(state, values)),
        tags=values["tags"],
        not_tags=values["not_tags"],
        limit=values["limit"],
        after=values["after"] or None,
    )


def names_only_ids(values: Values) -> bool:
    """Whether the list is one of system ids: these may be those of VM hosts, which no other filter finds."""
    return bool(values["id"]) and not any(values[one.name] for one in FILTERS if one.name not in {"id", "limit"})


def matches(machine: MachineView, values: Values) -> bool:
    """Whether a machine from the query has the requested status, tags and domain.

    The query cannot filter by an unknown status or domain, so those are checked here.
    """
    if values["domain"] and not {DOMAIN_NAME, str(DOMAIN_ID)} & set(values["domain"]):
        return False
    if not set(values["tags"]) <= set(machine.tags):
        return False
    return not values["status"] or _has_status(machine.state, values)


def _has_status(state: MachineState, values: Values) -> bool:
    number, name = STATUS[state]
    return bool({status.lower().replace("_", " ") for status in values["status"]} & {name.lower(), str(number)})
