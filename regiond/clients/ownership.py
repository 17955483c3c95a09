"""Serves the RPC commands with which clients release machines and adopt guests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from common.errors import InvalidRequest, NotFound
from common.rpc.commands.client_commands import (
    CLIENT_ADOPT,
    CLIENT_RELEASE,
    AdoptCall,
    AdoptedGuest,
    AdoptedGuests,
    ReleaseCall,
    Released,
)
from common.rpc.commands.command import Command
from regiond.api.services import Services
from regiond.clients.changes import idempotency_key
from regiond.clients.summaries import operation_summary
from regiond.machines.values.adoption import Adopted
from regiond.machines.values.requests import AdoptRequest, ReleaseOptions
from regiond.operations.model import Operation
from regiond.requests.caller import Caller, Permission, check_object
from regiond.requests.validation_messages import no_object

# Each command needs the permission of the API endpoint that does the same.
PERMISSIONS: Mapping[str, Permission] = {
    CLIENT_RELEASE.name: Permission.OPERATOR,
    CLIENT_ADOPT.name: Permission.ADMIN,
}
RECORDED = frozenset({
    "comment", "erase", "secure_erase", "force", "release_adopted", "host", "guests", "everything", "hostname", "owner",
})  # fmt: skip
MAX_COMMENT_CHARS = 4096


class OwnershipCommands:
    """The handlers of these commands."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def commands(self) -> Mapping[Command[Any, Any], Callable[[Caller, Any], Awaitable[Any]]]:
        return {CLIENT_RELEASE: self._release, CLIENT_ADOPT: self._adopt}

    async def _release(self, caller: Caller, call: ReleaseCall) -> Released:
        """A repeat with the key gets its operation also after that has deleted the machine."""
        if len(call.comment) > MAX_COMMENT_CHARS or "\0" in call.comment:
            raise InvalidRequest.of({"comment": [f"Use at most {MAX_COMMENT_CHARS} characters, none of them NUL."]})
        options = ReleaseOptions(
            erase=call.erase, overwrite=call.erase and call.secure_erase, force=call.force, adopted=call.release_adopted
        )
        key = idempotency_key(self._services, caller, call.idempotency_key, CLIENT_RELEASE, call)

        async def begin() -> Operation:
            machine = await self._services.machines.read(call.system_id, caller=caller)
            check_object(PERMISSIONS[CLIENT_RELEASE.name], caller, machine)
            begun = await self._services.releases.start(
                caller, call.system_id, comment=call.comment, options=options, idempotency_key=key
            )
            if begun is None:
                raise _HasNoOwner
            return begun

        try:
            return Released(operation=operation_summary(await self._services.operations.idempotent(key, begin)))
        except _HasNoOwner:
            return Released(operation=None)

    async def _adopt(self, caller: Caller, call: AdoptCall) -> AdoptedGuests:
        _check(call)
        found = (await self._services.hosts.ids_of([call.host], caller=caller))[call.host]
        if not found:
            raise NotFound(no_object("VM host", call.host, near=await self._services.hosts.names(caller=caller)))
        request = AdoptRequest(
            guests=call.guests, everything=call.everything, hostname=call.hostname or None, owner=call.owner
        )
        adopted = await self._services.adoption.start_adopt(caller, min(found), request)
        return AdoptedGuests(guests=tuple(_guest(one) for one in adopted))


class _HasNoOwner(Exception):  # no error: nothing is to be done
    """The machine is free already."""


def _check(call: AdoptCall) -> None:
    if call.everything == bool(call.guests):
        raise InvalidRequest.of({"guests": ["Give either guests or everything, not both."]})
    if call.hostname and len(call.guests) != 1:
        raise InvalidRequest.of({"hostname": ["A hostname requires exactly one virtual machine."]})


def _guest(adopted: Adopted) -> AdoptedGuest:
    return AdoptedGuest(
        guest=adopted.guest_name,
        system_id=adopted.system_id,
        hostname=adopted.hostname,
        operation=None if adopted.operation is None else operation_summary(adopted.operation),
        rejected=adopted.rejected,
    )
