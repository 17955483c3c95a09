"""Values to plain maps and back: what does not fit is named, however it is read."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequest
from common.values import NumaNode
from common.wire import from_plain, to_plain

NODE = NumaNode(node_id=0, core_ids=tuple(range(4096)), memory_mib=4096)


def test_thousands_of_numbers_come_back_as_they_were() -> None:
    assert from_plain(to_plain(NODE), NumaNode) == NODE


@pytest.mark.parametrize("core_ids", [["x"], [None], [[1]], 3, None])
def test_numbers_that_are_none_are_refused_by_the_name_of_their_part(core_ids: object) -> None:
    with pytest.raises(InvalidRequest, match="core_ids"):
        from_plain({**to_plain(NODE), "core_ids": core_ids}, NumaNode)
