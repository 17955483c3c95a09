"""Every call of gomaasclient is answered, or its answer says what to use instead."""

from __future__ import annotations

import pytest

from regiond.machines.values.disks import DiskToGrow
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import RACK_ID

_NODE, _NIC, _DISK = "nodes/wdpx3n/", "nodes/wdpx3n/interfaces/41/", "nodes/wdpx3n/blockdevices/31/"
_POWER = ("power_on", "power_off")
# Its operations as it writes them, by method and path.
OPERATIONS = {
    "GET account/": ("list_authorisation_tokens",),
    "POST account/": ("create_authorisation_token", "delete_authorisation_token", "update_token_name"),
    "GET boot-resources/": ("is-importing",),
    "POST boot-resources/": ("import", "stop-import"),
    "GET events/": ("query",),
    "GET discovery/": ("by_unknown_ip", "by_unknown_ip_and_mac", "by_unknown_mac"),
    "POST discovery/": ("clear", "clear_by_mac_and_ip"),
    "POST domains/": ("set_serial",),
    "POST domains/0/": ("set_default",),
    "POST ipaddresses/": ("release", "reserve"),
    "GET maas/": ("get_config",),
    "POST maas/": ("set_config",),
    "GET machines/": ("list_allocated",),
    "POST machines/": ("accept_all", "allocate", "release"),
    "GET machines/wdpx3n/": ("details", "get_token", "power_parameters", "query_power_state"),
    "POST machines/wdpx3n/": (
        "abort", "clear_default_gateways", "commission", "deploy", "exit_rescue_mode", "lock", "mark_broken",
        "mark_fixed", "release", "rescue_mode", "restore_default_configuration", "restore_networking_configuration",
        "restore_storage_configuration", "set_workload_annotations", "unlock", *_POWER,
    ),
    "POST devices/dev123/": ("set_workload_annotations",),
    f"POST {_NODE}interfaces/": ("create_bond", "create_bridge", "create_physical", "create_vlan"),
    f"POST {_NIC}": ("add_tag", "disconnect", "link_subnet", "remove_tag", "set_default_gateway", "unlink_subnet"),
    f"POST {_DISK}": ("add_tag", "format", "mount", "remove_tag", "set_boot_disk", "unformat", "unmount"),
    "GET pods/4/": ("parameters",),
    "POST pods/4/": ("compose", "refresh"),
    "GET rackcontrollers/": ("describe_power_types", "is_registered", "power_parameters"),
    "POST rackcontrollers/": ("set_zone",),
    f"GET rackcontrollers/{RACK_ID}/": ("details", "power_parameters", "query_power_state"),
    f"POST rackcontrollers/{RACK_ID}/": ("abort", "override_failed_testing", "test", *_POWER),
    "POST account/prefs/sshkeys/": ("import",),
    "GET subnets/3/": ("ip_addresses", "reserved_ip_ranges", "statistics", "unreserved_ip_ranges"),
    "GET tags/virtual/": ("machines",),
    "POST tags/virtual/": ("update_nodes",),
    "GET users/": ("whoami",),
}  # fmt: skip
CALLS = [(*call.split(" "), op) for call, ops in OPERATIONS.items() for op in ops]
LISTS = (
    "boot-resources/", "boot-sources/", "boot-sources/1/selections/", "devices/", "dhcp-snippets/", "discovery/",
    "dnsresourcerecords/", "dnsresources/", "domains/", "fabrics/", "fabrics/0/vlans/", "installation-results/",
    "ipaddresses/", "ipranges/", "license-keys/", "machines/", "notifications/", "package-repositories/", "pods/",
    "rackControllers/", "rackcontrollers/", "reservedips/", "resourcepools/", "scripts/", "spaces/",
    "account/prefs/sshkeys/", "account/prefs/sslkeys/", "static-routes/", "subnets/", "tags/", "users/", "zones/",
    f"{_NODE}bcache-cache-sets/", f"{_NODE}bcaches/", f"{_NODE}blockdevices/", f"{_DISK}partitions/",
    f"{_NODE}devices/", f"{_NODE}interfaces/", f"{_NODE}raids/", f"{_NODE}volume-groups/",
)  # fmt: skip


@pytest.mark.parametrize(("method", "path", "op"), CALLS, ids=[" ".join(one) for one in CALLS])
def test_every_operation_is_known(method: str, path: str, op: str) -> None:
    reply = ApiDouble().request(method, path, op=op if method == "POST" else None, query=f"op={op}")
    assert "Unrecognised signature" not in reply.body.decode(), reply
    assert reply.status not in {404, 405}, reply
    assert reply.status < 500, reply


@pytest.mark.parametrize("path", LISTS)
def test_every_list_is_one(path: str) -> None:
    assert isinstance(ApiDouble().json("GET", path), list)


def test_an_operation_with_hyphens_is_that_with_underscores() -> None:
    api = ApiDouble()
    plain, hyphens = (api.json("GET", "boot-resources/", query=f"op={op}") for op in ("is_importing", "is-importing"))
    assert plain is hyphens is False
    unknown = api.request("GET", "boot-resources/", query="op=is-mine")
    assert (unknown.status, unknown.body) == (400, b"Unrecognised signature: method=GET op=is_mine")


def test_a_disk_is_updated_with_what_it_has_and_nothing_else() -> None:
    api = ApiDouble()
    disk = api.json("GET", _DISK)
    same = {name: disk[name] for name in ("name", "size", "block_size", "serial", "id_path") if disk[name] is not None}
    assert api.json("PUT", _DISK, form={name: str(value) for name, value in same.items()}) == disk
    rejected = api.rejected("PUT", _DISK, form={"name": "sdz", "size": "7", "model": "QEMU", "block_size": "4096"})
    assert set(rejected) == {"name", "model", "block_size"}
    assert rejected["model"] == ["This property of a disk is fixed when it is created: add another disk."]


def test_a_disk_that_is_updated_with_another_size_grows() -> None:
    api = ApiDouble()
    larger = {"name": "sda", "size": str(9 * 10**9)}
    assert api.request("PUT", _DISK, form=larger).status == 200
    (change,) = [one for one in api.call("hardware.start").args if isinstance(one, DiskToGrow)]
    assert change.size_bytes == 9 * 10**9


def test_the_mtu_of_a_nic_is_that_of_its_vlan() -> None:
    api = ApiDouble()
    nic = api.json("GET", _NIC)
    assert api.json("PUT", _NIC, form={"mtu": str(nic["effective_mtu"])})["id"] == nic["id"]
    api.calls.clear()
    assert api.rejected("PUT", _NIC, form={"mtu": "1400"}) == {
        "mtu": ["A NIC of a virtual machine has the MTU of its VLAN: set that of the VLAN."]
    }
