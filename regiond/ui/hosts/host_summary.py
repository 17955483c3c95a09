"""A host in sum, and what is held of it, as the cards above its VMs print it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from common.hosts.capacity import Capacity, ResourceCapacity
from regiond.hosts.model import HostView, StoragePoolView
from regiond.ui.hosts.numa_cards import Gauge
from regiond.ui.hosts.overcommit import ratio_text
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, meter_of

_KIB_IN_MIB = 1024


@frozen(kw_only=True)
class MemoryColumn:
    """One kind of memory in GiB."""

    name: str
    ours: str
    others: str
    free: str
    total: str


@frozen(kw_only=True)
class HostSummary:
    """`memory` has general memory and huge pages together, `memory_kinds` each apart."""

    memory: Meter
    memory_note: str
    memory_kinds: tuple[MemoryColumn, ...]
    cores: Meter
    cores_note: str
    cores_details: str
    pools: tuple[tuple[StoragePoolView, Meter], ...]
    functions: tuple[Gauge, ...]


def host_summary(host: HostView) -> HostSummary | None:
    """Returns None for a host whose capacity is unknown."""
    capacity = host.capacity
    if capacity is None or host.total is None:
        return None
    general, huge = capacity.memory_mib, _huge_memory(capacity.huge_pages)
    kinds = [_column(text("General"), general)] + ([_column(text("Huge pages"), huge)] if huge.claimable else [])
    return HostSummary(
        memory=meter_of(text("RAM of {name}", name=host.name), _sum(general, huge), unit="GiB", text=formats.gib),
        memory_note=_arithmetic(
            host.total.memory_mib - host.huge_memory_mib,
            host.reserved_memory_mib,
            host.memory_over_commit_ratio,
            gib=True,
        ),
        memory_kinds=tuple(kinds),
        cores=meter_of(text("CPU cores of {name}", name=host.name), capacity.cores),
        cores_note=_arithmetic(host.total.cores, host.reserved_cores, host.cpu_over_commit_ratio),
        cores_details=", ".join(_cores_details(host, capacity)),
        pools=pool_meters(host),
        functions=function_gauges(capacity),
    )


def pool_meters(host: HostView) -> tuple[tuple[StoragePoolView, Meter], ...]:
    """Returns the storage pools that the host has, the default one first. All are in the unit of the largest."""
    found = sorted(host.storage_pools, key=lambda pool: (not pool.is_default, pool.id))
    present = [pool for pool in found if pool.missing_since is None]
    unit, amount = formats.storage_scale(max((pool.capacity.claimable for pool in present), default=0))
    return tuple(
        (pool, meter_of(text("Pool {name}", name=pool.name), pool.capacity, unit=unit, text=amount)) for pool in present
    )


@frozen(kw_only=True)
class SriovPort:
    """A physical port with virtual functions."""

    name: str
    node: int | None
    pci_address: str
    product: str
    speed: str
    meter: Meter


def sriov_ports(host: HostView) -> tuple[SriovPort, ...]:
    """Returns the ports whose virtual functions the host hands out, by name, with the facts of their device."""
    devices = {port.name: (device, port) for device in host.network_devices for port in device.ports}
    found = []
    for one in function_gauges(host.capacity):
        device, port = devices.get(one.name, (None, None))
        mbps = None if port is None else port.speed_mbps
        found.append(
            SriovPort(
                name=one.name,
                node=None if device is None else device.numa_node,
                pci_address=(device.pci_address if device else None) or formats.DASH,
                product=" ".join(part for part in (device.vendor, device.product) if part) if device else formats.DASH,
                speed=formats.DASH if not mbps else f"{formats.number(mbps / 1000)} Gbit/s",
                meter=one.meter,
            )
        )
    return tuple(found)


def function_gauges(capacity: Capacity | None) -> tuple[Gauge, ...]:
    """Returns the virtual functions of each physical port."""
    functions = {} if capacity is None else capacity.virtual_functions
    return tuple(
        Gauge(name=name, note="", meter=meter_of(text("Virtual functions of {name}", name=name), amount))
        for name, amount in sorted(functions.items())
    )


def _huge_memory(pages: Mapping[str, ResourceCapacity]) -> ResourceCapacity:
    """Returns the memory in MiB of huge pages of all sizes."""
    amounts = [_times(int(size_kib), amount) for size_kib, amount in pages.items()]
    return _sum(*amounts)


def _times(size_kib: int, pages: ResourceCapacity) -> ResourceCapacity:
    def mib(number: int) -> int:
        return number * size_kib // _KIB_IN_MIB

    return ResourceCapacity(
        total=mib(pages.total),
        claimable=mib(pages.claimable),
        claimed=mib(pages.claimed),
        elsewhere=mib(pages.elsewhere),
    )


def _sum(*amounts: ResourceCapacity) -> ResourceCapacity:
    return ResourceCapacity(
        total=sum(one.total for one in amounts),
        claimable=sum(one.claimable for one in amounts),
        claimed=sum(one.claimed for one in amounts),
        elsewhere=sum(one.elsewhere for one in amounts),
    )


def _column(name: str, amount: ResourceCapacity) -> MemoryColumn:
    free = amount.claimable - amount.claimed - amount.elsewhere
    return MemoryColumn(
        name=name,
        ours=formats.gib(amount.claimed),
        others=formats.gib(amount.elsewhere),
        free=formats.gib(free) if free >= 0 else text("{amount} over", amount=formats.gib(-free)),
        total=formats.gib(amount.claimable),
    )


def _arithmetic(usable: int, reserved: int, ratio: float, *, gib: bool = False) -> str:
    """Returns such as `(62 - 4) × 1.5`; nothing where all of it may be claimed once."""
    text = formats.gib if gib else formats.number
    if not reserved and ratio == 1:
        return ""
    whole = f"({text(usable)} \N{MINUS SIGN} {text(reserved)})" if reserved else text(usable)
    return f"{whole} × {ratio_text(ratio)}"


def _cores_details(host: HostView, capacity: Capacity) -> Sequence[str]:
    found = [text("{n} online", n=formats.number(capacity.cores.total))]
    if host.reserved_cores:
        found.append(text("{n} reserved", n=formats.number(host.reserved_cores)))
    if capacity.pinned_cores is not None:
        pinned = capacity.pinned_cores.claimed + capacity.pinned_cores.elsewhere
        found.append(text("{n} pinned", n=formats.number(pinned)))
    return found
