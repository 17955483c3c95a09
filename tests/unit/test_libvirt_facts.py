"""What libvirt hosts say of themselves becomes facts; recorded answers of libvirt 9.0, shortened."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DriverFailed
from common.values import HostFacts, HostNetwork, HugePages, NicKind, NumaNode
from rackd.drivers.libvirt.client import HostAnswers
from rackd.drivers.libvirt.facts import (
    GIB,
    facts_of,
    pools_of,
    server_identity,
    storage_pool,
    traits_of,
    version_text,
)

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
ANSWERS = HostAnswers(
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


def facts(answers: HostAnswers = ANSWERS) -> HostFacts:
    return facts_of(answers, pools_of(answers)[0], {})


def test_the_host_is_told_in_our_words() -> None:
    found = facts()
    assert (found.hypervisor_version, found.architecture, found.cores, found.cpu_speed_mhz) == (
        "9.0.2",
        "amd64",
        4,
        2596,
    )
    assert found.memory_mib == 131_890_720 // 1024
    assert found.tags == ("virtual",)


def test_memory_comes_from_the_nodes_info_where_the_kernel_does_not_tell() -> None:
    assert facts(evolve(ANSWERS, memory_kib=None)).memory_mib == 128_000


def test_numa_cells_have_their_cores_memory_and_huge_pages() -> None:
    assert facts().numa_nodes == (
        NumaNode(
            node_id=0,
            core_ids=(0, 2),
            memory_mib=64299,
            huge_pages=(HugePages(size_kib=2048, total=512), HugePages(size_kib=1_048_576, total=4)),
        ),
        NumaNode(node_id=1, core_ids=(1, 3), memory_mib=64499, siblings=((1, 3),)),
    )


def test_a_single_cell_has_all_of_the_memory() -> None:
    tree = ET.fromstring(CAPABILITIES)  # noqa: S314  ours
    cells = tree.find("host/topology/cells")
    assert cells is not None
    cells.remove(cells[1])
    one = facts(evolve(ANSWERS, capabilities=ET.tostring(tree, encoding="unicode")))
    assert [node.memory_mib for node in one.numa_nodes] == [one.memory_mib]


def test_a_host_without_topology_has_no_nodes() -> None:
    assert facts(evolve(ANSWERS, capabilities="<capabilities><host/></capabilities>")).numa_nodes == ()


def test_networks_are_listed_with_qemus_own_last() -> None:
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
def test_an_odd_address_of_a_network_is_left_out(broken: str) -> None:
    network = f"<network><name>odd</name>{broken}</network>"
    assert facts(evolve(ANSWERS, networks=((network, False),))).networks[0] == HostNetwork(
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
def test_a_network_that_gives_away_interfaces_of_the_server_is_only_listed(
    forward: str, kind: str, attachable: bool
) -> None:
    network = f"<network><name>one</name>{forward}</network>"
    found = facts(evolve(ANSWERS, networks=((network, True),))).networks[0]
    assert (found.type, found.attachable) == (kind, attachable)


@pytest.mark.parametrize(
    ("answers", "domain_type"),
    [
        (ANSWERS, "kvm"),
        (evolve(ANSWERS, expanded_cpu=None), "kvm"),
        (evolve(ANSWERS, expanded_cpu="<cpu><feature name='aes'/></cpu>"), "qemu"),
        (
            evolve(
                ANSWERS,
                expanded_cpu="<cpu/>",
                capabilities=CAPABILITIES.replace("<feature name='x2apic'/>", "<feature name='vmx'/>"),
            ),
            "kvm",
        ),
        (evolve(ANSWERS, capabilities=CAPABILITIES.replace("<domain type='kvm'/>", "")), "qemu"),
        (evolve(ANSWERS, node_info=("aarch64", *ANSWERS.node_info[1:])), "qemu"),
        (evolve(ANSWERS, uri="test:///default"), "test"),
    ],
    ids=["backed", "unreadable", "paravirtual", "intel", "not offered", "other architecture", "test"],
)
def test_guests_use_kvm_where_it_is_offered_and_the_processor_backs_it(answers: HostAnswers, domain_type: str) -> None:
    traits = traits_of(answers)
    assert traits.domain_type == domain_type
    assert traits.emulated is facts(answers).emulated is (domain_type != "kvm")


def test_arm_hosts_need_no_flag_of_the_processor() -> None:
    arm = CAPABILITIES.replace(
        "<arch name='aarch64'><domain type='qemu'/>", "<arch name='aarch64'><domain type='kvm'/>"
    )
    info = ("aarch64", *ANSWERS.node_info[1:])
    traits = traits_of(evolve(ANSWERS, capabilities=arm, node_info=info, expanded_cpu="<cpu/>"))
    assert (traits.domain_type, traits.architecture) == ("kvm", "arm64")


def test_the_system_and_a_session_of_one_machine_are_two_servers() -> None:
    assert server_identity(ANSWERS) == server_identity(evolve(ANSWERS, uri="qemu+libssh://root@kvm1:22/system"))
    assert server_identity(ANSWERS) != server_identity(evolve(ANSWERS, uri="qemu:///session"))


def test_without_smbios_the_identity_survives_the_id_that_libvirt_makes_up() -> None:
    before = evolve(ANSWERS, has_smbios=False)
    after = evolve(before, capabilities=CAPABILITIES.replace("45603dbb", "9c9aade5"))
    assert server_identity(before) == server_identity(after)
    assert server_identity(before) != server_identity(evolve(before, nwfilter_uuid="another"))


def test_only_pools_that_hold_disks_are_taken() -> None:
    iscsi = POOL.replace("type='dir'", "type='iscsi'")
    assert pools_of(evolve(ANSWERS, pools=(iscsi, POOL)))[1] == []
    found, problems = pools_of(evolve(ANSWERS, pools=(iscsi,)))
    assert found == []
    assert "no active storage pool" in problems[0].message


def test_a_pool_without_figures_is_a_problem() -> None:
    found, problems = pools_of(evolve(ANSWERS, pools=(POOL, "<pool type='dir'><name>odd</name></pool>")))
    assert len(found) == 1
    assert [problem.subject for problem in problems] == ["odd"]


def test_a_pool_is_told_with_what_others_take() -> None:
    pool = facts().storage_pools[0]
    assert (pool.pool_id, pool.name, pool.type) == ("d3afa8a9-6d0b-4a14-a182-f18d264d7557", "images", "dir")
    assert (pool.path, pool.total_bytes) == ("/var/lib/libvirt/images", 270553174016)
    assert pool.used_elsewhere_bytes == 23 * GIB


@given(allocation=st.integers(0, 10**13), used=st.integers(0, 10**13))
def test_what_others_take_is_whole_gib_and_never_too_little(allocation: int, used: int) -> None:
    tree = ET.fromstring(POOL.replace("23906488320", str(allocation)))  # noqa: S314  ours
    elsewhere = storage_pool(tree, used).used_elsewhere_bytes
    assert elsewhere % GIB == 0
    assert max(0, allocation - used) <= elsewhere < max(0, allocation - used) + GIB


def test_versions_are_told_with_dots() -> None:
    assert version_text(10_003_012) == "10.3.12"


def test_an_answer_that_is_no_xml_is_the_hypervisors_failure() -> None:
    with pytest.raises(DriverFailed, match="capabilities"):
        facts(evolve(ANSWERS, capabilities="<capabilities>"))
