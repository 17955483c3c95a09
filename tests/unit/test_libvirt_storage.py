"""What a machine's volumes leave behind when it is deleted, on libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from common.marks import seed_name, volume_name
from common.values import Mark
from rackd.drivers.libvirt import storage
from rackd.drivers.libvirt.client import Client
from tests.contract.libvirt_node import opened
from tests.unit.test_libvirt_unused import SNAPSHOT_OF, make_volume

MARK = Mark(installation_id=UUID(int=7), machine_id=uuid4())
DISK, SECOND, SEED = volume_name(MARK, 0), volume_name(MARK, 1), seed_name(MARK)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with opened(tmp_path) as made:
        yield made


def test_a_disk_on_which_somebody_made_a_linked_clone_stays_and_the_others_go(client: Client) -> None:
    disks = [make_volume(client, name) for name in (DISK, SECOND, SEED)]
    make_volume(client, "a-clone", SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    storage.remove(client, MARK, [(disk.pool_id, disk.name) for disk in disks], in_use=set())
    assert set(client.volume_names({disks[0].pool_id})[disks[0].pool_id]) == {DISK, "a-clone"}


def test_a_machines_own_disk_on_its_other_goes_with_it(client: Client) -> None:
    below = make_volume(client, DISK)
    make_volume(client, SECOND, SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    storage.remove(client, MARK, [(below.pool_id, DISK), (below.pool_id, SECOND)], in_use=set())
    assert client.volume_names({below.pool_id})[below.pool_id] == ()
