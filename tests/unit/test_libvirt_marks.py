"""Volume names carry the mark, and nothing else is mistaken for one."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.marks import mark_of_volume, seed_name, volume_name
from common.values import Mark

MARK = Mark(
    installation_id=UUID("00000000-0000-4000-8000-00000000000a"),
    machine_id=UUID("00000000-0000-4000-8000-00000000000b"),
)


@given(installation=st.uuids(), machine=st.uuids(), index=st.integers(0, 9999))
def test_a_name_gives_back_the_mark_it_was_made_from(installation: UUID, machine: UUID, index: int) -> None:
    mark = Mark(installation_id=installation, machine_id=machine)
    assert mark_of_volume(volume_name(mark, index)) == mark


@pytest.mark.parametrize(
    "name",
    [
        "",
        "disk.qcow2",
        volume_name(MARK, 0).upper(),
        volume_name(MARK, 0) + "\n",
        volume_name(MARK, 0) + ".snap",
        volume_name(MARK, 1).removesuffix("1") + "01",
        "x" + volume_name(MARK, 0),
        seed_name(MARK),
    ],
)
def test_other_names_carry_no_mark(name: str) -> None:
    assert mark_of_volume(name) is None


@given(st.text())
def test_no_text_makes_it_fail(name: str) -> None:
    found = mark_of_volume(name)
    assert found is None or isinstance(found, Mark)


@pytest.mark.parametrize("index", [-1, 10000])
def test_a_number_that_no_name_can_hold_is_a_mistake(index: int) -> None:
    with pytest.raises(ValueError, match="0 to 9999"):
        volume_name(MARK, index)
