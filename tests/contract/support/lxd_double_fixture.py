"""Contract fixture of the LXD double, a server of its own for each test."""

from __future__ import annotations

import hashlib
import io
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import DriverType, HostAccess, NicKind
from rackd.drivers.lxd.factory import CERTIFICATE, KEY
from rackd.drivers.lxd.guests.image_files.raw_as_qcow2 import qcow2_head, qcow2_tail
from tests.contract.support.guest_samples import OwnImage, nic, sha256_of, write_parts
from tests.contract.support.lxd_fixtures import LxdFixture
from tests.lxd_http.administrator import Administrator
from tests.lxd_http.qcow2 import empty_disk
from tests.lxd_http.releases import INCUS_7_0, LXD_5_0, LXD_6_9, Release
from tests.lxd_http.server import BRIDGE, HUGE_PAGE_BYTES, PORT
from tests.lxd_http.state import NETWORK, POOL, Disk, Lxd
from tests.lxd_http.transport import key_pair, served

MIB = 1024 * 1024


class LxdDoubleFixture(LxdFixture):
    bridge, interface = BRIDGE, PORT
    huge_page_size_kib = HUGE_PAGE_BYTES // 1024

    def __init__(self, installation_id: UUID, release: Release = LXD_5_0) -> None:
        self.administrator, client = Administrator(Lxd(release)), key_pair("ikdrv")
        self._running = ExitStack()
        address, certificate_pem = self._running.enter_context(served(self.administrator.lxd, client))
        access = HostAccess(
            host_id=1,
            driver=DriverType.LXD,
            address=address,
            installation_id=installation_id,
            pinned=certificate_pem,
            credentials={CERTIFICATE: client.certificate_pem, KEY: client.key_pem},
        )
        super().__init__(self.administrator, access, (nic(0, NicKind.NETWORK, NETWORK, boot=True),))

    def lose_pool(self) -> str:
        self.administrator.lxd.unavailable_pools.add(POOL)
        return "unavailable"

    def restore_pool(self) -> None:
        self.administrator.lxd.unavailable_pools.clear()

    def second_pool(self) -> str:
        self.administrator.lxd.pools.add("second")
        return "second"

    def write_content(self, spec: GuestSpec, disk: DiskSpec) -> str:
        content = io.BytesIO()
        write_parts(content, disk.size_bytes)
        self._disk(spec, disk).content = content.getvalue()
        return self.content_of(spec, disk)

    def content_of(self, spec: GuestSpec, disk: DiskSpec) -> str:
        found = self._disk(spec, disk)
        return sha256_of(found.size_bytes, [(0, found.content)])

    def _disk(self, spec: GuestSpec, disk: DiskSpec) -> Disk:
        if disk.volume == spec.disks[0].volume:
            return self.administrator.root_disk(spec.name)
        return self.administrator.volume_disk(disk.pool_id, disk.volume)

    def write_to_disks(self, spec: GuestSpec) -> None:
        for disk in self._disks(spec):
            disk.content = b"written"

    def written_disks(self, spec: GuestSpec) -> tuple[bool, ...]:
        return tuple(bool(disk.content) for disk in self._disks(spec))

    def _disks(self, spec: GuestSpec) -> list[Disk]:
        volumes = [self.administrator.volume_disk(disk.pool_id, disk.volume) for disk in spec.disks[1:]]
        return [self.administrator.root_disk(spec.name), *volumes]

    def root_disk_holds(self, spec: GuestSpec, image: ImageRef | None) -> bool:
        disk = self.administrator.root_disk(spec.name)
        if image is None:
            return (disk.content, disk.size_bytes) == (b"", spec.disks[0].size_bytes)
        content = disk.content.ljust(image.size_bytes, b"\0")
        return hashlib.sha256(content[: image.size_bytes]).hexdigest() == image.sha256

    def own_image(self, *, large: bool = False) -> OwnImage:
        alias = f"{self.prefix}{'large' if large else 'own'}"
        content = alias.encode().ljust(MIB, b".")
        disk = empty_disk(1024 * MIB) if large else b"".join([*qcow2_head(MIB), content, qcow2_tail(MIB)])
        self.administrator.import_image(alias, disk, {"os": "Own"})
        image = ImageRef(
            sha256=hashlib.sha256(content).hexdigest(), size_bytes=MIB, virtual_size_bytes=MIB, format=ImageFormat.RAW
        )
        return OwnImage(alias, image)

    def was_restored(self, name: str) -> bool:
        """Returns whether a running instance goes on from its saved memory."""
        return self.administrator.lxd.instance(name, "default").restored

    def close(self) -> None:
        super().close()
        self._running.close()


def lxd_double_fixture(installation_id: UUID, _: Path) -> LxdDoubleFixture:
    return LxdDoubleFixture(installation_id)


def lxd_6_double_fixture(installation_id: UUID, _: Path) -> LxdDoubleFixture:
    return LxdDoubleFixture(installation_id, LXD_6_9)


def incus_double_fixture(installation_id: UUID, _: Path) -> LxdDoubleFixture:
    return LxdDoubleFixture(installation_id, INCUS_7_0)
