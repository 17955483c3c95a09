"""Checks and resolves the values of list filters: objects that they name, architectures and MAC addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from common.errors import InvalidRequest
from regiond.api.declaration.fields import Problems, Values
from regiond.api.resources.shared.compose_fields import own_architecture
from regiond.api.services import Services
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.devices.model import checked_mac
from regiond.networks.references import selected_ids
from regiond.placement.requirements import NetworkType
from regiond.requests.identifiers import split_reference
from regiond.requests.validation_messages import no_object, no_objects, none_such, shown

_ZONES = ("zone", "not_in_zone")
_POOLS = ("pool", "not_in_pool")
_TAGS = ("tags", "not_tags")
_MACS = ("mac_address", "not_mac_address")
_PODS = ("pod", "not_pod")
_DOMAINS = ("domain", "not_domain")
_ARCHITECTURES = ("arch", "not_arch")
_CLASSES = ("fabric_classes", "not_fabric_classes")
_NETWORKS: Mapping[str, NetworkType] = {
    "fabrics": "fabric", "not_fabrics": "fabric", "vlans": "vlan", "not_vlans": "vlan", "subnets": "subnet",
    "not_subnets": "subnet",
}  # fmt: skip
_KINDS: Mapping[NetworkType, str] = {"fabric": "fabric", "vlan": "VLAN", "subnet": "subnet"}


async def checked_filters(services: Services, values: Values, problems: Problems | None = None) -> Values:
    """Returns `values` with zones and pools by name, networks by id and MAC addresses as they are stored.

    Raises InvalidRequest by field for every value that is malformed or names no object, as MAAS does: a misspelt
    `not_…` would exclude nothing, and a misspelt filter would look like an answer. `problems` are added to these.
    """
    problems = dict(problems or {})
    changed: Values = {}
    _check_macs(values, changed, problems)
    if _given(values, _ZONES):
        _resolve_groups("zone", await services.groups.zones(), _given(values, _ZONES), changed, problems)
    if _given(values, _POOLS):
        pools = await services.groups.pools(caller=services.caller)
        _resolve_groups("pool", pools, _given(values, _POOLS), changed, problems)
    for field, names in _given(values, _TAGS).items():
        found = await services.tags.problems(names, caller=services.caller)
        if found:
            problems[field] = list(found)
    for field, texts in _given(values, _PODS).items():
        ids = await services.hosts.ids_of(texts, caller=services.caller)
        unknown = [one for one in dict.fromkeys(texts) if not ids[one]]
        if unknown:
            problems[field] = no_objects("VM host", unknown, await services.hosts.names(caller=services.caller))
    for field, texts in _given(values, _DOMAINS).items():
        await check_domains(services, field, texts, problems)
    for field, texts in _given(values, _ARCHITECTURES).items():
        named = [own_architecture(text) or "" for text in texts]
        if found := await services.allocation.architecture_problems(named):
            problems[field] = list(found)
    await _resolve_networks(services, values, changed, problems)
    if problems:
        raise InvalidRequest.of(problems)
    return {**values, **changed}


async def check_domains(services: Services, field: str, texts: Iterable[str], problems: Problems) -> None:
    """Adds a problem for names and ids of domains that do not exist."""
    domains = await services.dns.domains()
    names = {one.name: one.name for one in domains}
    by_id = {str(one.id): one.name for one in domains}
    unknown = [text for text in dict.fromkeys(texts) if _name_of(text, names, by_id) is None]
    if unknown:
        problems[field] = no_objects("domain", unknown, sorted(names))


def _given(values: Values, fields: Iterable[str]) -> Mapping[str, Sequence[str]]:
    return {field: values[field] for field in fields if values.get(field)}


def _check_macs(values: Values, changed: Values, problems: Problems) -> None:
    for field, texts in _given(values, _MACS).items():
        try:
            changed[field] = tuple(checked_mac(text, field=field) for text in texts)
        except InvalidRequest as error:
            problems |= {name: list(messages) for name, messages in error.fields.items()}


def _resolve_groups(
    kind: str,
    groups: Iterable[Zone | ResourcePool],
    given: Mapping[str, Sequence[str]],
    changed: Values,
    problems: Problems,
) -> None:
    names = {group.name: group.name for group in groups}
    by_id = {str(group.id): group.name for group in groups}
    for field, texts in given.items():
        found = {text: _name_of(text, names, by_id) for text in texts}
        unknown = [text for text, name in found.items() if name is None]
        if unknown:
            problems[field] = none_such(kind, unknown, sorted(names))
        changed[field] = tuple(name for name in found.values() if name is not None)


def _name_of(text: str, names: Mapping[str, str], by_id: Mapping[str, str]) -> str | None:
    """Returns the name of the group with this id or name; an id has precedence over the name of another group."""
    id_, name = split_reference(text)
    return by_id.get(id_ or "") or names.get(name or "")


async def _resolve_networks(services: Services, values: Values, changed: Values, problems: Problems) -> None:
    given = _given(values, _NETWORKS)
    classes = _given(values, _CLASSES)
    if not given and not classes:
        return
    fabrics = await services.networks.fabrics()
    subnets = await services.networks.subnets() if given else ()
    for field, texts in given.items():
        of = _NETWORKS[field]
        ids: set[int] = set()
        for text in texts:
            try:
                found = selected_ids(of, text, fabrics, subnets)
            except ValueError as error:
                problems.setdefault(field, []).append(f"{shown(text)} {error}.")
                continue
            if not found:
                problems.setdefault(field, []).append(no_object(_KINDS[of], text))
            ids |= found
        changed[field] = tuple(str(one) for one in sorted(ids))
    known = sorted({fabric.class_type for fabric in fabrics if fabric.class_type})
    for field, texts in classes.items():
        unknown = [text for text in texts if text not in known]
        if unknown:
            problems[field] = no_objects("class of fabrics", unknown, known)
