"""Volume names contain the marker; other names have none."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.disks.volume_names import index_of_volume, marker_of_volume, seed_name, short_volume_name, volume_name
from common.values import OwnershipMarker

MARKER = OwnershipMarker(
    installation_id=UUID("00000000-0000-4000-8000-00000000000a"),
    machine_id=UUID("00000000-0000-4000-8000-00000000000b"),
)


@given(installation=st.uuids(), machine=st.uuids(), index=st.integers(0, 9999))
def test_volume_names_round_trip(installation: UUID, machine: UUID, index: int) -> None:
    marker = OwnershipMarker(installation_id=installation, machine_id=machine)
    for name in (volume_name(marker, index), short_volume_name(marker, index)):
        assert marker_of_volume(name) == marker
        assert index_of_volume(name) == index


def test_a_short_name_is_short_enough_for_every_hypervisor() -> None:
    assert len(short_volume_name(MARKER, 9999)) == 63


@pytest.mark.parametrize(
    "name",
    [
        "",
        "disk.qcow2",
        volume_name(MARKER, 0).upper(),
        volume_name(MARKER, 0) + "\n",
        volume_name(MARKER, 0) + ".snap",
        volume_name(MARKER, 1).removesuffix("1") + "01",
        "x" + volume_name(MARKER, 0),
        short_volume_name(MARKER, 0) + ".snap",
        short_volume_name(MARKER, 0).replace("CgA", "CgB").replace("Cg-", "Ch-"),
        seed_name(MARKER),
    ],
)
def test_other_names_have_no_marker(name: str) -> None:
    assert marker_of_volume(name) is None
    assert index_of_volume(name) is None


@pytest.mark.slow
@given(st.text())
def test_any_text_can_be_parsed(name: str) -> None:
    found = marker_of_volume(name)
    assert found is None or isinstance(found, OwnershipMarker)


@pytest.mark.parametrize("index", [-1, 10000])
def test_invalid_indexes_raise(index: int) -> None:
    for name in (volume_name, short_volume_name):
        with pytest.raises(ValueError, match="0 to 9999"):
            name(MARKER, index)
