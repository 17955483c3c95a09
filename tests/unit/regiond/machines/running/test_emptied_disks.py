"""What a host does not find after it has powered a guest off."""

from __future__ import annotations

import pytest

from common.errors import DriverFailed, NotFound
from regiond.machines.running.deployment.disks import guest_was_found


def test_a_missing_storage_pool_is_no_missing_guest() -> None:
    """Otherwise a release would succeed with nothing erased."""
    with pytest.raises(DriverFailed, match="There is no storage pool fast"), guest_was_found():
        raise NotFound("There is no storage pool fast.")
