"""Contract fixtures of LXD: a real server, a member of a real cluster, and what both share with the double."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cache, cached_property
from ipaddress import ip_interface
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import UUID, uuid4

from attrs import evolve

from common.disks.device_names import lxd_device_name, lxd_serial
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec, NicAddress, NicSpec
from common.values import GuestRef, HostAccess, NicKind, OwnershipMarker
from rackd.drivers.lxd.connection.capabilities import Capabilities, capabilities_of
from rackd.drivers.lxd.factory import LxdDriverFactory
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.inventory.ownership import ROOT_VOLUME_KEY, marker_of
from regiond.machines.core.guest_spec import name_of_new_volume
from tests.contract.support.guest_samples import OwnImage, address, nic, write_parts
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, host_bridge, host_interface, huge_pages
from tests.lab.servers.incus_server import IncusServer, bridge_of_cluster, incus_cluster, incus_server, why_no_incus
from tests.lab.servers.lxd_server import CLUSTER_BRIDGE, LxdServer, lab_cluster, lab_server, why_no_lxd
from tests.lab.servers.needs import require, why_no_huge_pages
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.own_images import delete_images, import_image, qcow2

POOL = "default"
HUGE_PAGES = 128
MIB = 1024 * 1024

pair = cache(make_key_pair)


class Administrator(Protocol):
    """Who has a server, and may do everything there."""

    @property
    def member(self) -> str | None:
        """The cluster member on which it works."""

    def ask(self, path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        """Returns the metadata of the response; waits for background operations."""

    def our_images(self) -> set[str]:
        """Returns the fingerprints of the images that Innkeeper copied to the default project."""


class LxdFixture(ABC):
    """What its administrator does on any LXD server, over the REST API."""

    architecture = "amd64"
    pool_id = POOL

    def __init__(self, administrator: Administrator, access: HostAccess, nics: tuple[NicSpec, ...]) -> None:
        self.prefix, self.reread_domains, self.has_spice = f"ikdrv-{uuid4().hex[:6]}-", 0, True
        self._ask, self._our_images, self.nics = administrator.ask, administrator.our_images, nics
        self.access, self.driver = access, LxdDriverFactory().open(access)
        self._target = "" if administrator.member is None else f"target={administrator.member}"

    @property
    def pinnable_core_ids(self) -> tuple[int, ...]:
        (node, *_) = self.driver.discover().facts.numa_nodes
        return node.core_ids[1::-1]

    @property
    @abstractmethod
    def bridge(self) -> str:
        """A bridge of the host that LXD does not manage."""

    @property
    @abstractmethod
    def interface(self) -> str:
        """An interface of the host that guests can share."""

    @abstractmethod
    def was_restored(self, name: str) -> bool:
        """Returns whether a running instance goes on from memory that was saved."""

    def change(self, name: str, **body: Any) -> None:
        """Changes an instance, as its administrator does."""
        self._ask(f"/1.0/instances/{name}", method="PATCH", body=body)

    def exists(self, name: str) -> bool:
        return name in {one["name"] for one in self._ask("/1.0/instances?recursion=1")}

    def description_of(self, name: str) -> str:
        return str(self._ask(f"/1.0/instances/{name}")["description"])

    def power_of(self, name: str) -> str:
        """Returns the server's word."""
        return str(self._ask(f"/1.0/instances/{name}")["status"])

    def reserve_state(self, name: str) -> None:
        """Lets an instance that is off be stopped with its memory later."""
        root = self._ask(f"/1.0/instances/{name}")["devices"]["root"]
        self.change(name, config={"migration.stateful": "true"}, devices={"root": {**root, "size.state": "512MiB"}})

    def stop_with_memory(self, name: str) -> None:
        """Stops an instance as `stop --stateful` does."""
        body = {"action": "stop", "stateful": True, "timeout": -1}
        done = self._ask(f"/1.0/instances/{name}/state", method="PUT", body=body)
        assert self._ask(f"/1.0/instances/{name}")["stateful"], done

    def snapshot(self, name: str, snapshot: str) -> None:
        self._ask(f"/1.0/instances/{name}/snapshots", method="POST", body={"name": snapshot})

    @cached_property
    def every_nic(self) -> tuple[NicSpec, ...]:
        return (
            *self.nics,
            nic(1, NicKind.BRIDGE, self.bridge),
            nic(2, NicKind.MACVLAN, self.interface),
            nic(3, NicKind.SRIOV, self.interface, vid=100),
        )

    @cached_property
    def addressed(self) -> tuple[NicSpec, ...]:
        plain = nic(1, NicKind.BRIDGE, self.bridge, address=address("10.254.8.20"))
        return (*(evolve(one, address=self._leased(one.source)) for one in self.nics), plain)

    def _leased(self, network: str) -> NicAddress:
        own = ip_interface(self._ask(f"/1.0/networks/{network}")["config"]["ipv4.address"])
        return NicAddress(address=str(own.network[20]), prefix_length=own.network.prefixlen)

    def assigned_address(self, guest: GuestRef, nic: NicSpec) -> str:
        found = self._ask(f"/1.0/instances/{guest.name}")
        text = found["config"].get("cloud-init.network-config", "{}")
        static = json.loads(text).get("ethernets", {}).get(nic.name, {}).get("addresses", [""])[0]
        return str(found["devices"][nic.name].get("ipv4.address") or static.partition("/")[0])

    def serial(self, marker: OwnershipMarker, index: int) -> str:
        """LXD derives the serial of a disk from the device name."""
        return lxd_serial(lxd_device_name(index), product=self._capabilities.dialect.product)

    def volume(self, marker: OwnershipMarker, index: int) -> str:
        return name_of_new_volume(marker, index, product=self._capabilities.dialect.product)

    def volumes(self) -> set[tuple[str, str]]:
        volumes = self._ask(f"/1.0/storage-pools/{POOL}/volumes?recursion=1")
        custom = {(POOL, one["name"]) for one in volumes if one["type"] == "custom"}
        composed = [one for one in self._ask("/1.0/instances?recursion=1") if marker_of(one) is not None]
        images = {("image store", fingerprint) for fingerprint in self._our_images()}
        return (
            custom
            | images
            | {(POOL, one["config"][ROOT_VOLUME_KEY]) for one in composed if ROOT_VOLUME_KEY in one["config"]}
        )

    @property
    def _capabilities(self) -> Capabilities:
        return capabilities_of(self._ask("/1.0"))

    def make_foreign(self, name: str) -> None:
        body = {
            "name": name,
            "type": "virtual-machine",
            "source": {"type": "none"},
            "profiles": [],
            "config": {
                "limits.cpu": "1",
                "limits.memory": "128MiB",
                **instance_config.secure_boot_config(self._capabilities, on=False),
            },
            "devices": {"root": {"type": "disk", "path": "/", "pool": POOL, "size": "64MiB"}},
        }
        self._ask(f"/1.0/instances?{self._target}", method="POST", body=body)

    def start(self, name: str) -> None:
        body = {"action": "start", "timeout": -1}
        self._ask(f"/1.0/instances/{name}/state", method="PUT", body=body)

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        """LXD creates the first disk with the instance, so here the rack was killed before it completed that."""
        if disk == spec.disks[0]:
            for other in spec.disks[1:]:
                self.make_volume(spec, other)
            prerequisites = instance_config.Prerequisites(capabilities=self._capabilities)
            body = instance_config.instance_of(spec, profile=None, attempt="killed", prerequisites=prerequisites)
            self._ask(f"/1.0/instances?{self._target}", method="POST", body=body)
        else:
            where = f"/1.0/storage-pools/{disk.pool_id}/volumes/custom?{self._target}"
            self._ask(where, method="POST", body=instance_config.custom_volume(disk))

    def attach_new_volume(self, guest: GuestRef) -> tuple[str, str]:
        name = f"{self.prefix}later"
        volume = {"name": name, "type": "custom", "content_type": "block", "config": {"size": "64MiB"}}
        self._ask(f"/1.0/storage-pools/{POOL}/volumes/custom?{self._target}", method="POST", body=volume)
        devices = {name: {"type": "disk", "pool": POOL, "source": name}}
        self._ask(f"/1.0/instances/{guest.name}", method="PATCH", body={"devices": devices})
        return POOL, name

    def grow(self, spec: GuestSpec, disk: DiskSpec, size_bytes: int) -> None:
        """The root disk has its size in the instance, any other in its volume."""
        if disk == spec.disks[0]:
            root = self._ask(f"/1.0/instances/{spec.name}")["devices"]["root"]
            body = {"devices": {"root": {**root, "size": f"{size_bytes}B"}}}
            self._ask(f"/1.0/instances/{spec.name}", method="PATCH", body=body)
        else:
            where = f"/1.0/storage-pools/{disk.pool_id}/volumes/custom/{disk.volume}?{self._target}"
            self._ask(where, method="PATCH", body={"config": {"size": f"{size_bytes}B"}})

    def rename(self, guest: GuestRef, new_name: str) -> None:
        self._ask(f"/1.0/instances/{guest.name}", method="POST", body={"name": new_name})

    def user_data(self, spec: GuestSpec) -> bytes | None:
        config = self._ask(f"/1.0/instances/{spec.name}")["config"]
        text = config.get("cloud-init.user-data")
        return None if text is None else str(text).encode()

    def close(self) -> None:
        self.driver.close()


