"""Specs become domain XML that libvirt accepts and that contains exactly what was requested."""

from __future__ import annotations

from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from common.disks.volume_names import seed_name, volume_name
from common.errors import InvalidRequest, Unsupported
from common.guests.guest_spec import DiskSpec, GuestSpec, NicAddress, NicSpec
from common.values import GuestNic, NicKind, OwnershipMarker
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk
from rackd.drivers.libvirt.definitions.domain_xml import (
    DomainCapabilities,
    PreparedResources,
    check,
    domain_xml,
    volume_xml,
)
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from rackd.drivers.libvirt.definitions.nic_xml import VirtualFunction
from rackd.drivers.libvirt.definitions.seed_xml import PreparedSeed, add_seed, remove_seed
from rackd.drivers.libvirt.inventory.guests import guest_of_domain
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.xml import attribute, pci_address

MARKER = OwnershipMarker(installation_id=UUID(int=10), machine_id=UUID(int=11))
PATHS = PoolPaths(paths=(("/pool", "pool"),))
KVM = HostTraits(kernel_architecture="x86_64", architecture="amd64", domain_type="kvm", privileged=True)
QEMU = evolve(KVM, domain_type="qemu", privileged=False)
EVERYTHING = DomainCapabilities(cpu_mode="host-passthrough", vnc=True, video="vga", firmware_efi=True, random=True)


def disk(index: int = 0, *, marker: OwnershipMarker = MARKER, size_bytes: int = 10**9) -> DiskSpec:
    return DiskSpec(volume=volume_name(marker, index), pool_id="pool", size_bytes=size_bytes, serial=f"disk{index}")


MAC = "52:54:00:00:00:01"
NIC = NicSpec(name="eth0", mac_address=MAC, kind=NicKind.SRIOV, source="eth3")
SPEC = GuestSpec(name="web-1", marker=MARKER, architecture="amd64", cores=2, memory_mib=4096, disks=(disk(0), disk(1)))


def prepared(spec: GuestSpec, *, block: bool = False) -> PreparedResources:
    disks = (PreparedDisk(spec=disk, path=f"/pool/{disk.volume}", block=block) for disk in spec.disks)
    return PreparedResources(disks=tuple(disks))


def tree_of(spec: GuestSpec, traits: HostTraits = KVM, offer: DomainCapabilities = EVERYTHING) -> ET.Element:
    return ET.fromstring(domain_xml(spec, prepared(spec), traits, offer))  # noqa: S314  # trusted


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True)
macs = st.integers(0, 2**32 - 1).map(lambda number: "52:54:" + number.to_bytes(4, "big").hex(":"))
nics = st.builds(
    lambda name, mac, kind, source, boot: NicSpec(
        name=name, mac_address=mac, kind=kind, source="" if kind is NicKind.USER else source, boot=boot
    ),
    names,
    macs,
    st.sampled_from([NicKind.NETWORK, NicKind.BRIDGE, NicKind.MACVLAN, NicKind.USER]),
    names,
    st.booleans(),
)


@st.composite
def specs(draw: st.DrawFn) -> GuestSpec:
    marker = OwnershipMarker(installation_id=draw(st.uuids()), machine_id=draw(st.uuids()))
    sizes = draw(st.lists(st.integers(1, 2**43), min_size=1, max_size=30))
    return GuestSpec(
        name=draw(names),
        marker=marker,
        architecture="amd64",
        cores=draw(st.integers(1, 512)),
        memory_mib=draw(st.integers(1, 2**22)),
        disks=tuple(disk(index, marker=marker, size_bytes=size) for index, size in enumerate(sizes)),
        nics=tuple(draw(st.lists(nics, max_size=8, unique_by=lambda nic: nic.mac_address))),
        description=draw(st.text(max_size=40)),
    )


@given(spec=specs(), traits=st.sampled_from([KVM, QEMU]), offer=st.sampled_from([EVERYTHING, DomainCapabilities()]))
def test_domain_xml_round_trips(spec: GuestSpec, traits: HostTraits, offer: DomainCapabilities) -> None:
    check(spec, traits)
    guest = guest_of_domain(domain_xml(spec, prepared(spec), traits, offer), {"state.state": 5}, PATHS)
    assert (guest.name, guest.guest_id, guest.marker) == (spec.name, str(spec.marker.machine_id), spec.marker)
    assert (guest.cores, guest.memory_mib, guest.architecture) == (spec.cores, spec.memory_mib, "amd64")
    assert [(found.volume, found.serial) for found in guest.disks] == [
        (wanted.volume, wanted.serial) for wanted in spec.disks
    ]
    assert [(nic.mac_address, nic.kind, nic.source) for nic in guest.nics] == [
        (nic.mac_address, nic.kind, nic.source) for nic in spec.nics
    ]


