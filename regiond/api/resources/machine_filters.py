"""Filters of a machine listing: most are applied by the query, the others to its result."""

from __future__ import annotations

from functools import partial

from regiond.api.field_types import Integer, TextList
from regiond.api.fields import Field, Format, Values
from regiond.api.resources.compose_fields import own_architecture
from regiond.api.resources.lookups import group_names, host_names
from regiond.api.serializers.groups import DOMAIN_ID
from regiond.api.serializers.machines import STATUS
from regiond.api.services import Services
from regiond.machines.model import MachineCriteria, MachineFilter, MachineState, MachineView, Traits
from regiond.networks.model import DOMAIN_NAME

_MANY = TextList()


def _many(name: str, doc: str) -> Field:
    return Field(name=name, type=_MANY, default=(), doc=doc)


_EXCLUDING = (
    "not_id", "not_system_id", "not_hostname", "not_mac_address", "not_agent_name", "not_in_zone", "not_in_pool",
    "not_pod",
    "not_pod_type", "not_domain", "not_status", "not_owner", "not_arch", "not_fabrics", "not_vlans", "not_subnets",
    "not_power_state", "not_osystem", "not_distro_series",
)  # fmt: skip
_NO_HARDWARE = ("cpu_speed", "devices", "fabric_classes", "link_speed")
_POWER_STATES = {"on": ("on", "paused"), "off": ("off",), "unknown": ("unknown",)}
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
    _many("owner", "Name of the user who owns it."),
    _many("system_id", "Same as id."),
    _many("parent", "System id of its VM host."),
    _many("pod_type", "Type of its VM host: lxd or virsh."),
    _many("arch", "Architecture, such as amd64."),
    Field(name="cpu_count", type=Integer(minimum=0), default=0, doc="Minimum number of cores."),
    Field(name="mem", type=Integer(minimum=0), default=0, doc="Minimum memory in MiB.", format=Format.MIB),
    _many("fabrics", "Id or name of a fabric to which one of its NICs is attached."),
    _many("vlans", "Id or name of a VLAN to which one of its NICs is attached."),
    _many("subnets", "Id, name or CIDR of a subnet of one of its NICs."),
    _many("power_state", "on, off or unknown."),
    _many("osystem", "Operating system that is deployed on it, such as ubuntu."),
    _many("distro_series", "Release that is deployed on it, such as noble."),
    *(_many(name, f"Not what {name.removeprefix('not_').removeprefix('in_')} selects.") for name in _EXCLUDING),
    *(_many(name, "Virtual machines report no such hardware: no machine matches.") for name in _NO_HARDWARE),
)
# Filters that MAAS documents and that do not restrict this listing.
OF_MAAS = frozenset({
    "deployment_target", "interfaces", "not_cpu_count", "not_cpu_speed", "not_deployment_target", "not_fabric_classes",
    "not_link_speed", "not_mem", "not_simple_status", "simple_status", "storage",
})  # fmt: skip


async def machine_filter(services: Services, values: Values) -> MachineFilter:
    """The filters that the query applies; zones, pools and hosts by name, whether given by id or name."""
    return MachineFilter(
        system_ids=values["id"],
        criteria=await _criteria(services, values),
        hostnames=values["hostname"],
        mac_addresses=tuple(mac.lower() for mac in values["mac_address"]),
        zones=await group_names(services.groups.zones, values["zone"]),
        pools=await group_names(partial(services.groups.pools, caller=services.caller), values["pool"]),
        hosts=await host_names(services, values["pod"]),
        agent_names=values["agent_name"],
        states=_states(values["status"]),
        tags=values["tags"],
        not_tags=values["not_tags"],
    )


async def _criteria(services: Services, values: Values) -> MachineCriteria:
    """The filters that MAAS has besides, and the exclusions. Many of them find a machine that lacks what they name."""
    zones = partial(group_names, services.groups.zones)
    pools = partial(group_names, partial(services.groups.pools, caller=services.caller))
    return MachineCriteria(
        wanted=Traits(
            system_ids=values["system_id"],
            owners=values["owner"],
            parents=values["parent"],
            drivers=values["pod_type"],
            architectures=_architectures(values["arch"]),
            fabrics=values["fabrics"],
            vlans=values["vlans"],
            subnets=values["subnets"],
            power_states=_power_states(values["power_state"]),
            osystems=values["osystem"],
            distro_series=values["distro_series"],
            unknown=tuple(value for name in _NO_HARDWARE for value in values[name]),
        ),
        excluded=Traits(
            system_ids=values["not_id"] + values["not_system_id"],
            hostnames=tuple(name.lower() for name in values["not_hostname"]),
            mac_addresses=tuple(mac.lower() for mac in values["not_mac_address"]),
            agent_names=values["not_agent_name"],
            owners=values["not_owner"],
            zones=await zones(values["not_in_zone"]),
            pools=await pools(values["not_in_pool"]),
            hosts=await host_names(services, values["not_pod"]),
            drivers=values["not_pod_type"],
            architectures=_architectures(values["not_arch"]),
            fabrics=values["not_fabrics"],
            vlans=values["not_vlans"],
            subnets=values["not_subnets"],
            states=tuple(state.value for state in _states(values["not_status"])),
            power_states=_power_states(values["not_power_state"]),
            osystems=values["not_osystem"],
            distro_series=values["not_distro_series"],
        ),
        min_cores=values["cpu_count"],
        min_memory_mib=values["mem"],
    )


def _architectures(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(own_architecture(name) or "" for name in names)


def _power_states(words: tuple[str, ...]) -> tuple[str, ...]:
    """In the words of machines; an unknown word stays, and matches none."""
    return tuple(state for word in words for state in _POWER_STATES.get(word.lower(), (word,)))


def names_only_ids(values: Values) -> bool:
    """Whether the list is one of system ids: these may be those of VM hosts, which no other filter finds."""
    return bool(values["id"]) and not any(values[one.name] for one in FILTERS if one.name != "id")


def matches(machine: MachineView, values: Values) -> bool:
    """Whether a machine from the query has the requested status, tags and domain.

    The query cannot filter by an unknown status or domain, so those are checked here.
    """
    if values["domain"] and not {DOMAIN_NAME, str(DOMAIN_ID)} & set(values["domain"]):
        return False
    if {DOMAIN_NAME, str(DOMAIN_ID)} & set(values["not_domain"]):
        return False
    if not set(values["tags"]) <= set(machine.tags):
        return False
    return not values["status"] or machine.state in _states(values["status"])


def filters_further(wanted: MachineFilter, values: Values) -> bool:
    """Whether `matches` leaves out machines that the query finds."""
    return bool(values["domain"] or values["not_domain"]) or bool(values["status"] and not wanted.states)


def _states(statuses: tuple[str, ...]) -> tuple[MachineState, ...]:
    """The states that MAAS shows with one of these names or numbers."""
    wanted = {status.lower().replace("_", " ") for status in statuses}
    return tuple(state for state, (number, name) in STATUS.items() if wanted & {name.lower(), str(number)})
