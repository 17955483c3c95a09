"""The contract suite's LXD hosts: a real server, and a member of a real cluster."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import cache, cached_property
from ipaddress import ip_interface
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.lxd_disks import device_name, serial_of
from common.values import DiskSpec, GuestRef, GuestSpec, Mark, NicAddress, NicKind, NicSpec
from rackd.drivers.lxd import definition
from rackd.drivers.lxd.guests import ROOT_VOLUME, mark_of
from rackd.drivers.lxd.opening import LxdOpening
from tests.lab.host_setup import HUGE_PAGE_KIB, host_bridge, huge_pages
from tests.lab.key_pair import KeyPair, make_key_pair
from tests.lab.lxd_server import LxdServer, lab_cluster, lab_server, why_no_lxd
from tests.lab.needs import why_no_huge_pages

POOL = "default"
DISK_BYTES = 64 * 1024 * 1024
HUGE_PAGES = 128

pair = cache(make_key_pair)


def _card(number: int, kind: NicKind, source: str, **fields: Any) -> NicSpec:
    return NicSpec(name=f"eth{number}", mac_address=f"52:54:00:00:00:0{number + 1}", kind=kind, source=source, **fields)


class LxdBench:
    """A server of the lab, shared with other tests: only what has our prefix or a machine's mark is touched."""

    architecture = "amd64"
    pool_id = POOL

    def __init__(self, lxd: LxdServer, key_pair: KeyPair, installation_id: UUID, nics: tuple[NicSpec, ...]) -> None:
        self.prefix, self.read_again = f"ikdrv-{uuid4().hex[:6]}-", 0
        self.administrator, self.nics = lxd, nics
        self.driver = LxdOpening().open(lxd.access(key_pair, installation=installation_id))
        self._target = "" if lxd.member is None else f"target={lxd.member}"
        self._on_the_machine = ExitStack()

    @property
    def pinnable_core_ids(self) -> tuple[int, ...]:
        (node, *_) = self.driver.discover().facts.numa_nodes
        return node.core_ids[1::-1]

    @property
    def huge_page_size_kib(self) -> int:
        """They are there from now on until the bench is closed."""
        if (why := why_no_huge_pages()) is not None:
            pytest.skip(why)
        self._on_the_machine.enter_context(huge_pages(HUGE_PAGES))
        return HUGE_PAGE_KIB

    @cached_property
    def cards(self) -> tuple[NicSpec, ...]:
        port = next(port.name for card in self.driver.discover().facts.network_cards for port in card.ports)
        return (
            *self.nics,
            _card(1, NicKind.BRIDGE, self._bridge),
            _card(2, NicKind.MACVLAN, port),
            _card(3, NicKind.SRIOV, port, vid=100),
        )

    @cached_property
    def addressed(self) -> tuple[NicSpec, ...]:
        plain = _card(1, NicKind.BRIDGE, self._bridge, address=NicAddress(address="10.254.8.20", prefix_length=24))
        return (*(evolve(nic, address=self._leased(nic.source)) for nic in self.nics), plain)

    @cached_property
    def _bridge(self) -> str:
        return self._on_the_machine.enter_context(host_bridge("10.254.8.1/24"))

    def _leased(self, network: str) -> NicAddress:
        own = ip_interface(self.administrator.ask(f"/1.0/networks/{network}")["config"]["ipv4.address"])
        return NicAddress(address=str(own.network[20]), prefix_length=own.network.prefixlen)

    def told_address(self, guest: GuestRef, nic: NicSpec) -> str:
        found = self.administrator.ask(f"/1.0/instances/{guest.name}")
        text = found["config"].get("cloud-init.network-config", "{}")
        static = json.loads(text).get("ethernets", {}).get(nic.name, {}).get("addresses", [""])[0]
        return str(found["devices"][nic.name].get("ipv4.address") or static.partition("/")[0])

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
        self._on_the_machine.close()


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
    nic = _card(0, NicKind.NETWORK, lxd.managed_bridge, boot=True)
    return LxdBench(lxd, _trusted_pair("ikdrv", lxd), installation_id, (nic,))


def lxd_cluster_bench(installation_id: UUID, _: Path) -> LxdBench:
    """The second member of the lab's cluster, spoken to through the first. It has no network of its own."""
    _skip_without_lxd()
    first, second, *_rest = lab_cluster()
    through = LxdServer(first.name, first.address, member=second.member)
    return LxdBench(through, _trusted_pair("ikdrv", first), installation_id, ())
