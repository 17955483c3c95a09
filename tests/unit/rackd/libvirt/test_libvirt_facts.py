"""libvirt's responses become host facts; recorded from libvirt 9.0, shortened."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DriverFailed
from common.values import HostFacts, HostNetwork, HugePages, NicKind, NumaNode
from rackd.drivers.libvirt.connection.host_reader import HostResponses
from rackd.drivers.libvirt.definitions.host_traits import traits_of
from rackd.drivers.libvirt.inventory.facts import (
    GIB,
    facts_of,
    pools_of,
    server_identity,
    storage_pool,
    version_text,
)
from rackd.drivers.libvirt.inventory.pool_storage import Usage

CAPABILITIES = """
<capabilities>
  <host>
    <uuid>45603dbb-c81b-44b5-b8b5-5dae90e3a563</uuid>
    <cpu><arch>x86_64</arch><model>EPYC-Milan</model><vendor>AMD</vendor><feature name='x2apic'/></cpu>
    <topology><cells num='2'>
      <cell id='0'>
        <memory unit='KiB'>65843132</memory>
        <pages unit='KiB' size='4'>16198639</pages>
        <pages unit='KiB' size='2048'>512</pages>
        <pages unit='KiB' size='1048576'>4</pages>
        <cpus num='2'><cpu id='2' socket_id='0' core_id='1'/><cpu id='0' socket_id='0' core_id='0'/></cpus>
      </cell>
      <cell id='1'>
        <memory unit='KiB'>66047588</memory>
        <pages unit='KiB' size='4'>16511897</pages>
        <cpus num='2'><cpu id='3' socket_id='1' siblings='1,3'/><cpu id='1' socket_id='1' siblings='1,3'/></cpus>
      </cell>
    </cells></topology>
  </host>
  <guest><os_type>hvm</os_type><arch name='i686'><domain type='qemu'/><domain type='kvm'/></arch></guest>
  <guest><os_type>hvm</os_type><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest>
  <guest><os_type>hvm</os_type><arch name='aarch64'><domain type='qemu'/></arch></guest>
</capabilities>
"""
EXPANDED = "<cpu><model>EPYC-Milan</model><feature policy='require' name='svm'/></cpu>"
POOL = """
<pool type='dir'>
  <name>images</name><uuid>d3afa8a9-6d0b-4a14-a182-f18d264d7557</uuid>
  <capacity unit='bytes'>270553174016</capacity><allocation unit='bytes'>23906488320</allocation>
  <available unit='bytes'>246646685696</available>
  <target><path>/var/lib/libvirt/images</path></target>
</pool>
"""
NETWORK = """
<network>
  <name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
  <ip family='ipv6' address='2001:db8:ca2:2::1' prefix='64'/>
