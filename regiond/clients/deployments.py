"""Serves the RPC commands with which clients clone, deploy, rebuild and export machines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from attrs import evolve

from common.errors import InvalidRequest, WrongState
from common.rpc.commands.client_commands import (
    CLIENT_CLONE,
    CLIENT_DEPLOY,
    CLIENT_EXPORT,
    CLIENT_REBUILD,
    MAX_DOWNLOADED_BYTES,
    CloneCall,
    DeployCall,
    DownloadCall,
    DownloadedPart,
    ExportCall,
    RebuildCall,
)
from common.rpc.commands.command import Command
from regiond.api.services import Services
from regiond.clients.changes import idempotency_key
from regiond.exports.model import Export
from regiond.exports.service import Download
from regiond.machines.values.clones import CloneRequest
from regiond.machines.values.disks import MachineToExport
from regiond.machines.values.requests import DeployRequest
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.requests.caller import Caller, Permission, check_object

# Each command needs the permission of the API endpoint that does the same.
PERMISSIONS: Mapping[str, Permission] = {
    CLIENT_CLONE.name: Permission.OWNER,
    CLIENT_DEPLOY.name: Permission.OPERATOR,
    CLIENT_REBUILD.name: Permission.OWNER,
    CLIENT_EXPORT.name: Permission.OWNER,
}
PART_BYTES = 256 * 1024  # of a download: eight are in transit
RECORDED = frozenset({"image", "force"})  # user data may have secrets


class DeploymentCommands:
    """The handlers of these commands. Each returns the operation that it began."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def commands(self) -> Mapping[Command[Any, Any], Callable[[Caller, Any], Awaitable[Operation]]]:
        return {
            CLIENT_CLONE: self._clone,
            CLIENT_DEPLOY: self._deploy,
            CLIENT_REBUILD: self._rebuild,
            CLIENT_EXPORT: self._export,
        }

    async def _clone(self, caller: Caller, call: CloneCall) -> Operation:
        key = await self._begun(caller, CLIENT_CLONE, call)
        request = CloneRequest(
            hostname=call.hostname, pool=call.pool, cores=call.cores, memory_mib=call.memory_mib,
            storage_pool=call.storage_pool, power_on=call.power_on,
        )  # fmt: skip
        return await self._services.clones.start(caller, call.system_id, request, idempotency_key=key)

    async def _deploy(self, caller: Caller, call: DeployCall) -> Operation:
        key = await self._begun(caller, CLIENT_DEPLOY, call)
        return await self._services.deployments.start(caller, call.system_id, _request(call), idempotency_key=key)

    async def _rebuild(self, caller: Caller, call: RebuildCall) -> Operation:
        key = await self._begun(caller, CLIENT_REBUILD, call)
        request = evolve(_request(call), rebuild=True, force=call.force)
        return await self._services.deployments.start(caller, call.system_id, request, idempotency_key=key)

    async def _export(self, caller: Caller, call: ExportCall) -> Operation:
        key = await self._begun(caller, CLIENT_EXPORT, call)
        return await self._services.hardware.start(caller, call.system_id, MachineToExport(), idempotency_key=key)

    async def _begun(
        self, caller: Caller, command: Command[Any, Any], call: CloneCall | DeployCall | RebuildCall | ExportCall
    ) -> IdempotencyKey | None:
        """Checks that the caller may do this with the machine, and returns the key of the request."""
        machine = await self._services.machines.read(call.system_id, caller=caller)
        check_object(PERMISSIONS[command.name], caller, machine)
        return idempotency_key(self._services, caller, call.idempotency_key, command, call)


async def downloaded(services: Services, caller: Caller, call: DownloadCall) -> AsyncGenerator[DownloadedPart, None]:
    """Yields the content of a file of the caller from `start` on: of a complete one, an empty part.

    Raises as `Exports.download`.
    """
    found = await _begun_download(services, caller, call)
    if isinstance(found, Export):
        yield DownloadedPart(data=b"", size_bytes=found.size_bytes)
        return
    async with aclosing(found.chunks) as chunks:
        async for chunk in chunks:
            for start in range(0, len(chunk), PART_BYTES):
                yield DownloadedPart(data=chunk[start : start + PART_BYTES], size_bytes=found.export.size_bytes)


async def _begun_download(services: Services, caller: Caller, call: DownloadCall) -> Download | Export:
    """Returns the export if the caller has all of its file, whichever region has it."""
    end = call.start + MAX_DOWNLOADED_BYTES
    try:
        return await services.exports.download(caller, call.export_id, call.start, end)
    except (InvalidRequest, WrongState):
        whole = await services.exports.read(caller, call.export_id)
        if not whole.is_ready or call.start != whole.size_bytes:
            raise
        return whole


def _request(call: DeployCall | RebuildCall) -> DeployRequest:
    return DeployRequest(distro_series=call.image, encoded_user_data=call.user_data)
