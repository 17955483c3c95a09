"""Translates an allocate request into constraints on existing machines and a compose request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import asdict

from common.errors import InvalidRequest
from common.guests.compose_request import ComposeRequest
from regiond.machines.arrivals.allocation.matching import DeviceConstraints
from regiond.machines.arrivals.compose.requirements import syntax_problems
from regiond.machines.values.requests import MIN_MEMORY_MIB, AllocateRequest, ComposeIntent, HostConstraints
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.network_selectors import selector_of_key
from regiond.placement.requirements import Condition
from regiond.placement.storage_parser import parse_storage

NETWORK_FIELDS = (
    ("subnets", "subnet"),
    ("fabrics", "fabric"),
    ("fabric_classes", "fabric_class"),
    ("vlans", "vlan"),
)
_WANTED_FIELDS = (*NETWORK_FIELDS, ("link_speed", "link_speed"))
_SEPARATORS = frozenset(",;=")  # they end a value in the text of a constraint
_API_NAMES = {
    "cores": "cpu_count",
    "memory_mib": "mem",
    "cpu_speed_mhz": "cpu_speed",
    "architectures": "arch",
    "not_architectures": "not_arch",
    "zones": "zone",
    "not_in_zones": "not_in_zone",
    "pools": "pool",
    "not_in_pools": "not_in_pool",
    "pods": "pod",
    "not_pods": "not_pod",
    "pod_types": "pod_type",
    "not_pod_types": "not_pod_type",
}


def device_constraints(request: AllocateRequest) -> DeviceConstraints:
    """Returns the constraints on disks and NICs. Raises InvalidRequest by field, also for wrong groups."""
    devices = ComposeRequest(
        storage=request.storage, interfaces=request.interfaces, affinity=request.affinity,
        anti_affinity=request.anti_affinity,
    )  # fmt: skip
    problems = {**_network_problems(request), **syntax_problems(devices)}
    if problems:
        raise InvalidRequest.of(problems)
    return DeviceConstraints(
        disks=parse_storage(request.storage) if request.storage else (),
        nics=parse_interfaces(request.interfaces),
        attached=tuple(
            Condition(key=key, values=(value,)) for name, key in _WANTED_FIELDS for value in getattr(request, name)
        ),
        detached=tuple(
            Condition(key=key, values=(value,))
            for name, key in NETWORK_FIELDS
            for value in getattr(request, f"not_{name}")
        ),
    )


def host_constraints(request: AllocateRequest) -> HostConstraints:
    return HostConstraints(
        hosts=request.pods,
        not_hosts=request.not_pods,
        types=request.pod_types,
        not_types=request.not_pod_types,
        zones=request.zones,
        not_in_zones=request.not_in_zones,
        pools=request.pools,
        not_in_pools=request.not_in_pools,
        tags=request.tags,
        not_tags=request.not_tags,
        architectures=request.architectures,
        not_architectures=request.not_architectures,
        cpu_speed_mhz=request.cpu_speed_mhz,
    )


def compose_intent(request: AllocateRequest) -> ComposeIntent:
    """Returns the machine to compose if none is ready. It gets the zone of its host: a request cannot name its own."""
    return ComposeIntent(
        request=compose_request(request),
        hosts=host_constraints(request),
        agent_name=request.agent_name,
        comment=request.comment,
    )


def compose_request(request: AllocateRequest) -> ComposeRequest:
    return ComposeRequest(
        cores=request.cores or 1,
        memory_mib=max(MIN_MEMORY_MIB, request.memory_mib or ComposeRequest().memory_mib),
        storage=request.storage,
        interfaces=_interfaces(request),
        affinity=request.affinity,
        anti_affinity=request.anti_affinity,
    )


def no_match(request: AllocateRequest) -> str:
    """Returns the message when no machine matches: MAAS's words, then the constraints."""
    if request.system_id is not None:
        return f"No machine with system ID {request.system_id} available."
    constraints = {
        _API_NAMES.get(name, name): _text(value)
        for name, value in asdict(request).items()
        if value not in (None, (), "") and name not in ("agent_name", "comment")
    }
    if not constraints:
        return "No machine available."
    return f"No available machine matches {', '.join(f'{name}={text}' for name, text in sorted(constraints.items()))}."


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _interfaces(request: AllocateRequest) -> str:
    """Returns the constraint text with a NIC more per network that is named, and the excluded networks in every NIC."""
    nics = [part for part in request.interfaces.split(";") if len(request.interfaces) > 1]
    labels = {part.partition(":")[0] for part in nics}
    wanted = [f"{key}={value}" for name, key in _WANTED_FIELDS for value in getattr(request, name)]
    nics += [f"{_new_label(labels)}:{pair}" for pair in wanted]
    excluded = [f"not_{key}={value}" for name, key in NETWORK_FIELDS for value in getattr(request, f"not_{name}")]
    if excluded and not nics:
        nics = [f"{_new_label(labels)}:{excluded.pop(0)}"]
    return ";".join(",".join((nic, *excluded)) for nic in nics)


def _new_label(labels: set[str]) -> str:
    label = next(f"net{number}" for number in range(len(labels) + 1) if f"net{number}" not in labels)
    labels.add(label)
    return label


def _network_problems(request: AllocateRequest) -> Mapping[str, list[str]]:
    problems: dict[str, list[str]] = {}
    for plain, key in NETWORK_FIELDS:
        for name in (plain, f"not_{plain}"):
            found = [text for value in getattr(request, name) for text in _value_problems(key, value)]
            if found:
                problems[name] = found
    return problems


def _value_problems(key: str, value: str) -> Iterable[str]:
    if _SEPARATORS & set(value):
        yield f"'{value}' contains a comma, a semicolon or an equals sign; use the id."
        return
    try:
        selector_of_key(key, value)
    except ValueError as error:
        yield f"'{value}' {error}."
