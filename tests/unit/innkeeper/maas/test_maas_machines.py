"""Machines of a database of MAAS in the inventory: their NICs, links, disks, and what is left out."""

from __future__ import annotations

import pytest

from common.maas.inventory import Disk, Inventory, Link, Machine
from tests.maas_site import machines as uncommon
from tests.maas_site.hosts import LIBVIRT, SOUTH, host_address
from tests.maas_site.machines import FIRST_NODE, GIB, hostname
from tests.maas_site.reading import inventory_from
from tests.maas_site.site import site
from tests.maas_site.tables import Row, Tables, system_id


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return inventory_from(site())


def machine(inventory: Inventory, number: int) -> Machine:
    return next(one for one in inventory.machines if one.hostname == hostname(number))


def changed(tables: Tables, table: str, id_: int, **values: object) -> None:
    tables[table] = [row | values if row["id"] == id_ else row for row in tables[table]]


def test_a_machine_has_all_that_its_rows_say(inventory: Inventory) -> None:
    found = machine(inventory, 0)
    assert found.system_id == system_id(FIRST_NODE)
    assert (found.domain, found.zone, found.pool, found.owner) == ("example.com", "north", "default", "anna")
    assert (found.host_id, found.instance, found.project) == ("1", "vm-00", "maas")
    assert (found.status, found.power_state, found.architecture) == (uncommon.DEPLOYED, "on", "amd64/generic")
    assert (found.cores, found.memory_mib, found.osystem, found.distro_series) == (1, 2048, "ubuntu", "noble")
    assert found.hardware_uuid == "00c0ffee-0000-4000-8000-000000000000"
    assert found.tags == ("pod-console-logging", "virtual")
    assert [nic.name for nic in found.nics] == ["eth0", "eth1"]
    assert found.nics[0].links == (Link(mode="auto", subnet="10.20.0.0/16", ip="10.20.16.0"),)
    assert found.nics[1].links == (
        Link(mode="static", subnet="10.30.0.0/16", ip="10.30.16.0"),
        Link(mode="static", subnet="2001:db8:30::/64", ip="2001:db8:30::1000"),
    )
    assert [nic.attachment for nic in found.nics] == ["network", "bridge"]
    assert found.nics[1].tags == ("apps", "fast")
    assert [(disk.name, disk.size_bytes, disk.storage_pool) for disk in found.disks] == [
        ("sda", 8 * GIB, "default"),
        ("sdb", 20 * GIB, "fast"),
    ]
    assert (found.disks[0].serial, found.disks[0].tags) == ("lxd_diska", ("ssd",))


def test_uncommon_machines_keep_what_is_uncommon(inventory: Inventory) -> None:
    assert machine(inventory, uncommon.DYNAMIC).dynamic is True
    assert machine(inventory, uncommon.LOCKED).locked
    assert machine(inventory, uncommon.LOCKED).description == "Line one\nline\ttwo \\ three"
    assert dict(machine(inventory, uncommon.JUJU).owner_data)["juju-units-deployed"] == 'postgresql/0 "a\\b"'
    assert machine(inventory, uncommon.HUGE_PAGES).huge_pages
    assert [len(machine(inventory, one).pinned_cores or ()) for one in uncommon.PINNED] == [1, 2]
    assert machine(inventory, uncommon.IN_MOTION).status == uncommon.DEPLOYING


def test_the_vm_of_a_renamed_machine_keeps_its_name(inventory: Inventory) -> None:
    found = machine(inventory, uncommon.SPELLED)
    assert (found.hostname, found.instance) == ("vm-19", "its-first-name")
    assert found.nics[0].mac_address == "00:16:3e:00:13:00"  # however it was spelled


def test_a_machine_that_lost_its_vm_is_still_there(inventory: Inventory) -> None:
    found = machine(inventory, uncommon.LOST)
    assert (found.power_state, found.instance) == ("error", "vm-07")
    assert [disk.storage_pool for disk in found.disks] == [""]


def test_hardware_sync_gives_no_nic_and_no_disk_twice(inventory: Inventory) -> None:
    found = machine(inventory, uncommon.SYNCED)
    assert [nic.mac_address for nic in found.nics] == ["00:16:3e:00:12:00", "00:16:3e:00:12:01"]
    assert found.nics[0].links[0].ip == "10.20.16.18"
    assert len(found.disks) == 1


def test_bridges_and_addresses_that_were_tried_are_no_nics_or_links(inventory: Inventory) -> None:
    assert [nic.name for nic in machine(inventory, uncommon.BRIDGED).nics] == ["eth0", "eth1"]
    assert [link.ip for link in machine(inventory, uncommon.TRIED).nics[0].links] == ["10.20.16.24"]


