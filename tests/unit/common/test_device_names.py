"""Block devices have the names that Linux gives them."""

from __future__ import annotations

import pytest

from common.disks.device_names import block_device_name


@pytest.mark.parametrize(("index", "name"), [(0, "sda"), (25, "sdz"), (26, "sdaa"), (701, "sdzz"), (702, "sdaaa")])
def test_block_devices_are_named_as_in_linux(index: int, name: str) -> None:
    assert block_device_name("sd", index) == name
