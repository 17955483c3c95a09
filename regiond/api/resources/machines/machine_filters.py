"""Filters of a list of machines, all of which apply before the list is divided into pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from common.installed_drivers import added_types
from common.values import DriverType
from regiond.api.declaration.field_types import Integer, IntegerList, TextList
from regiond.api.declaration.fields import Field, Format, Problems, Values
from regiond.api.resources.shared.compose_fields import INTERFACES, STORAGE, own_architecture
from regiond.api.resources.shared.filter_values import checked_filters
from regiond.api.resources.shared.lookups import host_names
from regiond.api.serializers.groups import DOMAIN_ID
from regiond.api.serializers.machines import STATUS
from regiond.api.services import Services
from regiond.machines.values.criteria import MachineCriteria, Traits
from regiond.machines.values.search import MachineFilter
from regiond.machines.values.states import MachineState
from regiond.networks.model import DOMAIN_NAME
from regiond.requests.validation_messages import no_choice

_MANY = TextList()


def _many(name: str, doc: str) -> Field:
    return Field(name, _MANY, doc, default=())


_EXCLUDING = (
    "not_id", "not_system_id", "not_hostname", "not_mac_address", "not_agent_name", "not_in_zone", "not_in_pool",
    "not_pod",
    "not_pod_type", "not_domain", "not_status", "not_owner", "not_arch", "not_fabrics", "not_vlans", "not_subnets",
    "not_power_state", "not_osystem", "not_distro_series", "not_simple_status", "not_fabric_classes",
)  # fmt: skip
_NO_HARDWARE = ("cpu_speed", "devices", "link_speed")
_TARGETS = TextList(choices=("disk", "memory"))
_TARGET = "disk"  # the deployment target of every machine
_OWN_DOMAIN = {DOMAIN_NAME, str(DOMAIN_ID)}
_STATUSES = (  # MAAS's statuses, by their numbers
    "new", "commissioning", "failed commissioning", "missing", "ready", "reserved", "deployed", "retired", "broken",
    "deploying", "allocated", "failed deployment", "releasing", "releasing failed", "disk erasing",
    "failed disk erasing", "rescue mode", "entering rescue mode", "failed to enter rescue mode",
    "exiting rescue mode", "failed to exit rescue mode", "testing", "failed testing",
)  # fmt: skip
_STATUS_NUMBERS = frozenset(str(number) for number in range(len(_STATUSES)))
_SIMPLE_STATUSES = (*_STATUSES, "failed", "other")
_POWER_STATES = {"on": ("on", "paused"), "off": ("off",), "unknown": ("unknown",), "error": ()}  # MAAS's
_POWER_WORDS = (*_POWER_STATES, "paused")
FILTERS = (
    _many("id", "System id."),
    _many("hostname", "Hostname."),
    _many("mac_address", "MAC address of one of its NICs."),
    _many("zone", "Id or name of its zone."),
    _many("pool", "Id or name of its resource pool."),
    _many("pod", "Id or name of its VM host."),
    _many("domain", "Name of its domain."),
    _many("status", "Status, such as ready or failed_deployment, or its number."),
    _many("tags", "Tag that the machine must have; may be repeated."),
    _many("not_tags", "Tag that the machine must not have; may be repeated."),
    _many("agent_name", "Name of the agent that allocated it."),
    _many("owner", "Name of the user who owns it."),
    _many("system_id", "Same as id."),
    _many("parent", "System id of its VM host."),
    _many("pod_type", "Type of its VM host: lxd or virsh."),
    _many("arch", "Architecture, such as amd64."),
    Field("cpu_count", Integer(minimum=0), "Minimum number of cores.", default=0),
    Field("mem", Integer(minimum=0), "Minimum memory in MiB.", default=0, format=Format.MIB),
    _many("fabrics", "Fabric to which one of its NICs is attached: id, name or class:CLASS."),
    _many("fabric_classes", "Class of a fabric to which one of its NICs is attached."),
    _many("vlans", "VLAN to which one of its NICs is attached: VID, id:ID, name:NAME, space:NAME or fabric:NAME."),
    _many("subnets", "Subnet of one of its NICs: id, name, CIDR, vlan:VID, space:NAME or fabric:NAME."),
    _many("power_state", "on, off or unknown."),
    _many("osystem", "Operating system that is deployed on it, such as ubuntu."),
    _many("distro_series", "Release that is deployed on it, such as noble."),
    _many("simple_status", "Status without its details: as status, but failed for every failure, other for missing."),
    Field("storage", STORAGE, "Disks that it has: as at allocate.", default="", format=Format.DISKS_GB),
    Field("interfaces", INTERFACES, "NICs that it has: as at allocate.", default=""),
    Field("deployment_target", _TARGETS, "disk, as of every machine, or memory.", default=()),
    Field("not_deployment_target", _TARGETS, "Not what deployment_target selects.", default=()),
    Field("not_cpu_count", IntegerList(), "Not with exactly so many cores.", default=()),
    Field("not_mem", IntegerList(), "Not with exactly so many MiB of memory.", default=()),
    *(_many(name, f"Not what {name.removeprefix('not_').removeprefix('in_')} selects.") for name in _EXCLUDING),
    *(_many(name, "Virtual machines report no such hardware: no machine matches.") for name in _NO_HARDWARE),
    *(
        _many(f"not_{name}", "Virtual machines report no such hardware: it excludes none.")
        for name in _NO_HARDWARE
        if name != "devices"
    ),
)
# With only these the database reads one page and counts the rest; any other field makes it search or sort all machines.
OF_THE_PAGE = frozenset({
    "after", "agent_name", "domain", "limit", "mac_address", "not_tags", "pod", "pool", "status", "tags", "zone",
})  # fmt: skip


async def machine_filter(services: Services, values: Values) -> MachineFilter:
    """Returns the filters that the query applies. Raises InvalidRequest by field for names that do not exist."""
    values = await checked_filters(services, values, _word_problems(values))
    return MachineFilter(
        system_ids=values["id"],
        criteria=await _criteria(services, values),
        hostnames=values["hostname"],
        mac_addresses=values["mac_address"],
        zones=values["zone"],
        pools=values["pool"],
        hosts=await host_names(services, values["pod"]),
        agent_names=values["agent_name"],
        states=_states(values["status"]),
        tags=values["tags"],
        not_tags=values["not_tags"],
    )


async def _criteria(services: Services, values: Values) -> MachineCriteria:
    """Returns MAAS's further filters, and the exclusions. An exclusion finds machines without what it names."""
    return MachineCriteria(
        wanted=Traits(
            system_ids=values["system_id"],
            owners=values["owner"],
            parents=values["parent"],
            drivers=values["pod_type"],
            architectures=_architectures(values["arch"]),
            fabrics=values["fabrics"],
            fabric_classes=values["fabric_classes"],
            vlans=values["vlans"],
            subnets=values["subnets"],
            power_states=_power_states(values["power_state"]),
            osystems=values["osystem"],
            distro_series=values["distro_series"],
            states=tuple(state.value for state in _simple_states(values["simple_status"])),
            unknown=_matchless(values),
        ),
        excluded=Traits(
            system_ids=values["not_id"] + values["not_system_id"],
            hostnames=tuple(name.lower() for name in values["not_hostname"]),
            mac_addresses=values["not_mac_address"],
            agent_names=values["not_agent_name"],
            owners=values["not_owner"],
            zones=values["not_in_zone"],
            pools=values["not_in_pool"],
            hosts=await host_names(services, values["not_pod"]),
            drivers=values["not_pod_type"],
            architectures=_architectures(values["not_arch"]),
            fabrics=values["not_fabrics"],
            fabric_classes=values["not_fabric_classes"],
            vlans=values["not_vlans"],
            subnets=values["not_subnets"],
            states=tuple(
                state.value for state in _states(values["not_status"]) + _simple_states(values["not_simple_status"])
            ),
            power_states=_power_states(values["not_power_state"]),
            osystems=values["not_osystem"],
            distro_series=values["not_distro_series"],
        ),
        min_cores=values["cpu_count"],
        min_memory_mib=values["mem"],
        not_cores=values["not_cpu_count"],
        not_memory_mib=values["not_mem"],
    )


