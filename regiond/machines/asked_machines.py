"""What allocation asks for, in the words of placement: of machines that are there and of one to be composed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import asdict

from common.errors import InvalidRequest
from regiond.machines.matching import Parts
from regiond.machines.model import AllocateRequest, AskedHosts, ComposeRequest, Intent
from regiond.machines.wishes import MIN_MEMORY_MIB, problems_of
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.model import Condition
from regiond.placement.selectors import of_key
from regiond.placement.storage_text import parse_storage

_NETWORK_FIELDS = (("subnets", "subnet"), ("fabrics", "fabric"))
_OF_A_PAIR = frozenset(",;=")  # what would end a value in the text of constraints
_NAMES = {
    "cores": "cpu_count",
    "memory_mib": "mem",
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


def parts_of(request: AllocateRequest) -> Parts:
    """What is asked of disks and cards. Raises InvalidRequest by field for what makes no sense."""
    wrong = {**_wrong_networks(request), **problems_of(ComposeRequest(storage=request.storage))}
    wrong |= problems_of(ComposeRequest(interfaces=request.interfaces))
    if wrong:
        raise InvalidRequest.of(wrong)
    return Parts(
        disks=parse_storage(request.storage) if request.storage else (),
        nics=parse_interfaces(request.interfaces),
        attached=tuple(
            Condition(key=key, values=(value,)) for name, key in _NETWORK_FIELDS for value in getattr(request, name)
        ),
        detached=tuple(
            Condition(key=key, values=(value,))
            for name, key in _NETWORK_FIELDS
            for value in getattr(request, f"not_{name}")
        ),
    )


def hosts_of(request: AllocateRequest) -> AskedHosts:
    return AskedHosts(
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
    )


def intent_of(request: AllocateRequest) -> Intent:
    """The machine that is composed when none is there. It is where its host is as soon as a zone was spoken of."""
    compose = ComposeRequest(
        cores=request.cores or 1,
        memory_mib=max(MIN_MEMORY_MIB, request.memory_mib or ComposeRequest().memory_mib),
        storage=request.storage,
        interfaces=_interfaces(request),
    )
    return Intent(
        request=compose,
        hosts=hosts_of(request),
        agent_name=request.agent_name,
        in_zone_of_host=bool(request.zones or request.not_in_zones),
        comment=request.comment,
    )


def refusal_of(request: AllocateRequest) -> str:
    """What clients know, when nothing was found."""
    if request.system_id is not None:
        return f"No machine with system ID {request.system_id} available."
    asked = {
        _NAMES.get(name, name): _texts(value)
        for name, value in asdict(request).items()
        if value not in (None, (), "") and name not in ("agent_name", "comment")
    }
    if not asked:
        return "No machine available."
    resolved = " ".join(f"{name}={','.join(values)}" for name, values in sorted(asked.items()))
    return f'No available machine matches constraints: {sorted(asked.items())} (resolved to "{resolved}").'


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def _interfaces(request: AllocateRequest) -> str:
    """The constraint text with a card more for each subnet and fabric, and no card where the machine may not be."""
    cards = [part for part in request.interfaces.split(";") if len(request.interfaces) > 1]
    labels = {part.partition(":")[0] for part in cards}
    wanted = [f"{key}={value}" for name, key in _NETWORK_FIELDS for value in getattr(request, name)]
    cards += [f"{_new_label(labels)}:{pair}" for pair in wanted]
    refused = [f"not_{key}={value}" for name, key in _NETWORK_FIELDS for value in getattr(request, f"not_{name}")]
    if refused and not cards:
        cards = [f"{_new_label(labels)}:{refused.pop(0)}"]
    return ";".join(",".join((card, *refused)) for card in cards)


def _new_label(labels: set[str]) -> str:
    label = next(f"net{number}" for number in range(len(labels) + 1) if f"net{number}" not in labels)
    labels.add(label)
    return label


def _wrong_networks(request: AllocateRequest) -> Mapping[str, list[str]]:
    wrong: dict[str, list[str]] = {}
    for plain, key in _NETWORK_FIELDS:
        for name in (plain, f"not_{plain}"):
            found = [text for value in getattr(request, name) for text in _wrong_value(key, value)]
            if found:
                wrong[name] = found
    return wrong


def _wrong_value(key: str, value: str) -> Iterable[str]:
    if _OF_A_PAIR & set(value):
        yield f"'{value}' holds a comma, a semicolon or an equals sign; name it by its id."
        return
    try:
        of_key(key, value)
    except ValueError as error:
        yield f"'{value}' {error}."
