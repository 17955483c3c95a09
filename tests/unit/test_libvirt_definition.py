"""Specs become XML that libvirt takes, says what was asked, and holds nothing that was not."""

from __future__ import annotations

from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequest, Unsupported
from common.marks import seed_name, volume_name
from common.values import DiskSpec, GuestNic, GuestSpec, Mark, NicAddress, NicKind, NicSpec
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.definition import Made, MadeDisk, MadeSeed, Offer, check, domain_xml, volume_xml
from rackd.drivers.libvirt.devices import pci_address
from rackd.drivers.libvirt.facts import HostTraits
from rackd.drivers.libvirt.guests import PoolPaths, guest_of_definition
from rackd.drivers.libvirt.nics import Function
from rackd.drivers.libvirt.trees import attribute

MARK = Mark(installation_id=UUID(int=10), machine_id=UUID(int=11))
PATHS = PoolPaths(paths=(("/pool", "pool"),))
KVM = HostTraits(kernel_architecture="x86_64", architecture="amd64", domain_type="kvm", privileged=True)
QEMU = evolve(KVM, domain_type="qemu", privileged=False)
EVERYTHING = Offer(cpu_mode="host-passthrough", vnc=True, video="vga", firmware_efi=True, random=True)


def disk(index: int = 0, *, mark: Mark = MARK, size_bytes: int = 10**9) -> DiskSpec:
    return DiskSpec(volume=volume_name(mark, index), pool_id="pool", size_bytes=size_bytes, serial=f"disk{index}")


SPEC = GuestSpec(name="web-1", mark=MARK, architecture="amd64", cores=2, memory_mib=4096, disks=(disk(0), disk(1)))


def made(spec: GuestSpec, *, block: bool = False) -> Made:
    disks = (MadeDisk(spec=disk, path=f"/pool/{disk.volume}", block=block) for disk in spec.disks)
    return Made(disks=tuple(disks))


def tree_of(spec: GuestSpec, traits: HostTraits = KVM, offer: Offer = EVERYTHING) -> ET.Element:
    return ET.fromstring(domain_xml(spec, made(spec), traits, offer))  # noqa: S314  ours


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
    mark = Mark(installation_id=draw(st.uuids()), machine_id=draw(st.uuids()))
    sizes = draw(st.lists(st.integers(1, 2**43), min_size=1, max_size=30))
    return GuestSpec(
        name=draw(names),
        mark=mark,
        architecture="amd64",
        cores=draw(st.integers(1, 512)),
        memory_mib=draw(st.integers(1, 2**22)),
        disks=tuple(disk(index, mark=mark, size_bytes=size) for index, size in enumerate(sizes)),
        nics=tuple(draw(st.lists(nics, max_size=8, unique_by=lambda nic: nic.mac_address))),
        description=draw(st.text(max_size=40)),
    )


@given(spec=specs(), traits=st.sampled_from([KVM, QEMU]), offer=st.sampled_from([EVERYTHING, Offer()]))
def test_a_definition_read_back_is_what_was_asked(spec: GuestSpec, traits: HostTraits, offer: Offer) -> None:
    check(spec, traits)
    guest = guest_of_definition(domain_xml(spec, made(spec), traits, offer), {"state.state": 5}, PATHS)
    assert (guest.name, guest.guest_id, guest.mark) == (spec.name, str(spec.mark.machine_id), spec.mark)
    assert (guest.cores, guest.memory_mib, guest.architecture) == (spec.cores, spec.memory_mib, "amd64")
    assert [(found.volume, found.serial) for found in guest.disks] == [
        (wanted.volume, wanted.serial) for wanted in spec.disks
    ]
    assert [(nic.mac_address, nic.kind, nic.source) for nic in guest.nics] == [
        (nic.mac_address, nic.kind, nic.source) for nic in spec.nics
    ]


@given(spec=specs())
def test_every_device_of_the_boot_order_has_a_place_of_its_own(spec: GuestSpec) -> None:
    tree = tree_of(spec)
    cards = [int(order.get("order", "")) for order in tree.iterfind("devices/interface/boot")]
    disks = [int(order.get("order", "")) for order in tree.iterfind("devices/disk/boot")]
    assert sorted(cards + disks) == list(range(1, len(cards) + len(disks) + 1))
    assert max(cards, default=0) < min(disks)


