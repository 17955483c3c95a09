"""Real QEMU: requested NICs, addresses, pins and huge pages are configured and later released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.disks.volume_names import seed_name
from common.errors import DriverFailed, InnkeeperError, NotFound, OutOfCapacity, WrongState
from common.guests.guest_spec import GuestSpec, NicAddress, NicSpec
from common.values import GuestNic, NicKind, PowerAction, PowerState
from tests.contract.support.guest_samples import volumes_of
from tests.contract.support.libvirt_fixtures import QemuFixture, qemu_fixture
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, huge_pages, run
from tests.lab.servers.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.servers.needs import require, why_no_huge_pages
from tests.lab.servers.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd
from tests.lab.support.cloud_init_image import cloud_init_files
from tests.lab.support.libvirt_specs import small_spec

PAGES = 96


@pytest.fixture
def network(qemu: QemuFixture) -> Iterator[LabNetwork]:
    with lab_network(qemu.administrator) as created:
        yield created


@pytest.fixture
def interface() -> Iterator[str]:
    """An unused interface of the server: one end of a veth pair."""
    name = f"ik{uuid4().hex[:6]}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    run("ip", "link", "set", name, "up")
    yield name
    run("ip", "link", "delete", name)


def nic_spec(number: int, kind: NicKind, source: str, address: str | None = None, **more: Any) -> NicSpec:
    fixed = NicAddress(address=address, prefix_length=24, gateway=f"{SUBNET}.1") if address else None
    return NicSpec(
        name=f"eth{number}",
        mac_address=f"52:54:00:1a:00:0{number}",
        kind=kind,
        source=source,
        address=fixed,
        **more,
    )


def tree_of(host_fixture: QemuFixture, spec: GuestSpec) -> ET.Element:
    return ET.fromstring(host_fixture.administrator.lookupByName(spec.name).XMLDesc())  # noqa: S314  libvirt's own answer


def image_of(folder: Path, spec: GuestSpec) -> dict[str, Any]:
    return cloud_init_files(folder / seed_name(spec.marker))


def test_guests_have_nics_addresses_and_cores_until_deleted(
    qemu: QemuFixture, network: LabNetwork, interface: str, tmp_path: Path
) -> None:
    spec = small_spec(
        qemu,
        "whole",
        nics=(
            nic_spec(1, NicKind.NETWORK, network.name, f"{SUBNET}.150", boot=True),
            nic_spec(2, NicKind.BRIDGE, network.bridge, f"{SUBNET}.151"),
            nic_spec(3, NicKind.MACVLAN, interface, macvlan_mode="private"),
        ),
        cores=2,
        pinned_core_ids=(1, 0),
        numa_node_ids=(0,),
    )
    guest = qemu.driver.compose(spec)
    assert (guest.cores, guest.pinned_core_ids, len(guest.disks)) == (2, (0, 1), 1)
    assert guest.nics == tuple(
        GuestNic(mac_address=nic.mac_address, kind=nic.kind, source=nic.source) for nic in spec.nics
    )
    tree = tree_of(qemu, spec)
    assert [pin.get("cpuset") for pin in tree.iterfind("cputune/vcpupin")] == ["1", "0"]
    assert [found.get("mode") for found in tree.iterfind("devices/interface[@type='direct']/source")] == ["private"]
    assert network.hosts() == [{"mac": "52:54:00:1a:00:01", "ip": f"{SUBNET}.150"}]
    files = image_of(tmp_path, spec)
    assert files["meta-data"] == {"instance-id": guest.guest_id, "local-hostname": spec.name}
    assert files["network-config"]["ethernets"]["eth2"]["addresses"] == [f"{SUBNET}.151/24"]

    assert qemu.driver.compose(spec) == guest
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    running = qemu.administrator.lookupByName(spec.name)
    assert running.vcpuPinInfo() == [(False, True), (True, False)]
    (listed,) = [found for found in qemu.driver.discover().guests if found.name == spec.name]
    assert (listed.marker, [disk.device for disk in listed.disks]) == (spec.marker, ["vda"])

    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert (qemu.volumes(), network.hosts()) == (set(), [])
    qemu.driver.decompose(spec.ref, volumes_of(spec))


def test_an_earlier_attempt_is_completed_or_removed(qemu: QemuFixture, network: LabNetwork, tmp_path: Path) -> None:
    spec = small_spec(qemu, "again", nics=(nic_spec(1, NicKind.NETWORK, network.name, f"{SUBNET}.160"),))
    qemu.driver.compose(spec)
    network.take_away("52:54:00:1a:00:01", f"{SUBNET}.160")  # as if the rack had been killed before it added the entry
    qemu.driver.compose(spec)
    assert len(network.hosts()) == 1
    qemu.driver.decompose(spec.ref, volumes_of(spec))

    other = small_spec(qemu, "again", nics=(nic_spec(1, NicKind.BRIDGE, network.bridge, f"{SUBNET}.161"),))
    qemu.driver.compose(other)
    half_written = (tmp_path / seed_name(other.marker)).read_bytes()[:4096]
    qemu.administrator.lookupByName(other.name).undefine()
    (tmp_path / seed_name(other.marker)).write_bytes(half_written)
    qemu.driver.compose(other)
    assert image_of(tmp_path, other)["network-config"]["version"] == 2
    qemu.administrator.lookupByName(other.name).undefine()
    qemu.driver.decompose(other.ref, volumes_of(other))
    assert qemu.volumes() == set()


def test_addresses_of_guests_deleted_elsewhere_are_released(qemu: QemuFixture, network: LabNetwork) -> None:
    network.enter("52:54:00:1a:00:09", f"{SUBNET}.170")
    before = network.hosts()
    spec = small_spec(qemu, "removed", nics=(nic_spec(1, NicKind.NETWORK, network.name, f"{SUBNET}.171"),))
    qemu.driver.compose(spec)
    qemu.administrator.lookupByName(spec.name).undefine()
    assert len(network.hosts()) == 2
    qemu.driver.decompose(spec.ref, volumes_of(spec), tuple(nic.mac_address for nic in spec.nics))
    assert (qemu.volumes(), network.hosts()) == (set(), before)


def test_conflicting_host_entries_are_named_and_not_changed(qemu: QemuFixture, network: LabNetwork) -> None:
    network.enter("52:54:00:1a:00:09", f"{SUBNET}.170")
    before = network.hosts()
    spec = small_spec(qemu, "taken", nics=(nic_spec(1, NicKind.NETWORK, network.name, f"{SUBNET}.170"),))
    with pytest.raises(WrongState, match="52:54:00:1a:00:09"):
        qemu.driver.compose(spec)
    assert (qemu.volumes(), network.hosts(), qemu.driver.find(spec.ref)) == (set(), before, None)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"nics": (nic_spec(1, NicKind.BRIDGE, "iknowhere"),)}, NotFound, "bridge iknowhere"),
        ({"nics": (nic_spec(1, NicKind.MACVLAN, "iknowhere"),)}, NotFound, "interface iknowhere"),
        ({"nics": (nic_spec(1, NicKind.SRIOV, "iknowhere"),)}, NotFound, "port iknowhere"),
        ({"pinned_core_ids": (4095,)}, NotFound, "core 4095"),
        ({"huge_page_size_kib": HUGE_PAGE_KIB, "memory_mib": 1024 * 1024}, OutOfCapacity, "524288 huge pages"),
    ],
)
def test_missing_resources_are_named_before_creation(
    qemu: QemuFixture, changes: dict[str, Any], error: type[InnkeeperError], words: str
) -> None:
    with pytest.raises(error, match=words):
        qemu.driver.compose(evolve(small_spec(qemu, "not"), **changes))
    assert qemu.volumes() == set()


def test_a_rejected_domain_leaves_no_seed_or_host_entry(qemu: QemuFixture, network: LabNetwork) -> None:
    rejected = evolve(nic_spec(2, NicKind.BRIDGE, network.bridge, f"{SUBNET}.181"), mac_address="53:54:00:00:00:01")
    spec = small_spec(
        qemu,
        "rejected",
        nics=(nic_spec(1, NicKind.NETWORK, network.name, f"{SUBNET}.180"), rejected),
    )
    with pytest.raises(DriverFailed, match="unicast"):
        qemu.driver.compose(spec)
    assert (qemu.volumes(), network.hosts()) == (set(), [])


def test_a_guest_runs_on_huge_pages_of_one_node(tmp_path: Path) -> None:
    require(why_no_own_libvirtd() or why_no_huge_pages())
    pool = tmp_path / "pool"
    pool.mkdir()
    daemon = OwnLibvirtd(tmp_path)
    with huge_pages(PAGES):
        daemon.start()  # libvirtd finds the huge page file system only at its start
        host_fixture = qemu_fixture(INSTALLATION, pool, uri=daemon.uri)
        try:
            spec = small_spec(host_fixture, "huge", huge_page_size_kib=HUGE_PAGE_KIB, numa_node_ids=(0,))
            assert host_fixture.driver.compose(spec).huge_pages_backed
            host_fixture.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
            mapped = Path(f"/proc/{daemon.process_of(spec.name)}/maps").read_text()
            assert "/hugepages/" in mapped
            sizes = [pages.size_kib for pages in host_fixture.driver.discover().facts.numa_nodes[0].huge_pages]
            assert HUGE_PAGE_KIB in sizes
            host_fixture.driver.decompose(spec.ref, volumes_of(spec))
        finally:
            host_fixture.close()
            daemon.close()