class RealLxdFixture(LxdFixture):
    """A lab server, which other tests share: changes only guests with the prefix or a machine's marker."""

    def __init__(self, lxd: LxdServer, key_pair: KeyPair, installation_id: UUID, nics: tuple[NicSpec, ...]) -> None:
        super().__init__(lxd, lxd.access(key_pair, installation=installation_id), nics)
        self.administrator = lxd
        self._pools: list[str] = []
        self._cleanup = ExitStack()

    @property
    def huge_page_size_kib(self) -> int:
        """Reserved until the fixture is closed."""
        require(why_no_huge_pages())
        self._cleanup.enter_context(huge_pages(HUGE_PAGES))
        return HUGE_PAGE_KIB

    @cached_property
    def bridge(self) -> str:
        return self._cleanup.enter_context(host_bridge("10.254.8.1/24"))

    @cached_property
    def interface(self) -> str:
        return self._cleanup.enter_context(host_interface())

    def second_pool(self) -> str:
        name = f"{self.prefix}second"
        self.administrator.ask("/1.0/storage-pools", method="POST", body={"name": name, "driver": "dir"})
        self._pools.append(name)
        return name

    def write_content(self, spec: GuestSpec, disk: DiskSpec) -> str:
        with self._file_of(spec, disk).open("r+b") as file:
            write_parts(file, disk.size_bytes)
        return self.content_of(spec, disk)

    def content_of(self, spec: GuestSpec, disk: DiskSpec) -> str:
        return hashlib.sha256(self._file_of(spec, disk).read_bytes()).hexdigest()

    def _file_of(self, spec: GuestSpec, disk: DiskSpec) -> Path:
        root, custom = self.administrator.volume_files(disk.pool_id, spec.name, disk.volume)
        return root if disk.volume == spec.disks[0].volume else custom

    def write_to_disks(self, spec: GuestSpec) -> None:
        for path in self._disk_files(spec):
            with path.open("r+b") as file:
                file.write(b"written")

    def written_disks(self, spec: GuestSpec) -> tuple[bool, ...]:
        return tuple(bool(path.read_bytes().strip(b"\0")) for path in self._disk_files(spec))

    def _disk_files(self, spec: GuestSpec) -> list[Path]:
        custom = self.administrator.custom_volumes
        return [
            self.administrator.folder_of(spec.name) / "root.img",
            *(custom / f"default_{disk.volume}" / "root.img" for disk in spec.disks[1:]),
        ]

    def root_disk_holds(self, spec: GuestSpec, image: ImageRef | None) -> bool:
        disk = (self.administrator.folder_of(spec.name) / "root.img").read_bytes()
        if image is None:
            return disk == bytes(spec.disks[0].size_bytes)
        return hashlib.sha256(disk[: image.size_bytes]).hexdigest() == image.sha256

    def shown_for_hello(self, spec: GuestSpec) -> bytes:
        """There is no program without UEFI on the disk: the firmware says that it finds none."""
        return b"BdsDxe"

    def was_restored(self, name: str) -> bool:
        """Returns whether the instance's QEMU was started to receive memory that was saved."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                if b"-incoming" in arguments and name.encode() in arguments:
                    return True
        return False

    def own_image(self, *, large: bool = False) -> OwnImage:
        """Always with other content, so that LXD has no such image yet."""
        alias = f"{self.prefix}{'large' if large else 'own'}"
        content = alias.encode().ljust(MIB, b".")
        with TemporaryDirectory() as folder:
            disk = qcow2(Path(folder), alias, size_bytes=1024 * MIB if large else MIB, content=content)
            import_image(self.administrator, disk, alias, properties={"os": "Own"})
        return OwnImage(
            alias,
            ImageRef(
                sha256=hashlib.sha256(content).hexdigest(), size_bytes=MIB, virtual_size_bytes=MIB,
                format=ImageFormat.RAW,
            ),
        )  # fmt: skip

    def close(self) -> None:
        super().close()
        self.administrator.sweep(self.prefix)
        self.administrator.delete_our_images()
        delete_images(self.administrator, self.prefix)
        for pool in self._pools:
            self.administrator.ask(f"/1.0/storage-pools/{pool}", method="DELETE")
        self._cleanup.close()


class IncusFixture(RealLxdFixture):
    """Incus lists only those interfaces of the host that have a type it knows: a bridge, but not one end of a pair."""

    @cached_property
    def interface(self) -> str:
        return self._cleanup.enter_context(host_bridge("10.254.9.1/24"))

    @property
    def huge_page_size_kib(self) -> int:
        """Incus remembers its hardware: 7.0 for ten seconds, 6.0 for more than two minutes. So it is restarted."""
        size_kib = super().huge_page_size_kib
        self.administrator.restart()
        return size_kib

    def greet_on_boot(self, spec: GuestSpec) -> bytes:
        """The firmware says which boot option has failed."""
        return b"BdsDxe"


def _skip_without_lxd() -> None:
    require(why_no_lxd())


def _trusted_pair(name: str, lxd: LxdServer) -> KeyPair:
    key_pair = pair(name)
    if key_pair.fingerprint not in lxd.trusted():
        lxd.add_trust(key_pair)
    return key_pair


def lxd_fixture(installation_id: UUID, _: Path) -> RealLxdFixture:
    """The lab's server, started by the first test. Skips the test if LXD is missing."""
    _skip_without_lxd()
    lxd = lab_server()
    boot_nic = nic(0, NicKind.NETWORK, lxd.managed_bridge, boot=True)
    return RealLxdFixture(lxd, _trusted_pair("ikdrv", lxd), installation_id, (boot_nic,))


