"""Addresses of simulated hosts: defaults, normalisation, and errors for invalid ones."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses.simulated import SimulatedAddress
from common.addresses.simulated_hardware import (
    SimulatedImage,
    SimulatedInterfaces,
    SimulatedNetwork,
    SimulatedPinnedGuest,
    SimulatedPool,
)
from common.errors import InvalidRequest


def test_a_bare_name_has_the_default_hardware() -> None:
    address = SimulatedAddress.parse("simulated:shed")
    assert (address.name, address.cores, address.memory_mib, address.storage_gb) == ("shed", 4, 12288, 100)
    assert (address.numa_nodes, address.pools, address.guests, address.delay_ms) == (1, 1, 0, 0)
    assert address.identity == "simulated/shed"


def test_the_order_of_parameters_does_not_matter() -> None:
    one = SimulatedAddress.parse("simulated:a?cores=8&memory_mib=2048")
    other = SimulatedAddress.parse(" simulated:a?memory_mib=2048&cores=8")
    assert one == other
    assert one.normalised == other.normalised


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,10}[A-Za-z0-9])?", fullmatch=True)
POOLS = st.lists(
    st.builds(SimulatedPool, name=NAMES, size_gb=st.integers(200_000, 10_000_000)),
    min_size=1, max_size=5, unique_by=lambda pool: pool.name,
).map(tuple)  # fmt: skip
CIDRS = st.builds(
    lambda address, length: str(ip_network((address, length), strict=False)), st.ip_addresses(), st.integers(0, 32)
)
NETWORKS = st.lists(
    st.builds(SimulatedNetwork, name=NAMES, cidr=CIDRS, vid=st.integers(0, 4094)),
    max_size=5, unique_by=lambda network: network.name,
).map(tuple)  # fmt: skip
IMAGES = st.lists(
    st.builds(SimulatedImage, alias=NAMES, disk_gb=st.integers(0, 999_999)), max_size=5, unique_by=lambda one: one.alias
).map(tuple)
INTERFACES = st.just(SimulatedInterfaces()) | st.builds(
    SimulatedInterfaces, interfaces=st.integers(1, 64), functions=st.integers(1, 256)
)


@st.composite
def addresses(draw: st.DrawFn) -> SimulatedAddress:
    """Draws any valid address; dependent parameters are drawn last."""
    nodes, threads = draw(st.integers(1, 64)), draw(st.integers(1, 8))
    cores = draw(st.integers(nodes, 4096 // threads)) * threads
    page_mib = 2 ** draw(st.integers(0, 14))
    pages = draw(st.integers(0, 64))
    fullest_mib = -(-pages // nodes) * page_mib  # the largest share of a node
    pinned = st.builds(
        lambda ends, memory_mib, huge: SimulatedPinnedGuest(
            first_core=min(ends), last_core=max(ends), memory_mib=memory_mib, huge_pages=huge
        ),
        st.tuples(st.integers(0, cores - 1), st.integers(0, cores - 1)),
        st.integers(1, max(1, pages * page_mib)),
        st.booleans() if pages else st.just(False),
    )
    return SimulatedAddress(
        name=draw(NAMES),
        cores=cores,
        threads_per_core=threads,
        numa_nodes=nodes,
        memory_mib=draw(st.integers(max(64 * 16384, nodes * fullest_mib), 64 * 1024 * 1024)),
        hugepages_mib=pages * page_mib,
        hugepage_size_mib=page_mib,
        storage_gb=draw(st.integers(200_000, 10_000_000)),
        pools=draw(st.integers(1, 2) | POOLS),
        networks=draw(NETWORKS),
        images=draw(IMAGES),
        virtual_functions=draw(INTERFACES),
        pinned_guests=draw(st.lists(pinned, max_size=3).map(tuple)),
        guests=draw(st.integers(0, 100_000)),
        fault_rate=draw(st.floats(0, 1).map(lambda share: round(share, 9))),
    )


@given(addresses())
def test_normalised_addresses_parse_to_the_same_host(address: SimulatedAddress) -> None:
    assert SimulatedAddress.parse(address.normalised) == address


@given(addresses())
def test_numa_nodes_add_up_to_the_host(address: SimulatedAddress) -> None:
    assert sum(address.cores_of_nodes) == address.cores
    assert sum(address.memory_mib_of_nodes) == address.memory_mib
    assert sum(address.huge_pages_of_nodes) * address.hugepage_size_mib == address.hugepages_mib
    assert all(cores % address.threads_per_core == 0 for cores in address.cores_of_nodes)


@given(
    st.sampled_from(
        ["pools", "networks", "images", "virtual_functions", "pinned_guests", "hugepages_mib", "threads_per_core"]
    ),
    st.text(alphabet="ax0129:,/.-&=%\u0664 ", max_size=20),
)
def test_any_text_parses_or_is_rejected_by_field(parameter: str, text: str) -> None:
    fields: list[str] = []
    try:
        address = SimulatedAddress.parse(f"simulated:a?{parameter}={text}")
    except InvalidRequest as rejected:
        fields = list(rejected.fields)
    assert fields == ["power_address"] or SimulatedAddress.parse(address.normalised) == address


def test_later_parameters_are_omitted_at_their_default() -> None:
    lost = SimulatedAddress.parse("simulated:a?pools=fast:9:unavailable,slow:9")
    assert "pools=fast:9:unavailable,slow:9" in lost.normalised
    assert SimulatedAddress.parse("simulated:a?pools=2").normalised == (
        "simulated:a?cores=4&delay_ms=0&fault_rate=0&fault_seed=0&guests=0&hang_ms=0&memory_mib=12288&numa_nodes=1"
        "&pools=2&storage_gb=100"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("qemu:///system", "expected simulated:NAME"),
        ("simulated", "expected simulated:NAME"),
        ("simulated:", "is not a name"),
        ("simulated:../../etc/passwd", "is not a name"),
        ("simulated:a/b", "is not a name"),
        ("simulated:.hidden", "is not a name"),
        ("simulated:a\n", "is not a name"),
        ("simulated:a?cores", "not key=value"),
        ("simulated:a?cores=", "not a whole number"),
        ("simulated:a?cores=two", "cores='two' is not a whole number"),
        ("simulated:a?cores=4.5", "not a whole number"),
        ("simulated:a?cores=-1", "not a whole number"),
        ("simulated:a?cores=٤", "not a whole number"),
        ("simulated:a?cores=0", "not between 1 and 4096"),
        ("simulated:a?colour=red", "unknown parameter 'colour'"),
        ("simulated:a?cores=2&cores=3", "given twice"),
        ("simulated:a?fault_rate=1.5", "not between"),
        ("simulated:a?cores=1&numa_nodes=2", "each node needs a core"),
        ("simulated:a?guests=200", "do not fit"),
        ("simulated:a?guests=3&pools=small:2,big:900", "guests=3 do not fit the pool small:2"),
        ("simulated:a?pools=3", "pools='3' is not between 1 and 2"),
        ("simulated:a?pools=fast", "is not NAME:GB"),
        ("simulated:a?pools=fast:0", "is not NAME:GB"),
        ("simulated:a?pools=fast:9:gone", "is neither NAME:GB nor NAME:GB:unavailable"),
        ("simulated:a?pools=fast:9,../x:1", "has '../x:1', which is not NAME:GB"),
        ("simulated:a?pools=fast:9,fast:8", "pools: 'fast' is named twice"),
        ("simulated:a?pools=" + ",".join(f"p{number}:1" for number in range(65)), "65 parts, more than 64"),
        ("simulated:a?networks=", "is not NAME:CIDR:VID"),
        ("simulated:a?networks=dmz:10.1.0.0", "is not NAME:CIDR:VID"),
        ("simulated:a?networks=dmz:10.1.0.1/24:7", "host bits set"),
        ("simulated:a?networks=dmz:10.1.0.0/33:7", "is not a network"),
        ("simulated:a?networks=dmz:10.1.0.0/24:4095", "not between 0 and 4094"),
        ("simulated:a?networks=a:10.1.0.0/24,a:10.2.0.0/24", "networks: 'a' is named twice"),
        ("simulated:a?images=noble:x", "is not ALIAS:GB"),
        ("simulated:a?images=../noble", "is not ALIAS:GB"),
        ("simulated:a?images=noble:3,noble", "images: 'noble' is named twice"),
        ("simulated:a?virtual_functions=8", "is not INTERFACESxFUNCTIONS"),
        ("simulated:a?virtual_functions=0x8", "is not INTERFACESxFUNCTIONS"),
        ("simulated:a?virtual_functions=3x257", "is not INTERFACESxFUNCTIONS"),
        ("simulated:a?threads_per_core=3", "cores=4 is not a multiple of threads_per_core=3"),
        ("simulated:a?threads_per_core=2&numa_nodes=3", "more than cores=4 with threads_per_core=2"),
        ("simulated:a?hugepages_mib=3", "not a multiple of hugepage_size_mib=2"),
        ("simulated:a?hugepages_mib=6&hugepage_size_mib=3", "not a power of two"),
        ("simulated:a?hugepages_mib=12290", "do not fit memory_mib=12288"),
        ("simulated:a?memory_mib=3072&numa_nodes=2&hugepages_mib=3072&hugepage_size_mib=1024", "numa_nodes=2"),
        ("simulated:a?pinned_guests=3-1:64", "is not CORES:MIB"),
        ("simulated:a?pinned_guests=0-4:64", "cores=4 have ids 0 to 3"),
        ("simulated:a?pinned_guests=0:64:huge", "hugepages_mib=0 are not enough"),
    ],
)
def test_an_invalid_address_is_rejected_with_the_reason(text: str, reason: str) -> None:
    if text.endswith("\n"):
        text = text.replace("\n", "\n?")  # inside the text, where it is not stripped
    with pytest.raises(InvalidRequest, match=reason) as rejected:
        SimulatedAddress.parse(text)
    assert list(rejected.value.fields) == ["power_address"]


def test_all_errors_are_reported_in_one_exception() -> None:
    with pytest.raises(InvalidRequest) as rejected:
        SimulatedAddress.parse("simulated:a?cores=x&colour=red")
    assert len(rejected.value.fields["power_address"]) == 2
