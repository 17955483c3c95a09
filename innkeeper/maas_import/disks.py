"""Disks of machines, with the storage pool of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

from common.maas.inventory import Disk
from innkeeper.maas_import.tables import Row, Tables

_NUMBER = re.compile(r"\d+$")


@frozen
class Disks:
    """The disks of all nodes and VMs, found by what refers to them."""

    tables: Tables
    devices: Mapping[str, list[Row]] = field(init=False)  # by configuration of a node
    serials: Mapping[str, str] = field(init=False)  # of the physical ones
    rows: Mapping[str, list[Row]] = field(init=False)  # by VM
    pools: Mapping[str, Row] = field(init=False)

    @devices.default
    def _devices(self) -> Mapping[str, list[Row]]:
        return self.tables.grouped("maasserver_blockdevice", "node_config_id")

    @serials.default
    def _serials(self) -> Mapping[str, str]:
        rows = self.tables["maasserver_physicalblockdevice"]
        return {row.text("blockdevice_ptr_id"): row.text("serial") for row in rows}

    @rows.default
    def _rows(self) -> Mapping[str, list[Row]]:
        return self.tables.grouped("maasserver_virtualmachinedisk", "vm_id")

    @pools.default
    def _pools(self) -> Mapping[str, Row]:
        return self.tables.by("maasserver_podstoragepool")

    def disks_of(self, node: Row, vm: Row | None) -> tuple[Disk, ...]:
        """As commissioning saw them; as the host does, where it saw none."""
        backing = _by_position(self.rows.get(vm.text("id"), [])) if vm is not None else []
        devices = [
            row for row in self.devices.get(node.text("current_config_id"), ()) if row.text("id") in self.serials
        ]
        if not devices:
            return tuple(
                Disk(name=row.text("name"), size_bytes=row.integer("size"), storage_pool=self._pool(row))
                for row in backing
            )
        return tuple(
            Disk(
                name=row.text("name"),
                size_bytes=row.integer("size"),
                storage_pool=self._pool(backing[place]) if place < len(backing) else "",
                serial=self.serials[row.text("id")],
                tags=row.array("tags"),
            )
            for place, row in enumerate(devices)
        )

    def _pool(self, row: Row) -> str:
        pool = self.pools.get(row.text("backing_pool_id"))
        return pool.text("name") if pool is not None else ""


def _by_position(rows: list[Row]) -> list[Row]:
    """The rows of a VM in the order of its disks.

    A refresh replaces those of the composition (`sda`, with a link to the disk) by `vd0`, `vd1` … without one; a
    machine that an allocation composed then has both, so the newer ones alone count.
    """
    refreshed = [row for row in rows if row.key("block_device_id") is None]
    return sorted(refreshed or rows, key=_position)


def _position(row: Row) -> tuple[int, int]:
    number = _NUMBER.search(row.text("name"))
    return int(number[0]) if number is not None else 0, row.integer("id")
