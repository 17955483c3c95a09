"""By which names and ids of MAAS the region recognises its own machines."""

from __future__ import annotations

import pytest

from regiond.maas.imports.region_state import KnownMachine

UUID = "64505e88-d3c1-4f56-9416-34a70c7af67d"


@pytest.mark.parametrize(
    ("instance", "guest", "expected"),
    [
        ("web", "web", True),
        (UUID, "web", True),
        (UUID.upper(), "web", True),
        ("other", "web", False),
        ("web", "", True),
    ],
)
def test_a_machine_is_recognised_by_the_name_or_uuid_of_its_vm(instance: str, guest: str, *, expected: bool) -> None:
    machine = KnownMachine(system_id="abcde1", hostname="www", host="kvm", guest=guest, guest_key=UUID)
    assert machine.is_guest(instance) is expected
