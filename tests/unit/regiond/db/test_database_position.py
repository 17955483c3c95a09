"""Whether a database has moved to another server since its regions used it."""

from __future__ import annotations

import pytest

from regiond.db.position import Position, has_moved

ONE, TWO, THREE, OTHER = Position("7", 1), Position("7", 2), Position("7", 3), Position("8", 1)


@pytest.mark.parametrize(
    ("seen", "recorded", "remembered", "moved"),
    [
        (ONE, None, None, False),  # the first start
        (ONE, None, ONE, False),
        (TWO, None, ONE, True),  # a promotion
        (TWO, TWO, ONE, False),  # another region has moved it on
        (THREE, TWO, TWO, True),
        (TWO, None, None, True),  # a region without a memory, such as on another computer
        (TWO, None, TWO, False),
        (OTHER, None, ONE, True),  # a copy on another server
        (OTHER, TWO, TWO, True),
        (OTHER, OTHER, TWO, False),  # a restore has moved it on
    ],
)
def test_a_database_has_moved(
    seen: Position, recorded: Position | None, remembered: Position | None, moved: bool
) -> None:
    assert has_moved(seen, recorded=recorded, remembered=remembered, is_new=False) is moved
    assert not has_moved(seen, recorded=recorded, remembered=remembered, is_new=True)
