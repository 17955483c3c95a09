"""Values survive a round trip; errors name the invalid field."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequest
from common.serialization import from_dict, to_dict
from common.values import NumaNode

NODE = NumaNode(node_id=0, core_ids=tuple(range(4096)), memory_mib=4096)


def test_thousands_of_numbers_survive_a_round_trip() -> None:
    assert from_dict(to_dict(NODE), NumaNode) == NODE


@pytest.mark.parametrize("core_ids", [["x"], [None], [[1]], 3, None])
def test_invalid_numbers_are_rejected_by_field(core_ids: object) -> None:
    with pytest.raises(InvalidRequest, match="core_ids"):
        from_dict({**to_dict(NODE), "core_ids": core_ids}, NumaNode)