@given(spec=specs())
def test_boot_orders_are_unique(spec: GuestSpec) -> None:
    tree = tree_of(spec)
    nics = [int(order.get("order", "")) for order in tree.iterfind("devices/interface/boot")]
    disks = [int(order.get("order", "")) for order in tree.iterfind("devices/disk/boot")]
    assert sorted(nics + disks) == list(range(1, len(nics) + len(disks) + 1))
    assert max(nics, default=0) < min(disks)


@given(spec=specs())
@settings(max_examples=25)
def test_libvirt_accepts_the_domain_xml(spec: GuestSpec) -> None:
    client = Client.open("test:///default")
    traits = evolve(KVM, domain_type="test", privileged=False)
    try:
        domain = client.define(domain_xml(spec, prepared(spec), traits, DomainCapabilities()), spec.name)
        stored = guest_of_domain(domain.xml(), {"state.state": 5}, PATHS)
        domain.undefine()
    finally:
        client.close()
    assert (stored.name, stored.marker, stored.cores) == (spec.name, spec.marker, spec.cores)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (evolve(SPEC, name="a/b"), "name"),
        (evolve(SPEC, name="-a"), "name"),
        (evolve(SPEC, name="a" * 64), "name"),
        (evolve(SPEC, name="a\n"), "name"),
        (evolve(SPEC, name="é"), "name"),
        (evolve(SPEC, disks=()), "disks"),
        (evolve(SPEC, disks=(evolve(disk(), volume="root"),)), "marker"),
        (evolve(SPEC, disks=(disk(marker=OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())),)), "marker"),
        (evolve(SPEC, disks=(evolve(disk(), serial="a b"),)), "serial"),
        (evolve(SPEC, nics=(NicSpec(name="e", mac_address="nonsense", kind=NicKind.USER),)), "MAC"),
        (evolve(SPEC, nics=(evolve(NIC, kind=NicKind.BRIDGE, source="../x"),)), "invalid source"),
        (evolve(SPEC, nics=(evolve(NIC, kind=NicKind.NETWORK, source=""),)), "invalid source"),
        (evolve(SPEC, pinned_core_ids=(4,)), "2 virtual cores"),
        (evolve(SPEC, pinned_core_ids=(4, 4)), "duplicate"),
        (evolve(SPEC, numa_node_ids=(-1,)), "start at 0"),
        (evolve(SPEC, nics=(evolve(NIC, kind=NicKind.MACVLAN, macvlan_mode="bridged"),)), "mode"),
        (evolve(SPEC, nics=(evolve(NIC, vid=4095),)), "4095"),
        (evolve(SPEC, nics=(evolve(NIC, address=NicAddress(address="10.0.0.300", prefix_length=24)),)), "10.0.0.300"),
    ],
)
def test_invalid_specs_are_rejected_before_creation(spec: GuestSpec, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        check(spec, KVM)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (evolve(SPEC, nics=(evolve(NIC, kind=NicKind.OTHER),)), "other"),
        (evolve(SPEC, nics=(evolve(NIC, kind=NicKind.BRIDGE, vid=12),)), "eth0"),
        (evolve(SPEC, architecture="arm64"), "arm64"),
    ],
    ids=["NIC kind", "VLAN tag without a virtual function", "architecture"],
)
def test_unsupported_specs_are_rejected(spec: GuestSpec, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        check(spec, KVM)


def test_domain_xml_has_pins_huge_pages_and_numa_nodes() -> None:
    tree = tree_of(evolve(SPEC, pinned_core_ids=(7, 3), huge_page_size_kib=2048, numa_node_ids=(1, 0)))
    pins = {pin.get("vcpu"): pin.get("cpuset") for pin in tree.iterfind("cputune/vcpupin")}
    assert pins == {"0": "7", "1": "3"}
    assert [found.get("cpuset") for found in tree.iterfind(".//*[@cpuset]")] == ["3,7", "7", "3", "3,7"]
    page, memory = tree.find("memoryBacking/hugepages/page"), tree.find("numatune/memory")
    assert page is not None
    assert memory is not None
    assert (page.attrib, memory.attrib) == ({"size": "2048", "unit": "KiB"}, {"mode": "strict", "nodeset": "0,1"})


def test_domain_xml_has_no_tuning_by_default() -> None:
    tree = tree_of(SPEC)
    assert [tree.find(path) for path in ("cputune", "numatune", "memoryBacking")] == [None] * 3


@pytest.mark.parametrize(
    ("mode", "expected"), [(None, "bridge"), ("vepa", "vepa"), ("passthru", "passthrough"), ("private", "private")]
)
def test_macvlan_nics_use_the_requested_mode(mode: str | None, expected: str) -> None:
    nic = evolve(NIC, kind=NicKind.MACVLAN, macvlan_mode=mode)
    assert attribute(tree_of(evolve(SPEC, nics=(nic,))), "devices/interface/source", "mode") == expected


def test_sriov_nics_have_function_tag_and_port() -> None:
    spec = evolve(SPEC, nics=(evolve(NIC, vid=12, boot=True),))
    whole = evolve(prepared(spec), functions={MAC: VirtualFunction(pci_address="0000:3b:02.1")})
    xml = domain_xml(spec, whole, KVM, EVERYTHING)
    interface = ET.fromstring(xml).find("devices/interface")  # noqa: S314  # trusted
    assert interface is not None
    assert (interface.get("type"), interface.get("managed")) == ("hostdev", "yes")
    assert attribute(interface, "vlan/tag", "id") == "12"
    assert [pci_address(found) for found in interface.iterfind("source/address")] == ["0000:3b:02.1"]
    assert guest_of_domain(xml, {"state.state": 5}, PATHS).nics == (
        GuestNic(mac_address=MAC, kind=NicKind.SRIOV, source="eth3"),
    )


def test_sriov_networks_choose_the_function() -> None:
    spec = evolve(SPEC, nics=(NIC,))
    xml = domain_xml(spec, evolve(prepared(spec), functions={MAC: VirtualFunction(network="pool")}), KVM, EVERYTHING)
    interface = ET.fromstring(xml).find("devices/interface")  # noqa: S314  # trusted
    assert interface is not None
    assert (interface.get("type"), attribute(interface, "source", "network")) == ("network", "pool")
    assert [nic.source for nic in guest_of_domain(xml, {"state.state": 5}, PATHS).nics] == ["eth3"]


SEED = PreparedSeed(path=f"/pool/{seed_name(MARKER)}", block=False)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_seed_image_is_a_cdrom_that_is_never_booted(architecture: str) -> None:
    """Debian's cloud kernel has no driver for SATA drives."""
    spec, traits = evolve(SPEC, architecture=architecture), evolve(KVM, architecture=architecture)
    xml = domain_xml(spec, evolve(prepared(spec), seed=SEED), traits, EVERYTHING)
    devices = ET.fromstring(xml).find("devices")  # noqa: S314  # trusted
    assert devices is not None
    drive = devices.find("disk[@device='cdrom']")
    assert drive is not None
    assert (attribute(drive, "target", "bus"), drive.find("boot"), drive.find("readonly") is None) == (
        "scsi", None, False,
    )  # fmt: skip
    assert [one.get("model") for one in devices.iterfind("controller[@type='scsi']")] == ["virtio-scsi"]
    assert len(guest_of_domain(xml, {"state.state": 5}, PATHS).disks) == 2


def test_a_seed_gets_its_place_beside_other_scsi_devices() -> None:
    devices = ET.fromstring(  # noqa: S314  # trusted
        """<devices><controller type='scsi' index='0' model='lsilogic'/>
        <disk type='file' device='disk'><source file='/pool/other'/><target dev='sda' bus='scsi'/>
          <address type='drive' controller='0' bus='0' target='0' unit='0'/></disk></devices>"""
    )
    before = ET.tostring(devices.find("disk") or devices)
    add_seed(devices, SEED)
    drive = devices.find("disk[@device='cdrom']")
    assert drive is not None
    assert (attribute(drive, "target", "dev"), attribute(drive, "address", "controller")) == ("sdb", "1")
    assert [one.get("model") for one in devices.iterfind("controller")] == ["lsilogic", "virtio-scsi"]
    remove_seed(devices, MARKER)
    assert [ET.tostring(disk) for disk in devices.iterfind("disk")] == [before]


def test_characters_invalid_in_xml_are_removed() -> None:
    assert tree_of(evolve(SPEC, description="a\x00b<&\ud800c")).findtext("description") == "a b<& c"


def test_the_host_cpu_model_requires_kvm() -> None:
    capabilities = """<domainCapabilities>
      <os supported='yes'><enum name='firmware'><value>efi</value></enum></os>
      <cpu><mode name='host-passthrough' supported='yes'/><mode name='maximum' supported='yes'/></cpu>
      <devices>
        <graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
        <video supported='yes'><enum name='modelType'><value>virtio</value><value>vga</value></enum></video>
        <rng supported='yes'><enum name='backendModel'><value>random</value></enum></rng>
      </devices>
    </domainCapabilities>"""
    assert DomainCapabilities.of(capabilities, KVM) == EVERYTHING
    assert DomainCapabilities.of(capabilities, QEMU).cpu_mode == "maximum"
    assert (
        DomainCapabilities.of("<domainCapabilities/>", KVM) == DomainCapabilities() == DomainCapabilities.of(None, KVM)
    )


def test_vnc_listens_nowhere() -> None:
    (graphics,) = tree_of(SPEC).iterfind("devices/graphics")
    assert graphics.attrib == {"type": "vnc"}
    assert [listen.attrib for listen in graphics] == [{"type": "none"}]
    assert tree_of(SPEC, offer=DomainCapabilities()).find("devices/graphics") is None


def test_the_clipboard_is_shared_where_the_emulator_can() -> None:
    shared = "devices/channel[@type='qemu-vdagent']"
    assert tree_of(SPEC).find(shared) is None
    channel = tree_of(SPEC, offer=evolve(EVERYTHING, clipboard=True)).find(shared)
    assert channel is not None
    assert attribute(channel, "source/clipboard", "copypaste") == "yes"
    assert attribute(channel, "target", "name") == "com.redhat.spice.0"


def test_the_serial_port_is_logged_to_the_prepared_file() -> None:
    logged = evolve(prepared(SPEC), serial_log="/pool/console.log")
    tree = ET.fromstring(domain_xml(SPEC, logged, KVM, EVERYTHING))  # noqa: S314  # trusted
    assert attribute(tree, "devices/serial/log", "file") == "/pool/console.log"
    assert tree_of(SPEC).find("devices/serial/log") is None


@pytest.mark.parametrize(
    ("architecture", "kernel", "console"),
    [("arm64", "aarch64", "serial"), ("ppc64el", "ppc64le", "serial"), ("s390x", "s390x", "console")],
)
def test_architectures_have_their_console_and_firmware(architecture: str, kernel: str, console: str) -> None:
    traits = evolve(KVM, architecture=architecture, kernel_architecture=kernel)
    tree = tree_of(evolve(SPEC, architecture=architecture), traits)
    assert tree.find(f"devices/{console}") is not None
    assert (tree.find("os[@firmware='efi']") is not None) is (architecture == "arm64")


@pytest.mark.parametrize(
    ("pool_type", "capacity", "allocation"),
    [("dir", 10**9, 0), ("logical", 10**9, 10**9), ("zfs", 954 * 1024 * 1024, 0)],
)
def test_volumes_are_sparse_if_the_pool_supports_it(pool_type: str, capacity: int, allocation: int) -> None:
    tree = ET.fromstring(volume_xml(disk().volume, disk().size_bytes, pool_type))  # noqa: S314  # trusted
    assert (tree.findtext("capacity"), tree.findtext("allocation")) == (str(capacity), str(allocation))


def test_disks_in_lvm_pools_are_block_devices() -> None:
    tree = ET.fromstring(domain_xml(SPEC, prepared(SPEC, block=True), KVM, EVERYTHING))  # noqa: S314  # trusted
    assert [source.get("dev") for source in tree.iterfind("devices/disk[@type='block']/source")] == [
        f"/pool/{disk.volume}" for disk in SPEC.disks
    ]


def test_a_machine_with_pcie_has_ports_for_disks_to_come() -> None:
    arm = evolve(KVM, kernel_architecture="aarch64", architecture="arm64")
    spec = evolve(SPEC, architecture="arm64")
    first, *ports = tree_of(spec, arm).findall("devices/controller")
    assert first.attrib == {"type": "pci", "index": "0", "model": "pcie-root"}
    assert {tuple(sorted(port.attrib.items())) for port in ports} == {(("model", "pcie-root-port"), ("type", "pci"))}
    more = evolve(spec, disks=tuple(disk(index) for index in range(5)))
    assert len(tree_of(more, arm).findall("devices/controller")) == 1 + len(ports) + 3
    for other in (tree_of(SPEC), tree_of(SPEC, QEMU), tree_of(SPEC, evolve(arm, domain_type="test"))):
        assert other.find("devices/controller") is None
