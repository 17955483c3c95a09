"""Reads running installations of MAAS, and files of inventories, in processes with limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import define, field, frozen

from common.errors import InnkeeperError, InvalidRequest, ResponseRejected, rebuild
from common.maas.inventory import Inventory
from common.process.work_process import WorkFailed, WorkLimits, fair_pause, work_process
from common.serialization import to_dict
from regiond.maas.access import MaasAccess
from regiond.maas.imports import inventory_process
from regiond.maas.imports.inventory_file import Assembly
from regiond.maas.imports.inventory_process import END, ERROR
from regiond.maas.source.service import READ_DEADLINE_S

_MEMORY_BYTES = 640 * 2**20  # two that read and one that unpacks fit beside a region into the 2 GiB of its service
_CPU_S = 300
_READINGS, _UNPACKINGS = 2, 1


@frozen(kw_only=True)
class ReadInventory:
    """An inventory that a plan can be made of, and its file."""

    inventory: Inventory
    packed: bytes = field(repr=False)


@define
class InventoryReading:
    """The processes of one region: others wait for their turn."""

    _readings: asyncio.Semaphore = field(factory=partial(asyncio.Semaphore, _READINGS), init=False)
    _unpackings: asyncio.Semaphore = field(factory=partial(asyncio.Semaphore, _UNPACKINGS), init=False)

    async def of_maas(self, access: MaasAccess) -> ReadInventory:
        """Raises the errors of `read_with`, and InvalidRequest if no plan can be made of what MAAS has."""
        limits = WorkLimits(cpu_s=_CPU_S, memory_bytes=_MEMORY_BYTES, deadline_s=READ_DEADLINE_S + 60)
        try:
            async with self._readings:
                return await _run({"access": to_dict(access)}, b"", limits)
        except (WorkFailed, TimeoutError) as error:
            raise ResponseRejected(
                f"What the MAAS at {access.label} has takes more memory or time than the region gives to one reading. "
                "Take a dump of its database: innkeeper import maas --dump FILE"
            ) from error

    async def of_file(self, packed: bytes) -> ReadInventory:
        """Raises InvalidRequest for a file that is none, or too large."""
        limits = WorkLimits(cpu_s=_CPU_S, memory_bytes=_MEMORY_BYTES, deadline_s=_CPU_S)
        try:
            async with self._unpackings:
                return await _run({}, packed, limits)
        except (WorkFailed, TimeoutError) as error:
            text = "The inventory takes more memory or time than the region gives to one."
            raise InvalidRequest.of({"inventory": [text]}) from error


async def _run(order: Mapping[str, Any], content: bytes, limits: WorkLimits) -> ReadInventory:
    assembly = Assembly()
    async with work_process(inventory_process.__name__, order, content, limits) as output:
        while True:
            name, value = await output.line()
            began_s = time.perf_counter()
            if name == END:
                packed = await output.content(value) if value else content
                return ReadInventory(inventory=assembly.inventory(), packed=packed)
            if name == ERROR:
                raise _error(value)
            assembly.add(name, value)
            await fair_pause(began_s)


def _error(value: Mapping[str, Any]) -> InnkeeperError:
    return rebuild(value["code"], value["message"], value["details"])
