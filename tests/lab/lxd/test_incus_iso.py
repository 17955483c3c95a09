"""Real Incus boots a guest from an ISO image that Innkeeper has copied to it, read on the guest's console."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from attrs import evolve

from common.boot import BootDevice, BootOnce
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import PowerAction
from tests.contract.support.driver_fixtures import INSTALLATION, DriverFixture, spec_for
from tests.contract.support.lxd_fixtures import IncusFixture, incus_fixture
from tests.contract.support.uefi_iso import uefi_iso
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_disk_changes import path
from tests.integration.support.images import add_image
from tests.lab.servers.incus_server import VERSIONS
from tests.lab.support.deployed_host import add_lxd
from tests.support.waiting import eventually

MIB = 1024 * 1024
BOOTED_S = 300.0  # emulated firmware
PREFIX = "ikiso-"
CLAIM = """
    select c.sha256, c.size_bytes, k.amount from image_copy c join claim k on k.image_copy_id = c.id
"""


class Content:
    def __init__(self, message: bytes) -> None:
        self._content = uefi_iso(message)
        size, sha256 = len(self._content), hashlib.sha256(self._content).hexdigest()
        self.ref = ImageRef(
            sha256=sha256, size_bytes=size, virtual_size_bytes=size, format=ImageFormat.RAW, iso=True
        )  # fmt: skip

    def read(self, offset: int, size: int) -> bytes:
        stream = BytesIO(self._content)
        stream.seek(offset)
        return stream.read(size)


@pytest.fixture(params=VERSIONS)
def incus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IncusFixture]:
    fixture = incus_fixture(request.param, INSTALLATION, tmp_path)
    yield fixture
    fixture.close()


def composed(incus: IncusFixture) -> GuestSpec:
    spec = evolve(spec_for(cast("DriverFixture", incus), "iso"), memory_mib=256)
    incus.driver.compose(spec)
    return spec


def insert(incus: IncusFixture, spec: GuestSpec, image: Content) -> None:
    incus.driver.copy_image(image.ref, incus.pool_id, image)
    state = incus.driver.insert_iso(spec.ref, image.ref.sha256, incus.pool_id)
    assert (state.now, state.after) == (image.ref.sha256, image.ref.sha256)


async def says(incus: IncusFixture, spec: GuestSpec, greeting: bytes) -> None:
    await eventually(
        lambda: greeting in incus.driver.console_log(spec.ref, max_bytes=MIB), deadline_s=BOOTED_S
    )  # fmt: skip


async def test_a_guest_boots_from_its_iso_image_and_gets_another_one(incus: IncusFixture) -> None:
    spec = await asyncio.to_thread(composed, incus)
    first, second = Content(b"from the first image\n"), Content(b"from the second image\n")
    await asyncio.to_thread(insert, incus, spec, first)
    once = BootOnce(order=(BootDevice.ISO,), key="op-1")
    await asyncio.to_thread(incus.driver.power, spec.ref, PowerAction.ON, grace_s=0.1, boot_once=once)
    await says(incus, spec, b"from the first image")
    await asyncio.to_thread(insert, incus, spec, second)  # while the guest runs
    await asyncio.to_thread(incus.driver.set_boot_order, spec.ref, (BootDevice.ISO, BootDevice.DISK))
    await asyncio.to_thread(incus.driver.power, spec.ref, PowerAction.CYCLE, grace_s=0.1)
    await says(incus, spec, b"from the second image")
    state = await asyncio.to_thread(incus.driver.eject_iso, spec.ref)
    assert (state.now, state.after, state.runs) == ("", "", True)


@pytest.mark.database
async def test_an_image_of_the_catalogue_goes_in_and_out(
    incus: IncusFixture, innkeeper: Deployment, tmp_path: Path
) -> None:
    server, content = incus.administrator, uefi_iso(b"from the catalogue\n")
    with server.restored(PREFIX):
        host = await add_lxd(innkeeper, server, name="incus")
        sha256 = await add_image(innkeeper, "custom/rescue", content=content, filetype="iso")
        made = [await innkeeper.compose(host["id"], hostname=f"{PREFIX}{name}", storage="1") for name in ("a", "b")]
        for one in made:
            answer = await innkeeper.post(path(one), op="insert_iso", image="rescue")
            assert (answer["iso"], answer["next_iso"]) == ("custom/rescue", None)
        volumes = {name for _, name in await asyncio.to_thread(server.volumes) if name.startswith("ik-iso-")}
        assert len(volumes) == 1, "both have the same one"
        for _ in range(2):  # as the operation has recorded it, and as a refresh finds it
            found = [tuple(row) for row in await innkeeper.fetch(CLAIM)]
            assert found == [(sha256, len(content), len(content))]
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        await innkeeper.post(path(made[0]), op="set_boot", order="iso,disk")
        assert (await innkeeper.get(path(made[0])))["boot_order"][:2] == ["iso", "disk"]
        assert (await innkeeper.post(path(made[0]), op="eject_iso"))["iso"] is None
        assert (await innkeeper.get(path(made[1])))["iso"] == "custom/rescue"
        assert await innkeeper.ledger_problems() == []
        assert await innkeeper.discrepancies() == []
        await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")
        assert await asyncio.to_thread(server.volumes) == set(), "the copy has gone with the host"
