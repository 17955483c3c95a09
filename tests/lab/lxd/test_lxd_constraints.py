"""A machine's constraints on real LXD, checked with LXD's tools and on the running QEMU."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import ip_interface
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import InnkeeperError, NotFound, OutOfCapacity, Unsupported
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import Guest, GuestNic, HostFacts, NicKind, PowerAction, PowerState
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.driver import LxdDriver
from tests.contract.support.guest_samples import volumes_of
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, host_bridge, run
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair
from tests.lab.support.lxd_specs import driver_through, small_spec

FIRST_MAC, SECOND_MAC = "52:54:00:0e:00:01", "52:54:00:0e:00:02"


@pytest.fixture
def facts(driver: LxdDriver) -> HostFacts:
    return driver.discover().facts


@pytest.fixture
def bridge() -> Iterator[str]:
    with host_bridge("10.254.7.1/24") as name:
        yield name


def nic_spec(name: str, kind: NicKind, source: str, mac: str = FIRST_MAC, **fields: Any) -> NicSpec:
    return NicSpec(name=name, mac_address=mac, kind=kind, source=source, **fields)


def listed(driver: LxdDriver, name: str) -> Guest:
    (found,) = [guest for guest in driver.discover().guests if guest.name == name]
    return found


def of_bridge(lxd: LxdServer, index: int) -> NicAddress:
    own = ip_interface(lxd.ask(f"/1.0/networks/{lxd.managed_bridge}")["config"]["ipv4.address"])
    address = str(own.network[index])
    return NicAddress(address=address, prefix_length=own.network.prefixlen, gateway=str(own.ip))


def cloud_init_nics(lxd: LxdServer, name: str) -> Any:
    """The NICs in the cloud-init configuration that LXD gives a guest without agent, on a disk."""
    image = lxd.folder_of(name) / "config.iso"
    return json.loads(run("isoinfo", "-R", "-i", str(image), "-x", "/network-config"))["ethernets"]


def affinities(lxd: LxdServer, name: str) -> set[str]:
    """The cores that the threads of its QEMU may run on."""
    found = set()
    for status in (lxd.process_of(name) / "task").glob("*/status"):
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("Cpus_allowed_list")]
        found.add(line.split()[1])
    return found


def test_the_host_has_the_requested_nics_and_pins(
    lxd: LxdServer, driver: LxdDriver, facts: HostFacts, prefix: str, bridge: str
) -> None:
    core_ids = facts.numa_nodes[0].core_ids[:2]
    leased, static = of_bridge(lxd, 77), NicAddress(address="10.254.7.20", prefix_length=24, gateway="10.254.7.1")
    with lxd.pool("dir") as other:
        spec = small_spec(
            f"{prefix}whole",
            ("default", other),
            cores=len(core_ids),
            pinned_core_ids=core_ids,
            nics=(
                nic_spec("eth0", NicKind.NETWORK, lxd.managed_bridge, boot=True, address=leased),
                nic_spec("eth1", NicKind.BRIDGE, bridge, SECOND_MAC, address=static),
            ),
        )
        composed = driver.compose(spec)
        assert listed(driver, spec.name) == composed
        assert composed.pinned_core_ids == core_ids
        assert [disk.pool_id for disk in composed.disks] == ["default", other], "the cloud-init device is not a disk"
        assert composed.nics == (
            GuestNic(mac_address=FIRST_MAC, kind=NicKind.NETWORK, source=lxd.managed_bridge),
            GuestNic(mac_address=SECOND_MAC, kind=NicKind.BRIDGE, source=bridge),
        )
        shown = lxd.lxc("config", "show", spec.name)
        assert f"limits.cpu: {','.join(map(str, core_ids)) if len(core_ids) > 1 else '0-0'}" in shown
        assert f"ipv4.address: {leased.address}" in shown
        assert f"parent: {bridge}" in shown
        leases = lxd.lxc("network", "list-leases", lxd.managed_bridge, "--format", "csv")
        assert f"{spec.name},{FIRST_MAC},{leased.address},STATIC" in leases
        assert driver.power(spec.ref, PowerAction.ON, grace_s=1) is PowerState.ON
        nics = cloud_init_nics(lxd, spec.name)
        assert nics["eth0"] == {"match": {"macaddress": FIRST_MAC}, "dhcp4": True}
        assert nics["eth1"]["addresses"] == ["10.254.7.20/24"]
        assert {str(core_id) for core_id in core_ids} <= affinities(lxd, spec.name)
        driver.decompose(spec.ref, volumes_of(spec))
        assert lxd.instances(prefix) == set()


def test_huge_pages_back_the_guests_memory(lxd: LxdServer, driver: LxdDriver, prefix: str, pages: int) -> None:
    spec = small_spec(f"{prefix}huge", huge_page_size_kib=HUGE_PAGE_KIB, pinned_core_ids=(0,), cores=1)
    composed = driver.compose(spec)
    assert (composed.huge_pages_backed, composed.pinned_core_ids) == (True, (0,))
    shown = lxd.lxc("config", "show", spec.name)
    assert 'limits.memory.hugepages: "true"' in shown
    assert "limits.cpu: 0-0" in shown
    assert driver.power(spec.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    held = [line for line in (lxd.process_of(spec.name) / "maps").read_text().splitlines() if "/hugepages/" in line]
    first, _, last = held[0].split()[0].partition("-")
    assert (len(held), int(last, 16) - int(first, 16)) == (1, spec.memory_mib * 1024**2)
    node_pages = next(one for node in driver.discover().facts.numa_nodes for one in node.huge_pages)
    assert node_pages.size_kib == HUGE_PAGE_KIB
    assert node_pages.total >= pages
    driver.decompose(spec.ref, volumes_of(spec))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"huge_page_size_kib": 1048576}, Unsupported, "default size"),
        ({"huge_page_size_kib": HUGE_PAGE_KIB, "memory_mib": 1024 * 1024}, OutOfCapacity, "524288 huge pages"),
        ({"pinned_core_ids": (0, 4095)}, NotFound, "core 4095"),
        ({"nics": (nic_spec("eth0", NicKind.NETWORK, "iknowhere"),)}, NotFound, "iknowhere"),
        ({"nics": (nic_spec("eth0", NicKind.BRIDGE, "iknowhere"),)}, NotFound, "iknowhere"),
        ({"nics": (nic_spec("eth0", NicKind.USER, ""),)}, Unsupported, "user"),
    ],
)
def test_missing_resources_are_named_before_creation(
    lxd: LxdServer, driver: LxdDriver, prefix: str, changes: dict[str, Any], error: type[InnkeeperError], words: str
) -> None:
    before = lxd.volumes()
    with pytest.raises(error, match=words):
        driver.compose(evolve(small_spec(f"{prefix}not", ("default", "default")), **changes))
    assert (lxd.instances(prefix), lxd.volumes()) == (set(), before)


class Hasty(Client):
    """Deletes a network just before the instance is created."""

    network = ""
    delete_network: Callable[[str], object]

    def post(self, where: str, body: Mapping[str, Any], **options: Any) -> None:
        if where == "instances":
            self.delete_network(self.network)
        super().post(where, body, **options)


def test_a_network_deleted_during_compose_is_named(lxd: LxdServer, trusted: KeyPair, prefix: str) -> None:
    name = f"ikn{uuid4().hex[:8]}"
    lxd.lxc("network", "create", name, "ipv4.address=none", "ipv6.address=none")
    before = lxd.volumes()
    driver, client = driver_through(Hasty, lxd, trusted)
    client.network, client.delete_network = name, partial(lxd.lxc, "network", "delete")
    spec = small_spec(f"{prefix}lost", ("default", "default"), nics=(nic_spec("eth0", NicKind.NETWORK, name),))
    with pytest.raises(NotFound, match=name):
        driver.compose(spec)
    assert (lxd.instances(prefix), lxd.volumes()) == (set(), before)
    driver.close()


def test_nics_on_server_interfaces_have_lxds_types(lxd: LxdServer, driver: LxdDriver, prefix: str, port: str) -> None:
    spec = small_spec(
        f"{prefix}nics",
        nics=(
            nic_spec("eth0", NicKind.MACVLAN, port, macvlan_mode="vepa", configured=False),
            nic_spec("eth1", NicKind.SRIOV, port, SECOND_MAC, vid=101),
        ),
    )
    composed = driver.compose(spec)
    assert [(nic.kind, nic.source) for nic in composed.nics] == [(NicKind.MACVLAN, port), (NicKind.SRIOV, port)]
    devices = lxd.ask(f"/1.0/instances/{spec.name}")["devices"]
    assert (devices["eth0"]["nictype"], devices["eth0"]["parent"]) == ("macvlan", port)
    assert (devices["eth1"]["nictype"], devices["eth1"]["vlan"]) == ("sriov", "101")
    config = lxd.ask(f"/1.0/instances/{spec.name}")["config"]
    assert list(json.loads(config["cloud-init.network-config"])["ethernets"]) == ["eth1"]
    driver.decompose(spec.ref, volumes_of(spec))


def test_subnets_are_found_on_all_bridges(lxd: LxdServer, driver: LxdDriver, bridge: str) -> None:
    found = {network.name: network for network in driver.discover().facts.networks}
    own = ip_interface(lxd.ask(f"/1.0/networks/{lxd.managed_bridge}")["config"]["ipv4.address"])
    managed, plain = found[lxd.managed_bridge], found[bridge]
    assert (managed.addresses, managed.cidrs) == ((str(own),), (str(own.network),))
    assert (managed.gateway, managed.dhcp_ranges) == (str(own.ip), (f"{own.network[2]}-{own.network[-2]}",))
    assert (plain.addresses, plain.cidrs) == (("10.254.7.1/24",), ("10.254.7.0/24",))
    assert (plain.kind, plain.vid, plain.dhcp, plain.active) == (NicKind.BRIDGE, 0, False, True)
    assert managed.mac_address
    assert plain.mac_address
