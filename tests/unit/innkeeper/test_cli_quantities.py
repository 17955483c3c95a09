"""Amounts with units, and ranges, as the command line takes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.errors import InvalidRequest
from innkeeper.quantities import converted
from regiond.placement.storage_parser import parse_storage


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2048", "2048"),
        (" 2048 ", " 2048 "),
        ("2048.0", "2048.0"),
        ("2048M", "2048"),
        ("2G", "2048"),
        ("2g", "2048"),
        ("2GiB", "2048"),
        ("1.5G", "1536"),
        ("1T", "1048576"),
        ("", ""),
    ],
)
def test_memory_is_sent_in_mib(value: str, sent: str) -> None:
    assert converted("memory", value, "mib") == (sent,)


@pytest.mark.parametrize("value", ["2X", "2 G", "G", "2GB", "0.3M", "two", "-1G", "2K", "9" * 5000])
def test_a_wrong_unit_names_field_value_and_forms(value: str) -> None:
    with pytest.raises(InvalidRequest) as rejected:
        converted("memory", value, "mib")
    assert rejected.value.message.startswith(f"memory={value}: give ")
    assert "2G (GiB)" in rejected.value.message


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("root:8G,data:1T", "root:8,data:1000"),
        ("8", "8"),
        ("root:8(local,fast),500M(x)", "root:8(local,fast),0.5(x)"),
        ("data:20G(pool:fast)", "data:20(pool:fast)"),
        ("root:1GiB", "root:1.073741824"),
        ("root:0", "root:0"),
        ("nonsense:::", "nonsense:::"),
    ],
)
def test_disks_are_sent_in_gb(value: str, sent: str) -> None:
    assert converted("storage", value, "disks_gb") == (sent,)


def test_a_wrong_unit_of_a_disk_names_the_disk() -> None:
    with pytest.raises(InvalidRequest, match="storage=data:9Q: give a number of GB"):
        converted("storage", "root:8G,data:9Q", "disks_gb")


@pytest.mark.parametrize(
    ("value", "sent"), [("0-3,5", ("0", "1", "2", "3", "5")), ("7", ("7",)), ("2, 2-3", ("2", "3")), ("", ("",))]
)
def test_ranges_are_sent_as_repeated_fields(value: str, sent: tuple[str, ...]) -> None:
    assert converted("pinned_cores", value, "integers") == sent


@pytest.mark.parametrize("value", ["3-0", "a", "1-", "-1", "0-9999999999", "1,,2", "9" * 5000])
def test_a_wrong_range_is_rejected(value: str) -> None:
    with pytest.raises(InvalidRequest, match="give ids and ranges such as 0-3,5"):
        converted("pinned_cores", value, "integers")


@pytest.mark.parametrize("format_", [None, "furlongs"])
def test_a_field_without_a_known_format_is_sent_unchanged(format_: str | None) -> None:
    assert converted("memory", "2G", format_) == ("2G",)


@given(some.integers(0, 10**7), some.sampled_from(["", "M", "MiB", "G", "GiB", "T"]))
def test_any_amount_of_memory_keeps_its_size(number: int, unit: str) -> None:
    (sent,) = converted("memory", f"{number}{unit}", "mib")
    assert int(sent) == number * {"": 1, "M": 1, "G": 1024, "T": 1024**2}[unit[:1]]


@given(some.decimals(Decimal("0.001"), 1000, places=3), some.sampled_from(["M", "MB", "MiB", "G", "GB", "GiB", "T"]))
def test_any_disk_keeps_its_size_and_parses(number: Decimal, unit: str) -> None:
    (sent,) = converted("storage", f"root:{number}{unit},data:8(ssd)", "disks_gb")
    root, data = parse_storage(sent)
    base, power = (1024, 2) if unit.endswith("iB") else (1000, 2)
    size = number * base ** (power + "MGT".index(unit[0]))
    assert root.size_bytes == int(size)
    assert (data.size_bytes, data.tags) == (8 * 10**9, ("ssd",))


@given(some.lists(some.tuples(some.integers(0, 500), some.integers(0, 60)), min_size=1, max_size=8))
def test_any_ranges_name_each_integer_once(parts: list[tuple[int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}" for first, more in parts)
    sent = [int(one) for one in converted("pinned_cores", text, "integers")]
    assert len(sent) == len(set(sent))
    assert set(sent) == {one for first, more in parts for one in range(first, first + more + 1)}