def incus_fixture(version: str, installation_id: UUID, _: Path) -> IncusFixture:
    """The lab's Incus of this version. Skips the test if it is missing."""
    require(why_no_incus(version))
    incus = incus_server(version)
    boot_nic = nic(0, NicKind.NETWORK, incus.managed_bridge, boot=True)
    return IncusFixture(incus, _trusted_pair("ikdrv", incus), installation_id, (boot_nic,))


def lxd_cluster_fixture(installation_id: UUID, _: Path) -> RealLxdFixture:
    """The second member of the lab's cluster, accessed through the first. It has no network of LXD's own."""
    _skip_without_lxd()
    first, second, *_rest = lab_cluster()
    through = LxdServer(first.name, first.address, member=second.member)
    boot_nic = nic(0, NicKind.BRIDGE, CLUSTER_BRIDGE, boot=True)
    return RealLxdFixture(through, _trusted_pair("ikdrv", first), installation_id, (boot_nic,))


def incus_cluster_fixture(version: str, installation_id: UUID, _: Path) -> IncusFixture:
    """The second member of the lab's Incus cluster, accessed through the first, without a network of Incus's own."""
    require(why_no_incus(version))
    first, second, *_rest = incus_cluster(version)
    through = IncusServer(first.name, first.address, member=second.member)
    boot_nic = nic(0, NicKind.BRIDGE, bridge_of_cluster(version), boot=True)
    return IncusFixture(through, _trusted_pair("ikdrv", first), installation_id, (boot_nic,))
