from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.simulated_address import SimulatedAddress


def test_a_bare_name_gets_the_documented_hardware() -> None:
    made = SimulatedAddress.parse("simulated:shed")
    assert (made.name, made.cores, made.memory_mib, made.storage_gb) == ("shed", 4, 12288, 100)
    assert (made.numa_nodes, made.pools, made.guests, made.delay_ms) == (1, 1, 0, 0)
    assert made.identity == "simulated/shed"


def test_the_order_of_parameters_does_not_matter() -> None:
    one = SimulatedAddress.parse("simulated:a?cores=8&memory_mib=2048")
    other = SimulatedAddress.parse(" simulated:a?memory_mib=2048&cores=8")
    assert one == other
    assert one.normalised == other.normalised


@given(
    st.builds(
        SimulatedAddress,
        name=st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,10}[a-z0-9])?", fullmatch=True),
        cores=st.integers(64, 4096),
        memory_mib=st.integers(1, 64 * 1024 * 1024),
        storage_gb=st.integers(100_000, 10_000_000),
        numa_nodes=st.integers(1, 64),
        guests=st.integers(0, 100_000),
        fault_rate=st.floats(0, 1).map(lambda share: round(share, 9)),
    )
)
def test_the_normalised_text_means_the_same_host(address: SimulatedAddress) -> None:
    assert SimulatedAddress.parse(address.normalised) == address


@pytest.mark.parametrize(
    ("text", "because"),
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
        ("simulated:a?cores=1&numa_nodes=2", "each node has a core"),
        ("simulated:a?guests=200", "do not fit"),
    ],
)
def test_a_bad_address_says_what_is_wrong_under_the_callers_field(text: str, because: str) -> None:
    if text.endswith("\n"):
        text = text.replace("\n", "\n?")  # inside, where stripping does not reach
    with pytest.raises(InvalidRequest, match=because) as refused:
        SimulatedAddress.parse(text)
    assert list(refused.value.fields) == ["power_address"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        SimulatedAddress.parse("simulated:a?cores=x&colour=red")
    assert len(refused.value.fields["power_address"]) == 2
