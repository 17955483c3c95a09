"""Machines of a MAAS that are VMs of its VM hosts, from its answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common.maas.inventory import Disk, Host, LeftOut, Link, Machine, Nic
from common.maas.pinning import known_pins
from common.maas.wording import normalised_mac, ordinary_machine, unmanaged
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
_KIND = "machines"
_VM_POWER = ("lxd", "virsh")


@frozen(kw_only=True)
class Surroundings:
    """The objects to which machines refer: instances by `system_id`, VMs by id, storage pools by host and id."""

    hosts: Mapping[str, Host]
    instances: Mapping[str, InstanceName]
    vms: Mapping[int, Row]
    storage_pools: Mapping[str, Mapping[str, str]]


def machines(found: Rows, known: Surroundings) -> tuple[Machine, ...]:
    """The machines of VM hosts, by `system_id`."""
    return tuple(sorted((_machine(one, known) for one in found if is_on_host(one)), key=lambda one: one.system_id))


def left_out(found: Rows, vms: Rows) -> tuple[LeftOut, ...]:
    """VMs that belong to no VM host, and those that no machine is."""
    ordinary = (one for one in found if not is_on_host(one) and one.get("power_type") in _VM_POWER)
    return (
        *(
            LeftOut(
                kind=_KIND,
                id=required(one, "system_id"),
                name=text(one, "hostname"),
                reason=ordinary_machine(text(one, "power_type")),
            )
            for one in ordinary
        ),
        *(
            LeftOut(kind=_KIND, id="", name=text(one, "identifier"), reason=unmanaged(text(one, "project")))
            for one in vms
            if one.get("machine_id") is None
        ),
    )


def is_on_host(one: Row) -> bool:
    return bool(inner(one, "pod"))


def _machine(one: Row, known: Surroundings) -> Machine:
    system_id = required(one, "system_id")
    host_id = required(inner(one, "pod"), "id")
    instance = known.instances.get(system_id)
    vm = known.vms.get(number(one, "virtualmachine_id", -1), {})
    if instance is None or host_id not in known.hosts:
        raise Malformed(f"the power parameters or the VM host of {system_id} are missing")
    pinned_cores, huge_pages = None, None
    if vm:
        power_type = known.hosts[host_id].power_type
        pinned_cores, huge_pages = known_pins(
            power_type, _numbers(vm, "pinned_cores"), huge_pages=flag(vm, "hugepages_backed")
        )
    return Machine(
        system_id=system_id,
        hostname=required(one, "hostname"),
        domain=name_of(one, "domain"),
        host_id=host_id,
        instance=instance.name,
        project=instance.project or text(vm, "project") or known.hosts[host_id].project,
        status=number(one, "status"),
        power_state=text(one, "power_state") or "unknown",
        architecture=text(one, "architecture"),
        owner=text(one, "owner"),
        zone=name_of(one, "zone"),
        pool=name_of(one, "pool"),
        tags=tuple(sorted(texts(one, "tag_names"))),
        description=text(one, "description"),
        owner_data=tuple(sorted((key, text(inner(one, "owner_data"), key)) for key in inner(one, "owner_data"))),
        locked=flag(one, "locked"),
        cores=number(one, "cpu_count"),
        pinned_cores=pinned_cores,
        memory_mib=number(one, "memory"),
        huge_pages=huge_pages,
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
