"""The fields with which hosts are searched, and whether a host matches a query. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import frozen

from common.hosts.capacity import Capacity
from common.installed_drivers import added_types
from common.values import DriverType
from regiond.hosts.model import CONSOLE_TAG
from regiond.hosts.views.host_condition import HostCondition, Judgement
from regiond.requests.search_numbers import MEMORY_MIB, STORAGE_BYTES, is_in
from regiond.requests.search_query import (
    Fields,
    Kind,
    SearchField,
    SearchQuery,
    fields_by_name,
    has_part,
    has_value,
    has_words,
)

_INCUS = "incus"  # has the driver of LXD
_TYPES: Mapping[str, tuple[str, ...]] = {
    "lxd": (DriverType.LXD.value,),
    "incus": (_INCUS,),
    "libvirt": (DriverType.LIBVIRT.value,),
    "virsh": (DriverType.LIBVIRT.value,),
    "simulated": (DriverType.SIMULATED.value,),
    **{one: (one,) for one in added_types()},
}
_CONDITIONS = {one.value: (one.value,) for one in HostCondition}

HOST_FIELDS: Fields = fields_by_name((
    SearchField(name="name", kind=Kind.TEXT, doc="A part of the name.", example="name:hv"),
    SearchField(name="address", kind=Kind.TEXT, doc="A part of the address.", example="address:10.0.0."),
    SearchField(name="state", kind=Kind.CHOICE, doc="The state.", example="state:unreachable", choices=_CONDITIONS),
    SearchField(
        name="is", kind=Kind.CHOICE, doc="A property; open is for placement.", example="is:open",
        choices={"open": ("open",), "attention": ("attention",)},
    ),
    SearchField(name="type", kind=Kind.CHOICE, doc="The hypervisor.", example="type:lxd", choices=_TYPES),
    SearchField(name="cluster", kind=Kind.NAME, doc="The cluster.", example="cluster:main", may_lack=True),
    SearchField(name="project", kind=Kind.NAME, doc="The LXD project.", example="project:default", may_lack=True),
    SearchField(name="pool", kind=Kind.NAME, doc="The resource pool.", example="pool:staging"),
    SearchField(name="zone", kind=Kind.NAME, doc="The zone.", example="zone:east"),
    SearchField(
        name="tag", kind=Kind.NAME, doc="A tag; a+b is both.", example="tag:gpu", may_lack=True, has_many=True,
        may_come=True,
    ),
    SearchField(name="arch", kind=Kind.NAME, doc="The architecture.", example="arch:amd64", may_lack=True),
    SearchField(name="version", kind=Kind.TEXT, doc="The hypervisor's version.", example="version:5.0"),
    SearchField(name="vms", kind=Kind.NUMBER, doc="VMs of Innkeeper.", example="vms:0"),
    SearchField(name="cores", kind=Kind.NUMBER, doc="Cores of the server.", example="cores:>=32"),
    SearchField(name="ram", kind=Kind.NUMBER, doc="RAM of the server in GiB.", example="ram:>=256", unit=MEMORY_MIB),
    SearchField(
        name="storage", kind=Kind.NUMBER, doc="All storage pools in GB.", example="storage:>2TB", unit=STORAGE_BYTES
    ),
    SearchField(name="free_cores", kind=Kind.NUMBER, doc="Cores that are free.", example="free_cores:>=8"),
    SearchField(
        name="free_ram", kind=Kind.NUMBER, doc="RAM that is free in GiB.", example="free_ram:>=64", unit=MEMORY_MIB
    ),
    SearchField(
        name="free_storage", kind=Kind.NUMBER, doc="Storage that is free in GB.", example="free_storage:<100",
        unit=STORAGE_BYTES,
    ),
))  # fmt: skip
_OF_CAPACITY: Mapping[str, Callable[[Capacity], int]] = {
    "cores": lambda capacity: capacity.cores.total,
    "ram": lambda capacity: capacity.memory_mib.total,
    "storage": lambda capacity: capacity.storage_bytes.total,
    "free_cores": lambda capacity: capacity.cores.free,
    "free_ram": lambda capacity: capacity.memory_mib.free,
    "free_storage": lambda capacity: capacity.storage_bytes.free,
}


@frozen(kw_only=True)
class HostFacts:
    """The facts by which hosts are searched and sorted; much less than all that is known of them.

    `machines` is 0, and `capacity` None, if it is unknown or was not asked for.
    """

    id: int
    name: str
    driver: DriverType
    product: str = ""  # LXD or Incus; empty if the driver says it all
    address: str
    project: str
    zone: str
    pool: str
    cluster: str | None
    tags: tuple[str, ...]
    architecture: str | None
    version: str | None
    judgement: Judgement
    needs_attention: bool  # by its judgement, or for another reason such as a problem or an expiring certificate
    machines: int = 0
    capacity: Capacity | None = None


@frozen(kw_only=True)
class Needs:
    """The facts that are read only on request, since they cost most."""

    machines: bool = False
    capacity: bool = False


def needs_of(query: SearchQuery) -> Needs:
    """Returns the facts that `matches` needs."""
    return Needs(machines="vms" in query.fields, capacity=bool(query.fields & set(_OF_CAPACITY)))


def matches(query: SearchQuery, host: HostFacts) -> bool:
    tags = [tag for tag in host.tags if tag != CONSOLE_TAG]
    values: Mapping[str, Iterable[str]] = {
        "state": (host.judgement.condition.value,),
        "is": [
            name for name, is_so in (("open", host.judgement.is_open), ("attention", host.needs_attention)) if is_so
        ],
        "type": (_INCUS if host.product.lower() == _INCUS else host.driver.value,),
        "cluster": _known(host.cluster),
        "project": _known(host.project),
        "pool": (host.pool,),
        "zone": (host.zone,),
        "tag": tags,
        "arch": _known(host.architecture),
    }
    parts = {"name": (host.name,), "address": (host.address,), "version": _known(host.version)}
    words = (host.name, host.address, host.project, host.pool, host.zone, host.cluster or "", *tags)
    return (
        has_words(query, words)
        and all(has_value(query, name, some) for name, some in values.items())
        and all(has_part(query, name, some) for name, some in parts.items())
        and all(is_in(ranges, _number(host, name)) for name, ranges in query.numbers.items())
    )


def _known(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()


def _number(host: HostFacts, name: str) -> int | None:
    if name == "vms":
        return host.machines
    return None if host.capacity is None else _OF_CAPACITY[name](host.capacity)
