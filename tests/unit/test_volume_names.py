"""Volume names contain the marker; other names have none."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.values import OwnershipMarker
from common.volume_names import index_of_volume, marker_of_volume, seed_name, volume_name

MARKER = OwnershipMarker(
    installation_id=UUID("00000000-0000-4000-8000-00000000000a"),
    machine_id=UUID("00000000-0000-4000-8000-00000000000b"),
)


@given(installation=st.uuids(), machine=st.uuids(), index=st.integers(0, 9999))
def test_volume_names_round_trip(installation: UUID, machine: UUID, index: int) -> None:
    marker = OwnershipMarker(installation_id=installation, machine_id=machine)
    assert marker_of_volume(volume_name(marker, index)) == marker
    assert index_of_volume(volume_name(marker, index)) == index


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
        seed_name(MARKER),
    ],
)
def test_other_names_have_no_marker(name: str) -> None:
    assert marker_of_volume(name) is None
    assert index_of_volume(name) is None


@given(st.text())
def test_any_text_can_be_parsed(name: str) -> None:
    found = marker_of_volume(name)
    assert found is None or isinstance(found, OwnershipMarker)


@pytest.mark.parametrize("index", [-1, 10000])
def test_invalid_indexes_raise(index: int) -> None:
    with pytest.raises(ValueError, match="0 to 9999"):
        volume_name(MARKER, index)
