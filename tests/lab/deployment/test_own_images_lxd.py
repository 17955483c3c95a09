"""Images that a real LXD server has already: deployed where they are, and refused with what was found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest, OutOfCapacity
from common.guests.deployment_spec import ImageFormat, ImageRef
from rackd.drivers.lxd.connection.response_body import BEGINNING_BYTES
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.running.test_deployment_contract import seed
from tests.contract.support.guest_samples import volumes_of
from tests.deployment.api_calls import ASYNC
from tests.deployment.in_process import deployed
from tests.lab.servers.lxd_server import LxdServer, lab_server, why_no_lxd
from tests.lab.servers.needs import require
from tests.lab.support.deployed_guest import GuestBridge, deploy, guest_bridge
from tests.lab.support.deployed_host import add_lxd
from tests.lab.support.early_reports import reporting_early
from tests.lab.support.key_pair import make_key_pair
from tests.lab.support.lxd_specs import small_spec
from tests.lab.support.own_images import delete_images, import_image, qcow2
from tests.support.rejections import rejection

PREFIX = "ikown-"
NAME, ALIAS = f"{PREFIX}web", f"{PREFIX}bookworm"
MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[LxdServer]:
    require(why_no_lxd())
    server = lab_server()
    with server.restored(PREFIX):
        try:
            yield server
        finally:
            delete_images(server, PREFIX)


@pytest.fixture
def bridge() -> Iterator[GuestBridge]:
    with guest_bridge("10.254.13") as bridge:
        yield bridge


async def test_an_image_of_the_server_is_deployed_and_stays(
    tmp_path: Path, database_url: str, server: LxdServer, bridge: GuestBridge
) -> None:
    content = random.Random(11).randbytes(MIB)  # noqa: S311  # not a secret
    disk = qcow2(tmp_path, "disk", size_bytes=64 * MIB, content=content)
    words = {"os": "Debian", "release": "bookworm", "description": "Debian bookworm of the server"}
    fingerprint = import_image(server, disk, ALIAS, properties=words)
    images = server.ask("/1.0/images?recursion=1")
    async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
        await bridge.start_rack(innkeeper)
        host = await add_lxd(innkeeper, server)
        entry = await innkeeper.post("boot-resources/", vm_host=host["name"], alias=ALIAS)
        assert (entry["name"], entry["architecture"]) == ("debian/bookworm", "amd64/generic")
        assert (entry["title"], entry["sha256"], entry["state"]) == (words["description"], fingerprint, "ready")
        assert entry["virtual_size"] == 64 * MIB > entry["size"] > MIB

        machine = await bridge.compose(innkeeper, host, NAME, dhcp_subnet=server.managed_subnet)
        async with reporting_early(server, bridge.guest_url):
            found = await deploy(innkeeper, machine, lambda: server.console(NAME), distro_series="bookworm")
        assert (found["osystem"], found["distro_series"]) == ("debian", "bookworm")
        assert server.our_images() == set()
        with (server.folder_of(NAME) / "root.img").open("rb") as root:
            assert root.read(MIB) == content
        assert (await innkeeper.get(f"boot-resources/{entry['id']}/"))["copies"] == []

        await innkeeper.delete(f"machines/{machine['system_id']}/", force="true")
        removal = await innkeeper.begin(f"vm-hosts/{host['id']}/", method="DELETE")
        assert await innkeeper.ended(removal) == "succeeded"
        names = {one["name"] for one in await innkeeper.get("boot-resources/")}
        assert "debian/bookworm" not in names
    after = server.ask("/1.0/images?recursion=1")
    assert [without_use(one) for one in after] == [without_use(one) for one in images]


def without_use(image: Any) -> Any:
    """LXD records when an image was used."""
    return {name: value for name, value in image.items() if name != "last_used_at"}


async def test_what_the_server_does_not_have_is_refused(tmp_path: Path, database_url: str, server: LxdServer) -> None:
    disk = qcow2(tmp_path, "disk", size_bytes=2 * MIB, content=b"own")
    container = tmp_path / "rootfs.squashfs"
    container.write_bytes(b"hsqs".ljust(512, b"."))  # how a squashfs begins
    fingerprint = import_image(server, disk, f"{PREFIX}vm")
    import_image(server, container, f"{PREFIX}container")
    async with deployed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add_lxd(innkeeper, server)
        for field, wanted, reason in (
            ("alias", f"{PREFIX}container", "is one of containers"),
            ("alias", f"{PREFIX}none", f"its images of VMs are {PREFIX}vm."),
            ("fingerprint", "0" * 12, f"its images of VMs are {PREFIX}vm."),
        ):
            fields: dict[str, Any] = {"vm_host": host["id"], "name": "x", field: wanted}
            rejected = await rejection(innkeeper.post("boot-resources/", **fields))
            assert isinstance(rejected, InvalidRequest)
            assert reason in str(rejected.fields[field])
        entry = await innkeeper.post("boot-resources/", vm_host=host["id"], fingerprint=fingerprint[:12], name="x")
        assert (entry["sha256"], entry["virtual_size"]) == (fingerprint, 2 * MIB)


async def test_an_image_that_the_server_has_lost_fails_the_deployment(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    disk = qcow2(tmp_path, "disk", size_bytes=2 * MIB, content=b"lost")
    fingerprint = import_image(server, disk, f"{PREFIX}vm")
    async with deployed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add_lxd(innkeeper, server)
        await innkeeper.post("boot-resources/", vm_host=host["id"], alias=f"{PREFIX}vm", name="x")
        made = await innkeeper.compose(host["id"], hostname=f"{PREFIX}gone", cores=1, memory=1024, storage="1")
        server.ask(f"/1.0/images/{fingerprint}", method="DELETE")
        path = f"machines/{made['system_id']}/"
        operation = await innkeeper.post(path, op="deploy", distro_series="x", headers=ASYNC)
        assert await innkeeper.ended(operation["id"]) == "failed"
        reason = (await innkeeper.get(path))["status_message"]
        assert reason.startswith(f"{host['name']} does not have the image custom/x any more: ")
        assert (await innkeeper.post(path, op="release"))["status_name"] == "Ready"
        await innkeeper.delete(path)


def test_a_restricted_certificate_suffices(lxd: LxdServer, prefix: str, tmp_path: Path) -> None:
    disk = qcow2(tmp_path, "disk", size_bytes=2 * MIB, content=prefix.encode())
    import_image(lxd, disk, f"{prefix}vm")
    pair = make_key_pair("ik-restricted")
    with lxd.trusting(pair, "--restricted", "--projects", "default"):
        driver = LxdDriverFactory().open(lxd.access(pair))
        try:
            assert driver.find_image(alias=f"{prefix}vm").virtual_size_bytes == 2 * MIB
        finally:
            driver.close()
            delete_images(lxd, prefix)


def test_lxd_itself_refuses_a_disk_of_unknown_size_that_is_too_large(
    lxd: LxdServer, driver: LxdDriver, prefix: str, tmp_path: Path
) -> None:
    disk = qcow2(tmp_path, "large", size_bytes=1024 * MIB, content=b"large")
    import_image(lxd, disk, f"{prefix}large", padding_bytes=2 * BEGINNING_BYTES)
    spec = small_spec(f"{prefix}vm", ("default",))
    driver.compose(spec)
    try:
        found = driver.find_image(alias=f"{prefix}large")
        assert found.virtual_size_bytes is None
        image = ImageRef(
            sha256=found.fingerprint, size_bytes=found.size_bytes, virtual_size_bytes=0, format=ImageFormat.QCOW2,
            of_host=True,
        )  # fmt: skip
        with pytest.raises(OutOfCapacity, match=str(spec.disks[0].size_bytes)) as raised:
            driver.deploy(spec, image, seed())
        assert "needs a larger root disk" in str(raised.value)
        assert driver.find(spec.ref) is not None
    finally:
        driver.decompose(spec.ref, volumes_of(spec))
        delete_images(lxd, prefix)
