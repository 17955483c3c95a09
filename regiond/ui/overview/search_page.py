"""Finds hosts, VMs, devices, tasks and addresses by one text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from attrs import field, frozen

from common.errors import NotFound
from regiond.api.replies import Reply
from regiond.hosts.search.fields import HostFacts
from regiond.machines.values.devices import DeviceFilter, DeviceView
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineSearch
from regiond.networks.model import Address, Subnet, UsedAddress
from regiond.operations.model import Operation
from regiond.requests.search_query import SearchQuery
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.hosts.list_page import rows_of
from regiond.ui.networks.device_pages import matches
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text

_MOST = 8  # of each kind
_LONGEST_TEXT = 200
_LONGEST_ID = 18


@frozen(kw_only=True)
class Found:
    """At most _MOST of each kind; `machine_count`, `host_count` and `device_count` are all that match."""

    hosts: Sequence[HostRow] = ()
    host_count: int = 0
    machines: Sequence[MachineView] = ()
    machine_count: int = 0
    devices: Sequence[DeviceView] = ()
    device_count: int = 0
    tasks: Sequence[Operation] = ()
    subnets: Sequence[Subnet] = ()
    addresses: Sequence[tuple[Subnet, UsedAddress]] = field(factory=tuple)

    @property
    def is_empty(self) -> bool:
        return not (self.hosts or self.machines or self.devices or self.tasks or self.subnets or self.addresses)


async def show(visit: Visit) -> Reply:
    wanted = visit.request.option("q").strip()[:_LONGEST_TEXT]
    return await visit.page(
        "search.html",
        title=text("Search: {text}", text=wanted) if wanted else text("Search"),
        section="",
        text=wanted,
        found=await find(visit, wanted) if wanted else Found(),
    )


async def find(visit: Visit, text: str) -> Found:
    every, machines, all_devices, tasks, subnets = await asyncio.gather(
        visit.services.hosts.search("", caller=visit.caller),
        visit.services.machines.page(MachineSearch(query=SearchQuery(words=(text,)), limit=_MOST), caller=visit.caller),
        visit.services.devices.list(DeviceFilter(), caller=visit.caller),
        _tasks(visit, text),
        visit.services.networks.subnets(),
    )
    hosts = [host for host in every.hosts if _names(host, text)]
    devices = [device for device in all_devices if matches(device, text)]
    address = _address(text)
    return Found(
        hosts=await rows_of(visit, hosts[:_MOST]),
        host_count=len(hosts),
        machines=machines.machines,
        machine_count=machines.total,
        devices=devices[:_MOST],
        device_count=len(devices),
        tasks=tasks,
        subnets=[one for one in subnets if _is_subnet(one, text, address)][:_MOST],
        addresses=await _users_of(visit, subnets, address) if address is not None else (),
    )


async def _tasks(visit: Visit, text: str) -> list[Operation]:
    """The one with that id, and those whose VM or host has such a name."""
    found = list(await visit.services.operations.list(text=text, limit=_MOST, caller=visit.caller))
    number = text.removeprefix("#")
    if number.isdecimal() and len(number) <= _LONGEST_ID:
        with suppress(NotFound):
            found.insert(0, await visit.services.operations.read(int(number), caller=visit.caller))
    return list({task.id: task for task in found}.values())[:_MOST]


def _names(host: HostFacts, text: str) -> bool:
    facts = (host.name, host.address, host.project, *host.tags)
    return any(text.lower() in fact.lower() for fact in facts)


def _is_subnet(subnet: Subnet, text: str, address: Address | None) -> bool:
    if address is not None:
        return address in subnet.cidr
    return text.lower() in subnet.name.lower() or text in str(subnet.cidr)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


async def _users_of(visit: Visit, subnets: Sequence[Subnet], address: Address) -> list[tuple[Subnet, UsedAddress]]:
    inside = [subnet for subnet in subnets if address in subnet.cidr][:_MOST]
    return [
        (subnet, used)
        for subnet in inside
        for used in await visit.services.networks.used_addresses(str(subnet.id), caller=visit.caller)
        if used.address == address
    ]


PAGES = (Page(path="search", handle=show),)