def _architectures(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(own_architecture(name) or "" for name in names)


def _power_states(words: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the words in those of machines; one that no machine has stays, and matches none."""
    return tuple(state for word in words for state in _POWER_STATES.get(word.lower()) or (word.lower(),))


def other_domains(named: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the domains that a filter names; none if one of them is the domain of every machine, device and rack."""
    return () if _OWN_DOMAIN & set(named) else named


def names_only_ids(values: Values) -> bool:
    """Returns whether the only filter is by system id: only this filter also finds VM hosts."""
    return bool(values["id"]) and not any(values[one.name] for one in FILTERS if one.name != "id")


def _word_problems(values: Values) -> Problems:
    """Returns problems for words that are none of a filter. One of MAAS that no machine can have is known."""
    types = [*(one.value for one in DriverType), *added_types()]
    return {
        **_unknown_words(values, ("status", "not_status"), _STATUSES, _STATUS_NUMBERS),
        **_unknown_words(values, ("simple_status", "not_simple_status"), _SIMPLE_STATUSES),
        **_unknown_words(values, ("power_state", "not_power_state"), _POWER_WORDS),
        **_unknown_words(values, ("pod_type", "not_pod_type"), types),
    }


def _unknown_words(
    values: Values, fields: Iterable[str], words: Sequence[str], numbers: Collection[str] = ()
) -> Problems:
    choices = [word.replace(" ", "_") for word in words]
    unknown = {field: [one for one in values[field] if _plain(one) not in {*words, *numbers}] for field in fields}
    return {field: [no_choice(one, choices) for one in found[:3]] for field, found in unknown.items() if found}


def _plain(status: str) -> str:
    return status.lower().replace("_", " ")


def _states(statuses: tuple[str, ...]) -> tuple[MachineState, ...]:
    """Returns the states that MAAS shows with one of these names or numbers."""
    wanted = {_plain(status) for status in statuses}
    return tuple(state for state, (number, name) in STATUS.items() if wanted & {name.lower(), str(number)})


def _simple_states(words: tuple[str, ...]) -> tuple[MachineState, ...]:
    wanted = {_plain(word) for word in words}
    return tuple(state for state in STATUS if _simple_status(state) in wanted)


def _simple_status(state: MachineState) -> str:
    name = STATUS[state][1].lower()
    if state is MachineState.MISSING:
        return "other"
    return "failed" if name.startswith("failed ") else name


def _matchless(values: Values) -> tuple[str, ...]:
    """Returns the names of the filters whose values no machine has."""
    matches = {
        "domain": not other_domains(values["domain"]),
        "not_domain": not _OWN_DOMAIN & set(values["not_domain"]),
        "status": not values["status"] or bool(_states(values["status"])),
        "simple_status": not values["simple_status"] or bool(_simple_states(values["simple_status"])),
        "deployment_target": not values["deployment_target"] or _TARGET in values["deployment_target"],
        "not_deployment_target": _TARGET not in values["not_deployment_target"],
        **{name: not values[name] for name in _NO_HARDWARE},
    }
    return tuple(name for name, possible in matches.items() if not possible)
