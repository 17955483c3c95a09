"""The driver on real QEMU makes cards, addresses, pins and huge pages as asked, and takes all of it away again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.errors import DriverFailed, InnkeeperError, NotFound, OutOfCapacity, WrongState
from common.marks import seed_name, volume_name
from common.values import (
    DiskSpec,
    GuestNic,
    GuestSpec,
    Mark,
    NicAddress,
    NicKind,
    NicSpec,
    PowerAction,
    PowerState,
)
from tests.contract.libvirt_benches import QemuBench, qemu_bench
from tests.lab.cloud_init_image import cloud_init_files
from tests.lab.conftest import INSTALLATION
from tests.lab.host_setup import HUGE_PAGE_KIB, huge_pages, run
from tests.lab.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.needs import why_no_huge_pages
from tests.lab.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd

PAGES = 96


@pytest.fixture
def network(qemu: QemuBench) -> Iterator[LabNetwork]:
    with lab_network(qemu.administrator) as made:
        yield made


@pytest.fixture
def interface() -> Iterator[str]:
    """An interface of the server that no guest is on: one end of a cable."""
    name = f"ik{uuid4().hex[:6]}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    run("ip", "link", "set", name, "up")
    yield name
    run("ip", "link", "delete", name)


def spec_of(bench: QemuBench, name: str, *nics: NicSpec, **more: Any) -> GuestSpec:
    mark = Mark(installation_id=INSTALLATION, machine_id=uuid4())
    disk = DiskSpec(volume=volume_name(mark, 0), pool_id=bench.pool_id, size_bytes=4 * 1024 * 1024, serial="first")
    spec = GuestSpec(
        name=f"{bench.prefix}{name}", mark=mark, architecture="amd64", cores=1, memory_mib=128, disks=(disk,), nics=nics
    )
    return evolve(spec, **more)


def volumes_of(spec: GuestSpec) -> tuple[tuple[str, str], ...]:
    return tuple((disk.pool_id, disk.volume) for disk in spec.disks)


def card(number: int, kind: NicKind, source: str, address: str | None = None, **more: Any) -> NicSpec:
    fixed = NicAddress(address=address, prefix_length=24, gateway=f"{SUBNET}.1") if address else None
    return NicSpec(
        name=f"eth{number}",
        mac_address=f"52:54:00:1a:00:0{number}",
        kind=kind,
        source=source,
        address=fixed,
        **more,
    )


def tree_of(bench: QemuBench, spec: GuestSpec) -> ET.Element:
    return ET.fromstring(bench.administrator.lookupByName(spec.name).XMLDesc())  # noqa: S314  libvirt's own answer


def image_of(folder: Path, spec: GuestSpec) -> dict[str, Any]:
    return cloud_init_files(folder / seed_name(spec.mark))


def test_a_guest_gets_its_cards_addresses_and_cores_and_takes_all_of_it_along(
    qemu: QemuBench, network: LabNetwork, interface: str, tmp_path: Path
) -> None:
    spec = spec_of(
        qemu,
        "whole",
        card(1, NicKind.NETWORK, network.name, f"{SUBNET}.150", boot=True),
        card(2, NicKind.BRIDGE, network.bridge, f"{SUBNET}.151"),
        card(3, NicKind.MACVLAN, interface, macvlan_mode="private"),
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
    told = image_of(tmp_path, spec)
    assert told["meta-data"] == {"instance-id": guest.guest_id, "local-hostname": spec.name}
    assert told["network-config"]["ethernets"]["eth2"]["addresses"] == [f"{SUBNET}.151/24"]

    assert qemu.driver.compose(spec) == guest
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    running = qemu.administrator.lookupByName(spec.name)
    assert running.vcpuPinInfo() == [(False, True), (True, False)]
    (listed,) = [found for found in qemu.driver.discover().guests if found.name == spec.name]
    assert (listed.mark, [disk.device for disk in listed.disks]) == (spec.mark, ["vda"])

    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert (qemu.volumes(), network.hosts()) == (set(), [])
    qemu.driver.decompose(spec.ref, volumes_of(spec))


def test_what_an_earlier_attempt_left_is_finished_or_removed(
    qemu: QemuBench, network: LabNetwork, tmp_path: Path
) -> None:
    spec = spec_of(qemu, "again", card(1, NicKind.NETWORK, network.name, f"{SUBNET}.160"))
    qemu.driver.compose(spec)
    network.take_away("52:54:00:1a:00:01", f"{SUBNET}.160")  # as if the rack had been killed before it was entered
    qemu.driver.compose(spec)
    assert len(network.hosts()) == 1
    qemu.driver.decompose(spec.ref, volumes_of(spec))

    other = spec_of(qemu, "again", card(1, NicKind.BRIDGE, network.bridge, f"{SUBNET}.161"))
    qemu.driver.compose(other)
    half_written = (tmp_path / seed_name(other.mark)).read_bytes()[:4096]
    qemu.administrator.lookupByName(other.name).undefine()
    (tmp_path / seed_name(other.mark)).write_bytes(half_written)
    qemu.driver.compose(other)
    assert image_of(tmp_path, other)["network-config"]["version"] == 2
    qemu.administrator.lookupByName(other.name).undefine()
    qemu.driver.decompose(other.ref, volumes_of(other))
    assert qemu.volumes() == set()


def test_the_address_of_a_guest_that_somebody_else_removed_is_given_back(qemu: QemuBench, network: LabNetwork) -> None:
    network.enter("52:54:00:1a:00:09", f"{SUBNET}.170")
    before = network.hosts()
    spec = spec_of(qemu, "removed", card(1, NicKind.NETWORK, network.name, f"{SUBNET}.171"))
    qemu.driver.compose(spec)
    qemu.administrator.lookupByName(spec.name).undefine()
    assert len(network.hosts()) == 2
    qemu.driver.decompose(spec.ref, volumes_of(spec), tuple(nic.mac_address for nic in spec.nics))
    assert (qemu.volumes(), network.hosts()) == (set(), before)


def test_an_address_that_an_administrator_reserved_for_another_is_named_and_stays(
    qemu: QemuBench, network: LabNetwork
) -> None:
    network.enter("52:54:00:1a:00:09", f"{SUBNET}.170")
    before = network.hosts()
    spec = spec_of(qemu, "taken", card(1, NicKind.NETWORK, network.name, f"{SUBNET}.170"))
    with pytest.raises(WrongState, match="52:54:00:1a:00:09"):
        qemu.driver.compose(spec)
    assert (qemu.volumes(), network.hosts(), qemu.driver.find(spec.ref)) == (set(), before, None)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"nics": (card(1, NicKind.BRIDGE, "iknowhere"),)}, NotFound, "bridge iknowhere"),
        ({"nics": (card(1, NicKind.MACVLAN, "iknowhere"),)}, NotFound, "interface iknowhere"),
        ({"nics": (card(1, NicKind.SRIOV, "iknowhere"),)}, NotFound, "port iknowhere"),
        ({"pinned_core_ids": (4095,)}, NotFound, "core 4095"),
        ({"huge_page_size_kib": HUGE_PAGE_KIB, "memory_mib": 1024 * 1024}, OutOfCapacity, "524288 huge pages"),
    ],
)
def test_what_the_host_has_not_is_refused_by_name_and_nothing_was_made(
    qemu: QemuBench, changes: dict[str, Any], error: type[InnkeeperError], words: str
) -> None:
    with pytest.raises(error, match=words):
        qemu.driver.compose(evolve(spec_of(qemu, "not"), **changes))
    assert qemu.volumes() == set()


def test_what_libvirt_refuses_leaves_neither_image_nor_host_entry(qemu: QemuBench, network: LabNetwork) -> None:
    refused = evolve(card(2, NicKind.BRIDGE, network.bridge, f"{SUBNET}.181"), mac_address="53:54:00:00:00:01")
    spec = spec_of(qemu, "refused", card(1, NicKind.NETWORK, network.name, f"{SUBNET}.180"), refused)
    with pytest.raises(DriverFailed, match="unicast"):
        qemu.driver.compose(spec)
    assert (qemu.volumes(), network.hosts()) == (set(), [])


def test_a_guest_runs_on_huge_pages_of_one_node(tmp_path: Path) -> None:
    if (why := why_no_own_libvirtd() or why_no_huge_pages()) is not None:
        pytest.skip(why)
    pool = tmp_path / "pool"
    pool.mkdir()
    daemon = OwnLibvirtd(tmp_path)
    with huge_pages(PAGES):
        daemon.start()  # now: it looks for their file system when it starts
        bench = qemu_bench(INSTALLATION, pool, uri=daemon.uri)
        try:
            spec = spec_of(bench, "huge", huge_page_size_kib=HUGE_PAGE_KIB, numa_node_ids=(0,))
            assert bench.driver.compose(spec).huge_pages_backed
            bench.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
            mapped = Path(f"/proc/{daemon.process_of(spec.name)}/maps").read_text()
            assert "/hugepages/" in mapped
            sizes = [pages.size_kib for pages in bench.driver.discover().facts.numa_nodes[0].huge_pages]
            assert HUGE_PAGE_KIB in sizes
            bench.driver.decompose(spec.ref, volumes_of(spec))
        finally:
            bench.close()
            daemon.close()
