"""Deletion of a machine's volumes, on libvirt's test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from common.values import OwnershipMarker
from common.volume_names import seed_name, volume_name
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.guests import volumes
from tests.contract.libvirt_node import opened
from tests.unit.test_libvirt_orphaned_volumes import SNAPSHOT_OF, make_volume

MARKER = OwnershipMarker(installation_id=UUID(int=7), machine_id=uuid4())
DISK, SECOND, SEED = volume_name(MARKER, 0), volume_name(MARKER, 1), seed_name(MARKER)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with opened(tmp_path) as client:
        yield client


def test_disks_with_a_linked_clone_are_not_deleted(client: Client) -> None:
    disks = [make_volume(client, name) for name in (DISK, SECOND, SEED)]
    make_volume(client, "a-clone", SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    volumes.delete(client, MARKER, [(disk.pool_id, disk.name) for disk in disks], in_use=set())
    assert set(client.volume_names({disks[0].pool_id})[disks[0].pool_id]) == {DISK, "a-clone"}


def test_a_machines_dependent_disks_are_all_deleted(client: Client) -> None:
    below = make_volume(client, DISK)
    make_volume(client, SECOND, SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    volumes.delete(client, MARKER, [(below.pool_id, DISK), (below.pool_id, SECOND)], in_use=set())
    assert client.volume_names({below.pool_id})[below.pool_id] == ()
