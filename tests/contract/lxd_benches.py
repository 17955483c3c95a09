"""The contract suite's LXD hosts: a real server, and a member of a real cluster."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from common.lxd_disks import device_name, serial_of
from common.values import DiskSpec, GuestRef, GuestSpec, Mark, NicKind, NicSpec
from rackd.drivers.lxd import definition
from rackd.drivers.lxd.guests import ROOT_VOLUME, mark_of
from rackd.drivers.lxd.opening import LxdOpening
from tests.lab.key_pair import KeyPair, make_key_pair
from tests.lab.lxd_server import LxdServer, lab_cluster, lab_server, why_no_lxd

POOL = "default"
DISK_BYTES = 64 * 1024 * 1024
MAC_ADDRESS = "52:54:00:00:00:01"

pair = cache(make_key_pair)


class LxdBench:
    """A server of the lab, shared with other tests: only what has our prefix or a machine's mark is touched."""

    architecture = "amd64"
    pool_id = POOL

    def __init__(self, lxd: LxdServer, key_pair: KeyPair, installation_id: UUID, nics: tuple[NicSpec, ...]) -> None:
        self.prefix = f"ikdrv-{uuid4().hex[:6]}-"
        self.administrator, self.nics = lxd, nics
        self.driver = LxdOpening().open(lxd.access(key_pair, installation=installation_id))
        self._target = "" if lxd.member is None else f"target={lxd.member}"

    def serial(self, mark: Mark, index: int) -> str:
        """LXD names its disks' serials itself, after the device."""
        return serial_of(device_name(index))

    def volumes(self) -> set[tuple[str, str]]:
        told = self.administrator.ask(f"/1.0/storage-pools/{POOL}/volumes?recursion=1")
        custom = {(POOL, one["name"]) for one in told if one["type"] == "custom"}
        composed = [one for one in self.administrator.ask("/1.0/instances?recursion=1") if mark_of(one) is not None]
        return custom | {(POOL, one["config"][ROOT_VOLUME]) for one in composed if ROOT_VOLUME in one["config"]}

    def make_foreign(self, name: str) -> None:
        body = {
            "name": name,
            "type": "virtual-machine",
            "source": {"type": "none"},
            "profiles": [],
            "config": {"limits.cpu": "1", "limits.memory": "128MiB", "security.secureboot": "false"},
            "devices": {"root": {"type": "disk", "path": "/", "pool": POOL, "size": "64MiB"}},
        }
        self.administrator.ask(f"/1.0/instances?{self._target}", method="POST", body=body)

    def start(self, name: str) -> None:
        self.administrator.lxc("start", name)

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        """The first disk comes with its instance, so there the rack was killed before it had finished that."""
        if disk == spec.disks[0]:
            for other in spec.disks[1:]:
                self.make_volume(spec, other)
            body = definition.instance_of(spec, has_profile=False, attempt="killed")
            self.administrator.ask(f"/1.0/instances?{self._target}", method="POST", body=body)
        else:
            where = f"/1.0/storage-pools/{disk.pool_id}/volumes/custom?{self._target}"
            self.administrator.ask(where, method="POST", body=definition.volume_of(disk))

    def attach_later(self, guest: GuestRef) -> tuple[str, str]:
        name = f"{self.prefix}later"
        target = () if self.administrator.member is None else ("--target", self.administrator.member)
        self.administrator.lxc("storage", "volume", "create", POOL, name, "--type=block", "size=64MiB", *target)
        self.administrator.lxc("storage", "volume", "attach", POOL, name, guest.name)
        return POOL, name

    def rename(self, guest: GuestRef, new_name: str) -> None:
        self.administrator.lxc("move", guest.name, new_name)

    def close(self) -> None:
        self.driver.close()
        self.administrator.sweep(self.prefix)


def _skip_without_lxd() -> None:
    if (why := why_no_lxd()) is not None:
        pytest.skip(why)


def _trusted_pair(name: str, lxd: LxdServer) -> KeyPair:
    made = pair(name)
    if made.fingerprint not in lxd.trusted():
        lxd.add_trust(made)
    return made


def lxd_bench(installation_id: UUID, _: Path) -> LxdBench:
    """The lab's server, started for the first of the tests. Skips where there is no LXD."""
    _skip_without_lxd()
    lxd = lab_server()
    bridge = next(one["name"] for one in lxd.ask("/1.0/networks?recursion=1") if one["managed"])
    nic = NicSpec(name="eth0", mac_address=MAC_ADDRESS, kind=NicKind.NETWORK, source=bridge, boot=True)
    return LxdBench(lxd, _trusted_pair("ikdrv", lxd), installation_id, (nic,))


def lxd_cluster_bench(installation_id: UUID, _: Path) -> LxdBench:
    """The second member of the lab's cluster, spoken to through the first. It has no network of its own."""
    _skip_without_lxd()
    first, second, *_rest = lab_cluster()
    through = LxdServer(first.name, first.address, member=second.member)
    return LxdBench(through, _trusted_pair("ikdrv", first), installation_id, ())
