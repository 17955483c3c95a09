"""A real QEMU guest agent tells an address that no lease of libvirt shows."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from common.deployment_spec import CloudInitSeed, ImageFormat, ImageRef
from common.values import NicKind, PowerAction
from tests.contract.guest_samples import nic
from tests.contract.libvirt_fixtures import QemuFixture
from tests.contract.test_deployment_contract import Content
from tests.lab.guest_image import BOOT_S, image_file
from tests.lab.host_setup import host_bridge
from tests.lab.libvirt_specs import small_spec
from tests.waiting import eventually

PREFIX = "10.254.15"
ADDRESS = f"{PREFIX}.20"


def image_of(file: Path) -> ImageRef:
    described = subprocess.run(
        ["qemu-img", "info", "--output=json", "--force-share", str(file)], capture_output=True, check=True
    )
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return ImageRef(
        sha256=sha256, size_bytes=file.stat().st_size, format=ImageFormat.QCOW2, uefi=True,
        virtual_size_bytes=json.loads(described.stdout)["virtual-size"],
    )  # fmt: skip


def seed(mac_address: str) -> CloudInitSeed:
    """The guest configures its address itself."""
    interface = {"match": {"macaddress": mac_address}, "addresses": [f"{ADDRESS}/24"]}
    network = {"version": 2, "ethernets": {"id0": interface}}
    return CloudInitSeed(
        meta_data='{"instance-id": "agent"}', user_data=b"#cloud-config\n{}\n", network_config=json.dumps(network)
    )


@pytest.mark.deadline(2 * BOOT_S)
async def test_an_agent_tells_an_address_without_a_lease(qemu: QemuFixture) -> None:
    file = image_file("qemu-guest-agent")
    image = image_of(file)
    with host_bridge(f"{PREFIX}.1/24") as bridge:
        small = small_spec(qemu, "agent", nics=(nic(0, NicKind.BRIDGE, bridge),))
        disks = (evolve(small.disks[0], size_bytes=3 * 10**9),)
        spec = evolve(small, memory_mib=1024, disks=disks)
        qemu.driver.compose(spec)
        qemu.driver.copy_image(image, qemu.pool_id, Content(file.read_bytes()))
        qemu.driver.deploy(spec, image, seed(spec.nics[0].mac_address))
        qemu.driver.power(spec.ref, PowerAction.ON, grace_s=1)

        def addresses() -> tuple[str, ...]:
            found = qemu.driver.find(spec.ref)
            assert found is not None
            return found.nics[0].addresses or ()

        await eventually(lambda: ADDRESS in addresses(), deadline_s=BOOT_S, every_s=2.0)
        (listed,) = [one for one in qemu.driver.discover().guests if one.name == spec.name]
        assert ADDRESS in (listed.nics[0].addresses or ())
        qemu.driver.power(spec.ref, PowerAction.OFF, grace_s=BOOT_S)
        off = qemu.driver.find(spec.ref)
        assert off is not None
        assert off.nics[0].addresses is None
