"""Images that boot with UEFI firmware only: found when they are uploaded, refused where guests cannot have it."""

from __future__ import annotations

import pytest

from tests.deployment.deployment import Deployment
from tests.postgresql.database import execute, fetchval
from tests.support.disk_images import MIB, checked, raw_disk, upload
from tests.support.rejections import rejection
from tests.support.waiting import eventually
from tests.unit.common.test_disk_firmware import BOOT_CODE, ESP, gpt

UEFI_ONLY = gpt(ESP).ljust(MIB, b"\0")
EITHER = BOOT_CODE + UEFI_ONLY[len(BOOT_CODE) :]


async def uploaded(innkeeper: Deployment, disk: bytes) -> None:
    entry = await checked(innkeeper, await upload(innkeeper, disk, name="custom/test", architecture="amd64/generic"))
    assert entry["state"] == "ready", entry


async def composed(innkeeper: Deployment, *, uefi_firmware: bool | None) -> str:
    host = await innkeeper.add_simulated(cores=8, storage_gb=100)
    machine = await innkeeper.compose(host["id"], cores=1, memory=1024)
    await execute(innkeeper.region.components.database, "update server set uefi_firmware = $1", uefi_firmware)
    return str(machine["system_id"])


@pytest.mark.parametrize(("disk", "uefi"), [(UEFI_ONLY, True), (EITHER, False), (raw_disk(), False)])
async def test_an_upload_is_checked_for_the_firmware_it_needs(innkeeper: Deployment, disk: bytes, uefi: bool) -> None:
    await uploaded(innkeeper, disk)
    assert await fetchval(innkeeper.region.components.database, "select uefi from image") is uefi


async def test_a_host_without_the_firmware_is_refused_before_anything_changes(innkeeper: Deployment) -> None:
    await uploaded(innkeeper, UEFI_ONLY)
    system_id = await composed(innkeeper, uefi_firmware=False)
    error = await rejection(innkeeper.post(f"machines/{system_id}/", op="deploy"))
    assert error.details["status"] == 409
    assert "apt install ovmf" in error.message
    machine = await innkeeper.get(f"machines/{system_id}/")
    assert (machine["status_name"], machine["owner"]) == ("Ready", None)
    assert innkeeper.simulated().images() == []


@pytest.mark.slow
@pytest.mark.parametrize(("disk", "firmware"), [(UEFI_ONLY, True), (UEFI_ONLY, None), (EITHER, False)])
async def test_other_hosts_and_images_are_deployed(innkeeper: Deployment, disk: bytes, firmware: bool | None) -> None:
    await uploaded(innkeeper, disk)
    system_id = await composed(innkeeper, uefi_firmware=firmware)
    await innkeeper.post(f"machines/{system_id}/", op="deploy")

    async def is_deployed() -> bool:
        return bool((await innkeeper.get(f"machines/{system_id}/"))["status_name"] == "Deployed")

    await eventually(is_deployed)


async def test_a_refresh_learns_of_the_firmware(innkeeper: Deployment) -> None:
    await composed(innkeeper, uefi_firmware=None)
    (host_id,) = innkeeper.hosts.values()
    await eventually(lambda: innkeeper.refreshed(host_id))
    assert await fetchval(innkeeper.region.components.database, "select uefi_firmware from server") is True
