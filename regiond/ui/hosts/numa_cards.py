"""The NUMA nodes of a host as cards: a meter for each resource of the node, and its VMs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from common.hosts.capacity import ResourceCapacity
from regiond.hosts.model import GuestView
from regiond.hosts.numa.numa_model import NetworkDeviceUsage, NumaNodeView, Usage
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, meter_of


@frozen(kw_only=True)
class Gauge:
    """A meter with its name; `note` says in which unit it counts, or of what."""

    name: str
    note: str
    meter: Meter


@frozen(kw_only=True)
class NumaCard:
    """`guests` are those with a pin, huge page or virtual function of the node; others run anywhere."""

    node_id: int
    core_ids: str
    cores: int
    memory: str
    gauges: tuple[Gauge, ...]
    guests: tuple[GuestView, ...]


def numa_cards(nodes: Iterable[NumaNodeView], guests: Iterable[GuestView]) -> tuple[NumaCard, ...]:
    by_id = {guest.id: guest for guest in guests}
    return tuple(_card(node, by_id) for node in nodes)


def _card(node: NumaNodeView, guests: dict[int, GuestView]) -> NumaCard:
    here = [guests[guest_id] for guest_id in node.guest_ids if guest_id in guests]
    return NumaCard(
        node_id=node.node_id,
        core_ids=formats.ranges(node.cores.total),
        cores=len(node.cores.total),
        memory=formats.memory(node.memory_mib),
        gauges=tuple(_gauges(node)),
        guests=tuple(sorted(here, key=lambda guest: guest.hostname or guest.name)),
    )


def _gauges(node: NumaNodeView) -> Iterator[Gauge]:
    """Yields the meters of what guests with pins hold of the node."""
    number = node.node_id
    label = text("RAM of node {node}", node=number)
    memory = _meter(label, node.general_mib, unit="GiB", text=formats.gib)
    yield Gauge(name=text("RAM"), note=text("GiB, general"), meter=memory)
    ours, others = set(node.cores.used_by_ours), set(node.cores.used_by_others)
    cores = Usage(total=len(node.cores.total), used_by_ours=len(ours), used_by_others=len(others - ours))
    pinned = formats.ranges(ours | others) or text("none")
    label = text("Pinned cores of node {node}", node=number)
    yield Gauge(name=text("Pinned cores"), note=pinned, meter=_meter(label, cores))
    for one in node.huge_pages:
        if one.pages.total:
            size = formats.memory(one.size_kib // 1024)
            yield Gauge(
                name=text("Huge pages"),
                note=text("{size} each", size=size),
                meter=_meter(text("Huge pages of {size} of node {node}", size=size, node=number), one.pages),
            )
    for device in node.network_devices:
        if device.functions.total:
            name = device_name(device)
            meter = _meter(text("Virtual functions of {name}", name=name), device.functions)
            yield Gauge(name=text("Virtual functions"), note=name, meter=meter)


def device_name(usage: NetworkDeviceUsage) -> str:
    """Returns the names of its ports, else the address on its bus."""
    ports = ", ".join(port.name for port in usage.device.ports)
    return ports or usage.device.pci_address or usage.device.usb_address or formats.DASH


def _meter(label: str, usage: Usage, *, unit: str = "", text: Callable[[int], str] = formats.number) -> Meter:
    amount = ResourceCapacity(
        total=usage.total, claimable=usage.total, claimed=usage.used_by_ours, elsewhere=usage.used_by_others
    )
    return meter_of(label, amount, unit=unit, text=text)