@given(spec=specs())
@settings(max_examples=25)
def test_libvirt_takes_what_is_built(spec: GuestSpec) -> None:
    client = Client.open("test:///default")
    traits = evolve(KVM, domain_type="test", privileged=False)
    try:
        domain = client.define(domain_xml(spec, made(spec), traits, Offer()), spec.name)
        stored = guest_of_definition(domain.xml(), {"state.state": 5}, PATHS)
        domain.undefine()
    finally:
        client.close()
    assert (stored.name, stored.mark, stored.cores) == (spec.name, spec.mark, spec.cores)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (evolve(SPEC, name="a/b"), "name"),
        (evolve(SPEC, name="-a"), "name"),
        (evolve(SPEC, name="a" * 64), "name"),
        (evolve(SPEC, name="a\n"), "name"),
        (evolve(SPEC, name="é"), "name"),
        (evolve(SPEC, disks=()), "disks"),
        (evolve(SPEC, disks=(evolve(disk(), volume="root"),)), "mark"),
        (evolve(SPEC, disks=(disk(mark=Mark(installation_id=uuid4(), machine_id=uuid4())),)), "mark"),
        (evolve(SPEC, disks=(evolve(disk(), serial="a b"),)), "serial"),
        (evolve(SPEC, nics=(NicSpec(name="e", mac_address="nonsense", kind=NicKind.USER),)), "MAC"),
        (
            evolve(
                SPEC, nics=(NicSpec(name="e", mac_address="52:54:00:00:00:01", kind=NicKind.BRIDGE, source="../x"),)
            ),
            "attached",
        ),
        (evolve(SPEC, nics=(NicSpec(name="e", mac_address="52:54:00:00:00:01", kind=NicKind.NETWORK),)), "attached"),
    ],
)
def test_what_libvirt_cannot_hold_is_refused_before_anything_is_made(spec: GuestSpec, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        check(spec, KVM)


def test_cards_that_are_only_read_are_not_made() -> None:
    nic = NicSpec(name="e", mac_address="52:54:00:00:00:01", kind=NicKind.OTHER, source="eth1")
    with pytest.raises(Unsupported, match="other"):
        check(evolve(SPEC, nics=(nic,)), KVM)


MAC = "52:54:00:00:00:01"
CARD = NicSpec(name="eth0", mac_address=MAC, kind=NicKind.SRIOV, source="eth3")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (evolve(SPEC, pinned_core_ids=(4,)), "2 virtual cores"),
        (evolve(SPEC, pinned_core_ids=(4, 4)), "twice"),
        (evolve(SPEC, numa_node_ids=(-1,)), "numbered from 0"),
        (evolve(SPEC, nics=(evolve(CARD, kind=NicKind.MACVLAN, macvlan_mode="bridged"),)), "mode"),
        (evolve(SPEC, nics=(evolve(CARD, vid=4095),)), "4095"),
        (evolve(SPEC, nics=(evolve(CARD, address=NicAddress(address="10.0.0.300", prefix_length=24)),)), "10.0.0.300"),
    ],
)
def test_cores_cards_and_addresses_that_make_no_sense_are_refused(spec: GuestSpec, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        check(spec, KVM)


def test_only_virtual_functions_are_given_a_tag() -> None:
    with pytest.raises(Unsupported, match="eth0"):
        check(evolve(SPEC, nics=(evolve(CARD, kind=NicKind.BRIDGE, vid=12),)), KVM)


def test_pinned_cores_huge_pages_and_nodes_are_said_to_libvirt() -> None:
    tree = tree_of(evolve(SPEC, pinned_core_ids=(7, 3), huge_page_size_kib=2048, numa_node_ids=(1, 0)))
    assert [(pin.get("vcpu"), pin.get("cpuset")) for pin in tree.iterfind("cputune/vcpupin")] == [
        ("0", "7"),
        ("1", "3"),
    ]
    assert [found.get("cpuset") for found in tree.iterfind(".//*[@cpuset]")] == ["3,7", "7", "3", "3,7"]
    page, memory = tree.find("memoryBacking/hugepages/page"), tree.find("numatune/memory")
    assert page is not None
    assert memory is not None
    assert (page.attrib, memory.attrib) == ({"size": "2048", "unit": "KiB"}, {"mode": "strict", "nodeset": "0,1"})


def test_without_them_nothing_is_said() -> None:
    tree = tree_of(SPEC)
    assert [tree.find(path) for path in ("cputune", "numatune", "memoryBacking")] == [None] * 3


@pytest.mark.parametrize(
    ("mode", "told"), [(None, "bridge"), ("vepa", "vepa"), ("passthru", "passthrough"), ("private", "private")]
)
def test_a_macvlan_card_has_the_mode_of_the_host(mode: str | None, told: str) -> None:
    nic = evolve(CARD, kind=NicKind.MACVLAN, macvlan_mode=mode)
    assert attribute(tree_of(evolve(SPEC, nics=(nic,))), "devices/interface/source", "mode") == told


def test_a_card_gets_its_virtual_function_and_tag_and_tells_its_port_when_read_back() -> None:
    spec = evolve(SPEC, nics=(evolve(CARD, vid=12, boot=True),))
    whole = evolve(made(spec), functions={MAC: Function(pci_address="0000:3b:02.1")})
    xml = domain_xml(spec, whole, KVM, EVERYTHING)
    card = ET.fromstring(xml).find("devices/interface")  # noqa: S314  ours
    assert card is not None
    assert (card.get("type"), card.get("managed"), attribute(card, "vlan/tag", "id")) == ("hostdev", "yes", "12")
    assert [pci_address(found) for found in card.iterfind("source/address")] == ["0000:3b:02.1"]
    assert guest_of_definition(xml, {"state.state": 5}, PATHS).nics == (
        GuestNic(mac_address=MAC, kind=NicKind.SRIOV, source="eth3"),
    )


def test_a_network_that_hands_out_functions_chooses_one_itself() -> None:
    spec = evolve(SPEC, nics=(CARD,))
    xml = domain_xml(spec, evolve(made(spec), functions={MAC: Function(network="pool")}), KVM, EVERYTHING)
    card = ET.fromstring(xml).find("devices/interface")  # noqa: S314  ours
    assert card is not None
    assert (card.get("type"), attribute(card, "source", "network")) == ("network", "pool")
    assert [nic.source for nic in guest_of_definition(xml, {"state.state": 5}, PATHS).nics] == ["eth3"]


@pytest.mark.parametrize(("architecture", "bus"), [("amd64", "sata"), ("arm64", "scsi")])
def test_the_image_for_cloud_init_is_a_drive_that_is_never_booted_and_no_disk(architecture: str, bus: str) -> None:
    spec, seed = evolve(SPEC, architecture=architecture), MadeSeed(path=f"/pool/{seed_name(MARK)}", block=False)
    traits = evolve(KVM, architecture=architecture)
    xml = domain_xml(spec, evolve(made(spec), seed=seed), traits, EVERYTHING)
    drive = ET.fromstring(xml).find("devices/disk[@device='cdrom']")  # noqa: S314  ours
    assert drive is not None
    assert (attribute(drive, "target", "bus"), drive.find("boot"), drive.find("readonly") is None) == (bus, None, False)
    assert len(guest_of_definition(xml, {"state.state": 5}, PATHS).disks) == 2


def test_a_guest_of_another_architecture_is_not_made() -> None:
    with pytest.raises(Unsupported, match="arm64"):
        check(evolve(SPEC, architecture="arm64"), KVM)


def test_characters_that_xml_cannot_hold_leave_the_description() -> None:
    assert tree_of(evolve(SPEC, description="a\x00b<&\ud800c")).findtext("description") == "a b<& c"


def test_the_processor_is_the_hosts_own_only_with_kvm() -> None:
    capabilities = """<domainCapabilities>
      <os supported='yes'><enum name='firmware'><value>efi</value></enum></os>
      <cpu><mode name='host-passthrough' supported='yes'/><mode name='maximum' supported='yes'/></cpu>
      <devices>
        <graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
        <video supported='yes'><enum name='modelType'><value>virtio</value><value>vga</value></enum></video>
        <rng supported='yes'><enum name='backendModel'><value>random</value></enum></rng>
      </devices>
    </domainCapabilities>"""
    assert Offer.of(capabilities, KVM) == EVERYTHING
    assert Offer.of(capabilities, QEMU).cpu_mode == "maximum"
    assert Offer.of("<domainCapabilities/>", KVM) == Offer() == Offer.of(None, KVM)


def test_screens_listen_on_the_host_itself_only() -> None:
    assert [graphics.get("listen") for graphics in tree_of(SPEC).iterfind("devices/graphics")] == ["127.0.0.1"]
    assert tree_of(SPEC, offer=Offer()).find("devices/graphics") is None


def test_only_the_systems_libvirt_logs_the_console_in_its_folder() -> None:
    assert tree_of(SPEC).find("devices/serial/log") is not None
    assert tree_of(SPEC, traits=QEMU).find("devices/serial/log") is None


@pytest.mark.parametrize(
    ("architecture", "kernel", "console"),
    [("arm64", "aarch64", "serial"), ("ppc64el", "ppc64le", "serial"), ("s390x", "s390x", "console")],
)
def test_other_architectures_have_their_own_console_and_firmware(architecture: str, kernel: str, console: str) -> None:
    traits = evolve(KVM, architecture=architecture, kernel_architecture=kernel)
    tree = tree_of(evolve(SPEC, architecture=architecture), traits)
    assert tree.find(f"devices/{console}") is not None
    assert (tree.find("os[@firmware='efi']") is not None) is (architecture == "arm64")


@pytest.mark.parametrize(
    ("pool_type", "capacity", "allocation"),
    [("dir", 10**9, 0), ("logical", 10**9, 10**9), ("zfs", 954 * 1024 * 1024, 0)],
)
def test_volumes_are_sparse_where_the_pool_can(pool_type: str, capacity: int, allocation: int) -> None:
    tree = ET.fromstring(volume_xml(disk(), pool_type))  # noqa: S314  ours
    assert (tree.findtext("capacity"), tree.findtext("allocation")) == (str(capacity), str(allocation))


def test_a_disk_in_a_volume_group_is_a_block_device() -> None:
    tree = ET.fromstring(domain_xml(SPEC, made(SPEC, block=True), KVM, EVERYTHING))  # noqa: S314  ours
    assert [source.get("dev") for source in tree.iterfind("devices/disk[@type='block']/source")] == [
        f"/pool/{disk.volume}" for disk in SPEC.disks
    ]
