"""Machines of a MAAS that are VMs of its VM hosts, from its answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from common.maas.inventory import Disk, LeftOut, Link, Machine, Nic
from regiond.maas.source.answers import (
    InstanceName,
    Malformed,
    Row,
    Rows,
    flag,
    inner,
    inner_rows,
    name_of,
    number,
    required,
    text,
    texts,
)

_PHYSICAL = "physical"
_VM_POWER = ("lxd", "virsh")
_MAC_PARTS = re.compile(r"[:.-]")
_HEX = re.compile(r"[0-9a-f]{12}", re.ASCII)
_NO_HOST = (
    "It is a VM that was registered in MAAS as a machine of its own ({power_type}), not under a VM host. If a host of "
    "the import tracks it, it is shown there as an unmanaged VM, and can be adopted."
)


@frozen(kw_only=True)
class Surroundings:
    """What machines refer to: instances by `system_id`, VMs by id, and names of storage pools by host and id."""

    instances: Mapping[str, InstanceName]
    vms: Mapping[int, Row]
    storage_pools: Mapping[str, Mapping[str, str]]


def machines(found: Rows, known: Surroundings) -> tuple[Machine, ...]:
    """The machines of VM hosts, by `system_id`."""
    return tuple(sorted((_machine(one, known) for one in found if is_on_host(one)), key=lambda one: one.system_id))


def without_host(found: Rows) -> tuple[LeftOut, ...]:
    """VMs that belong to no VM host."""
    return tuple(
        LeftOut(
            kind="machines",
            id=required(one, "system_id"),
            name=text(one, "hostname"),
            reason=_NO_HOST.format(power_type=text(one, "power_type")),
        )
        for one in found
        if not is_on_host(one) and one.get("power_type") in _VM_POWER
    )


def is_on_host(one: Row) -> bool:
    return bool(inner(one, "pod"))


def normalised_mac(written: str) -> str:
    """Returns `aa:bb:cc:dd:ee:ff`: before 3.8, MAAS keeps the spelling that it was given. Raises Malformed."""
    parts = _MAC_PARTS.split(written.strip().lower())
    joined = "".join(part.zfill(2) for part in parts) if len(parts) == 6 else "".join(parts)
    if _HEX.fullmatch(joined) is None:
        raise Malformed("mac_address is no MAC address")
    return ":".join(joined[at : at + 2] for at in range(0, 12, 2))


def _machine(one: Row, known: Surroundings) -> Machine:
    system_id = required(one, "system_id")
    host_id = required(inner(one, "pod"), "id")
    instance = known.instances.get(system_id)
    vm = known.vms.get(number(one, "virtualmachine_id", -1), {})
    if instance is None:
        raise Malformed(f"the power parameters of {system_id} are missing")
    return Machine(
        system_id=system_id,
        hostname=required(one, "hostname"),
        domain=name_of(one, "domain"),
        host_id=host_id,
        instance=instance.name,
        project=instance.project,
        status=number(one, "status"),
        power_state=text(one, "power_state") or "unknown",
        architecture=text(one, "architecture"),
        owner=text(one, "owner"),
        zone=name_of(one, "zone"),
        pool=name_of(one, "pool"),
        tags=texts(one, "tag_names"),
        description=text(one, "description"),
        owner_data=tuple(sorted((key, text(inner(one, "owner_data"), key)) for key in inner(one, "owner_data"))),
        locked=flag(one, "locked"),
        cores=number(one, "cpu_count"),
        pinned_cores=_numbers(vm, "pinned_cores"),
        memory_mib=number(one, "memory"),
        huge_pages=flag(vm, "hugepages_backed"),
        hardware_uuid=text(one, "hardware_uuid"),
        osystem=text(one, "osystem"),
        distro_series=text(one, "distro_series"),
        nics=tuple(_nic(each) for each in inner_rows(one, "interface_set") if each.get("type") == _PHYSICAL),
        disks=tuple(
            _disk(each, known.storage_pools.get(host_id, {}))
            for each in inner_rows(one, "blockdevice_set")
            if each.get("type") == _PHYSICAL
        ),
    )


def _nic(one: Row) -> Nic:
    return Nic(
        name=required(one, "name"),
        mac_address=normalised_mac(required(one, "mac_address")),
        vlan_id=text(inner(one, "vlan"), "id"),
        enabled=flag(one, "enabled", default=True),
        links=tuple(
            Link(mode=required(each, "mode"), subnet=text(inner(each, "subnet"), "cidr"), ip=text(each, "ip_address"))
            for each in inner_rows(one, "links")
        ),
        tags=texts(one, "tags"),
    )


def _disk(one: Row, pools: Mapping[str, str]) -> Disk:
    return Disk(
        name=required(one, "name"),
        size_bytes=number(one, "size"),
        storage_pool=pools.get(text(one, "storage_pool"), ""),
        serial=text(one, "serial"),
        tags=texts(one, "tags"),
    )


def _numbers(of: Row, key: str) -> tuple[int, ...]:
    value = of.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, int) for each in value):
        raise Malformed(f"{key} is no list of numbers")
    return tuple(sorted(value))