</network>
"""
RESPONSES = HostResponses(
    uri="qemu:///system",
    hostname="kvm1",
    lib_version=9_000_002,
    node_info=("x86_64", 128_000, 4, 2596, 2, 1, 2, 1),
    memory_kib=131_890_720,
    capabilities=CAPABILITIES,
    has_smbios=True,
    nwfilter_uuid="f40247d8-9fdc-4311-a9f7-d4e610fd2ef7",
    expanded_cpu=EXPANDED,
    pools=(POOL,),
    networks=((NETWORK, True),),
)


def facts(responses: HostResponses = RESPONSES) -> HostFacts:
    return facts_of(responses, pools_of(responses)[0], {})


def test_responses_become_host_facts() -> None:
    found = facts()
    assert (found.hypervisor_version, found.architecture) == ("9.0.2", "amd64")
    assert (found.cores, found.cpu_speed_mhz) == (4, 2596)
    assert found.memory_mib == 131_890_720 // 1024
    assert found.tags == ("virtual",)


def test_memory_falls_back_to_the_node_info() -> None:
    assert facts(evolve(RESPONSES, memory_kib=None)).memory_mib == 128_000


def test_numa_nodes_have_cores_memory_and_huge_pages() -> None:
    assert facts().numa_nodes == (
        NumaNode(
            node_id=0,
            core_ids=(0, 2),
            memory_mib=64299,
            huge_pages=(HugePages(size_kib=2048, total=512), HugePages(size_kib=1_048_576, total=4)),
        ),
        NumaNode(node_id=1, core_ids=(1, 3), memory_mib=64499, siblings=((1, 3),)),
    )


def test_a_cpu_that_is_offline_is_no_core_of_its_numa_node() -> None:
    """The capabilities of a daemon that started before list it; the number of cores in the node info is right."""
    first, second = facts(
        evolve(RESPONSES, node_info=("x86_64", 128_000, 2, 2596, 2, 1, 2, 1), online_cpus=frozenset({0, 1}))
    ).numa_nodes
    assert (first.core_ids, second.core_ids, second.siblings) == ((0,), (1,), ((1,),))


def test_a_single_numa_node_has_all_memory() -> None:
    tree = ET.fromstring(CAPABILITIES)  # noqa: S314  # trusted
    cells = tree.find("host/topology/cells")
    assert cells is not None
    cells.remove(cells[1])
    one = facts(evolve(RESPONSES, capabilities=ET.tostring(tree, encoding="unicode")))
    assert [node.memory_mib for node in one.numa_nodes] == [one.memory_mib]


def test_a_host_without_topology_has_no_numa_nodes() -> None:
    assert facts(evolve(RESPONSES, capabilities="<capabilities><host/></capabilities>")).numa_nodes == ()


def test_the_user_network_is_listed_last() -> None:
    assert facts().networks == (
        HostNetwork(
            kind=NicKind.NETWORK,
            name="default",
            type="nat",
            bridge="virbr0",
            dhcp=True,
            cidrs=("192.168.122.0/24", "2001:db8:ca2:2::/64"),
            vid=0,
            addresses=("192.168.122.1/24", "2001:db8:ca2:2::1/64"),
            gateway="192.168.122.1",
            dhcp_ranges=("192.168.122.2-192.168.122.254",),
        ),
        HostNetwork(kind=NicKind.USER, name="user", dhcp=True),
    )


@pytest.mark.parametrize("broken", ["<ip address='nonsense' netmask='x'/>", "<ip/>"])
def test_malformed_network_addresses_are_omitted(broken: str) -> None:
    network = f"<network><name>odd</name>{broken}</network>"
    assert facts(evolve(RESPONSES, networks=((network, False),))).networks[0] == HostNetwork(
        kind=NicKind.NETWORK, name="odd", type="isolated", active=False, vid=0
    )


@pytest.mark.parametrize(
    ("forward", "kind", "attachable"),
    [
        ("<forward/>", "nat", True),
        ("<forward mode='bridge'/>", "bridge", True),
        ("<forward mode='hostdev'/>", "hostdev", False),
        ("<forward mode='passthrough'/>", "passthrough", False),
    ],
)
def test_hostdev_networks_are_not_attachable(forward: str, kind: str, attachable: bool) -> None:
    network = f"<network><name>one</name>{forward}</network>"
    found = facts(evolve(RESPONSES, networks=((network, True),))).networks[0]
    assert (found.type, found.attachable) == (kind, attachable)


@pytest.mark.parametrize(
    ("responses", "domain_type"),
    [
        (RESPONSES, "kvm"),
        (evolve(RESPONSES, expanded_cpu=None), "kvm"),
        (evolve(RESPONSES, expanded_cpu="<cpu><feature name='aes'/></cpu>"), "qemu"),
        (
            evolve(
                RESPONSES,
                expanded_cpu="<cpu/>",
                capabilities=CAPABILITIES.replace("<feature name='x2apic'/>", "<feature name='vmx'/>"),
            ),
            "kvm",
        ),
        (evolve(RESPONSES, capabilities=CAPABILITIES.replace("<domain type='kvm'/>", "")), "qemu"),
        (evolve(RESPONSES, node_info=("aarch64", *RESPONSES.node_info[1:])), "qemu"),
        (evolve(RESPONSES, uri="test:///default"), "test"),
    ],
    ids=["backed", "unreadable", "paravirtual", "intel", "not offered", "other architecture", "test"],
)
def test_kvm_requires_offer_and_cpu_support(responses: HostResponses, domain_type: str) -> None:
    traits = traits_of(responses)
    assert traits.domain_type == domain_type
    assert traits.emulated is facts(responses).emulated is (domain_type != "kvm")


def test_kvm_on_arm_requires_no_cpu_flag() -> None:
    arm = CAPABILITIES.replace(
        "<arch name='aarch64'><domain type='qemu'/>", "<arch name='aarch64'><domain type='kvm'/>"
    )
    info = ("aarch64", *RESPONSES.node_info[1:])
    traits = traits_of(evolve(RESPONSES, capabilities=arm, node_info=info, expanded_cpu="<cpu/>"))
    assert (traits.domain_type, traits.architecture) == ("kvm", "arm64")


def test_system_and_session_libvirt_are_two_servers() -> None:
    assert server_identity(RESPONSES) == server_identity(evolve(RESPONSES, uri="qemu+libssh://root@kvm1:22/system"))
    assert server_identity(RESPONSES) != server_identity(evolve(RESPONSES, uri="qemu:///session"))


def test_identity_without_smbios_survives_a_restart() -> None:
    before = evolve(RESPONSES, has_smbios=False)
    after = evolve(before, capabilities=CAPABILITIES.replace("45603dbb", "9c9aade5"))
    assert server_identity(before) == server_identity(after)
    assert server_identity(before) != server_identity(evolve(before, nwfilter_uuid="another"))


@pytest.mark.parametrize(
    ("pool_type", "reason"),
    [
        ("iscsi", "devices that exist already"),
        ("iscsi-direct", "devices that exist already"),
        ("scsi", "devices that exist already"),
        ("mpath", "devices that exist already"),
        ("disk", "partitions of one disk"),
        ("gluster", "over the network"),
        ("rbd", "over the network"),
        ("sheepdog", "over the network"),
        ("vstorage", "cluster of servers"),
        ("later", "does not know this type"),
    ],
)
def test_a_pool_of_another_type_is_named_with_the_reason(pool_type: str, reason: str) -> None:
    other = POOL.replace("type='dir'", f"type='{pool_type}'").replace("<name>images<", "<name>other<")
    found, (problem,) = pools_of(evolve(RESPONSES, pools=(other, POOL)))
    assert [pool.findtext("name") for pool in found] == ["images"]
    assert problem.subject == "storage pool other"
    assert f"it has the type {pool_type}: " in problem.message
    assert reason in problem.message
    found, problems = pools_of(evolve(RESPONSES, pools=(other,)))
    assert found == []
    assert "no active storage pool" in problems[1].message


@pytest.mark.parametrize("pool_type", ["dir", "fs", "netfs"])
def test_a_pool_that_is_a_folder_is_listed(pool_type: str) -> None:
    (found,) = facts(evolve(RESPONSES, pools=(POOL.replace("type='dir'", f"type='{pool_type}'"),))).storage_pools
    assert (found.name, found.type, found.total_bytes) == ("images", pool_type, 270553174016)


def test_pools_on_one_file_system_have_one_id_and_the_same_use() -> None:
    second = POOL.replace("images", "second").replace("d3afa8a9", "e3afa8a9")
    found = facts_of(
        evolve(RESPONSES, pools=(POOL, second), uri="qemu+ssh://root@kvm1/system"),
        pools_of(evolve(RESPONSES, pools=(POOL, second)))[0],
        {"e3afa8a9-6d0b-4a14-a182-f18d264d7557": 10 * GIB},
    ).storage_pools
    assert {pool.storage_id for pool in found} == {"file system of 270553174016 bytes"}
    assert [pool.used_elsewhere_bytes for pool in found] == [13 * GIB, 13 * GIB]


def test_pools_without_capacity_are_problems() -> None:
    found, problems = pools_of(evolve(RESPONSES, pools=(POOL, "<pool type='dir'><name>odd</name></pool>")))
    assert len(found) == 1
    assert [problem.subject for problem in problems] == ["odd"]


def test_pools_report_space_used_elsewhere() -> None:
    pool = facts().storage_pools[0]
    assert (pool.pool_id, pool.name, pool.type) == ("d3afa8a9-6d0b-4a14-a182-f18d264d7557", "images", "dir")
    assert (pool.path, pool.total_bytes) == ("/var/lib/libvirt/images", 270553174016)
    assert pool.used_elsewhere_bytes == 23 * GIB


@given(allocation=st.integers(0, 10**13), used=st.integers(0, 10**13))
def test_used_elsewhere_rounds_up_to_whole_gib(allocation: int, used: int) -> None:
    tree = ET.fromstring(POOL)  # noqa: S314  # trusted
    usage = Usage(allocated_bytes=allocation, guests_bytes=used)
    elsewhere = storage_pool(tree, usage).used_elsewhere_bytes
    assert elsewhere % GIB == 0
    assert max(0, allocation - used) <= elsewhere < max(0, allocation - used) + GIB


def test_versions_are_dotted() -> None:
    assert version_text(10_003_012) == "10.3.12"


def test_malformed_xml_is_driver_failed() -> None:
    with pytest.raises(DriverFailed, match="capabilities"):
        facts(evolve(RESPONSES, capabilities="<capabilities>"))