def test_links_have_the_modes_of_the_api(inventory: Inventory) -> None:
    by_dhcp, disconnected, only_up = (machine(inventory, one).nics[-1] for one in (5, 10, 11))
    assert by_dhcp.links == (Link(mode="dhcp", subnet="172.16.0.0/16"),)  # the lease that was seen is none
    assert (disconnected.links, disconnected.vlan_id, disconnected.enabled) == ((), "", False)
    assert only_up.links == (Link(mode="link_up", subnet="10.30.0.0/16"),)
    assert machine(inventory, 2).nics[0].links == (Link(mode="auto", subnet="10.20.0.0/16"),)  # Ready: no address


def test_the_pool_of_a_disk_is_found_after_a_refresh(inventory: Inventory) -> None:
    pools = {number: [one.storage_pool for one in machine(inventory, number).disks] for number in (1, 3, 8, 32)}
    assert pools == {1: ["fast"], 3: ["default"], uncommon.DYNAMIC: ["default", "fast"], 32: ["default", "fast"]}


def test_a_machine_without_commissioned_disks_has_those_of_its_vm() -> None:
    tables = site()
    number = FIRST_NODE + 1
    tables["maasserver_blockdevice"] = [
        row for row in tables["maasserver_blockdevice"] if row["node_config_id"] != number
    ]
    found = machine(inventory_from(tables), 1)
    assert found.disks == (Disk(name="vd0", size_bytes=9 * GIB, storage_pool="fast"),)


def test_disks_of_a_host_are_ordered_by_their_numbers() -> None:
    tables = site()
    vm = FIRST_NODE + 1
    tables["maasserver_blockdevice"] = [row for row in tables["maasserver_blockdevice"] if row["node_config_id"] != vm]
    row = next(one for one in tables["maasserver_virtualmachinedisk"] if one["vm_id"] == vm)
    tables["maasserver_virtualmachinedisk"] += [
        row | {"id": 900_000 - number, "name": f"vd{number}"} for number in (10, 9, 2, 1)
    ]
    assert [disk.name for disk in machine(inventory_from(tables), 1).disks] == ["vd0", "vd1", "vd2", "vd9", "vd10"]


def test_vms_of_libvirt_are_named_by_their_power_id(inventory: Inventory) -> None:
    found = machine(inventory, 35)
    assert (found.host_id, found.instance, found.project) == (str(LIBVIRT), "vm-35", "")


def test_old_rows_without_instance_have_the_name_of_the_vm() -> None:
    tables = site()
    changed(tables, "maasserver_node", FIRST_NODE, instance_power_parameters={})
    assert machine(inventory_from(tables), 0).instance == "vm-00"


def test_vms_of_no_host_are_left_out_with_the_reason(inventory: Inventory) -> None:
    assert [(one.name, one.reason.partition(".")[0]) for one in inventory.left_out] == [
        (
            "by-hand",
            "It was added to MAAS as an ordinary machine with the power type virsh, and belongs to no VM host",
        ),
        ("elsewhere", "MAAS saw it in the project other and had no machine for it"),
    ]
    names = {one.hostname for one in inventory.machines}
    assert names.isdisjoint({"metal", "printer", "rack-1", "kvm-north", "south-metal"})


def test_hosts_of_another_kind_are_left_out_with_their_vms() -> None:
    tables = site()
    changed(tables, "maasserver_bmc", SOUTH, power_type="rsd")
    found = inventory_from(tables)
    assert [one.name for one in found.left_out if one.kind == "hosts"] == ["kvm-south"]
    assert len([one for one in found.left_out if "Its host kvm-south is of the type rsd" in one.reason]) == 10
    assert len(found.machines) == 30


def test_addresses_of_others_are_reserved(inventory: Inventory) -> None:
    found = {one.ip: one for one in inventory.reserved_addresses}
    assert found["10.20.9.9"].mac_address == "52:54:00:99:99:99"
    assert found["10.20.9.9"].comment == "the printer"
    assert (found["10.30.0.80"].user, found["10.30.0.80"].subnet) == ("olaf", "10.30.0.0/16")
    assert found["10.20.0.31"].holder == "libvirt-metal"
    links = {link.ip for one in inventory.machines for nic in one.nics for link in nic.links if link.ip}
    assert links.isdisjoint(found)
    assert "10.20.15.0" not in found  # it was only tried out


def test_the_address_of_a_bridge_in_a_vm_is_reserved() -> None:
    tables = site()
    bridge: Row = next(one for one in tables["maasserver_interface"] if one["name"] == "br0")
    tables["maasserver_staticipaddress"].append(host_address(999_999, "10.20.50.1"))
    tables["maasserver_interface_ip_addresses"].append(
        {"id": 999_999, "interface_id": bridge["id"], "staticipaddress_id": 999_999}
    )
    found = {one.ip: one for one in inventory_from(tables).reserved_addresses}
    assert found["10.20.50.1"].holder == hostname(uncommon.BRIDGED)


def test_a_larger_site_has_as_many_machines_as_asked_for() -> None:
    found = inventory_from(site(5))
    assert (len(found.machines), len(found.hosts)) == (200, 10)
    assert len({one.system_id for one in found.machines}) == 200
