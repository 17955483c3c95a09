"""Adds, checks, changes and removes MAAS servers, for administrators."""

from __future__ import annotations

from attrs import asdict, evolve, frozen

from common.errors import InnkeeperError, InvalidRequest, WrongState
from common.words.phrases import number_of
from regiond.credentials.rewrap import MAAS_KEY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db, unique
from regiond.events.service import Events
from regiond.maas.access import MaasAccess
from regiond.maas.bridge import server_store
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.maas_api import MaasIdentity, identify
from regiond.maas.bridge.model import (
    MAX_PROBLEM,
    MaasServer,
    MaasServerChange,
    NewMaasServer,
    check_name,
    check_power_url,
)
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.identifiers import findable
from regiond.requests.validation_messages import existing


@frozen
class MaasServers:
    """A name is unique; an invalid or taken one raises InvalidRequest. Everybody reads, administrators change."""

    database: Database
    seal: Credentials
    connections: Connections

    async def list(self) -> tuple[MaasServer, ...]:
        """Returns all, by name."""
        async with self.database.connection() as db:
            return await server_store.servers(db)

    async def read(self, name: str) -> MaasServer:
        """Raises NotFound."""
        async with self.database.connection() as db:
            return await _read(db, name)

    async def create(self, caller: Caller, new: NewMaasServer, *, skip_check: bool = False) -> MaasServer:
        """Returns the server, which was asked who the key is unless `skip_check`.

        Raises InvalidRequest by field, and the errors of the check: then nothing is stored.
        """
        caller.require_admin()
        wanted, access = _checked(new)
        found = None if skip_check else await self._identify(access)
        async with self.database.transaction() as db:
            with unique("name", f"MAAS server {wanted.name!r} already exists."):
                server_id = await server_store.insert(db, wanted)
            await self._store_key(db, server_id, wanted.key)
            if found is not None:
                await server_store.record_check(db, server_id, version=found.version, username=found.username)
            message = f"The MAAS server {wanted.name} at {wanted.url} was added."
            await Events.record(db, "maas_server_added", message, caller=caller)
        return await self.read(wanted.name)

    async def update(self, caller: Caller, name: str, change: MaasServerChange) -> MaasServer:
        """Returns the server after the change of what is given. Raises NotFound, and InvalidRequest by field.

        Machines that are registered keep the address for power that MAAS has stored.
        """
        caller.require_admin()
        before, key = await self.connections.read((await self.read(name)).id)
        wanted, _ = _checked(_changed(before, change, key))
        if wanted.url != before.url and change.key is None:
            raise InvalidRequest.of({"key": ["Give the key too: the one that is stored is sent to no other address."]})
        async with self.database.transaction() as db:
            await server_store.update(db, before.id, wanted)
            await self._store_key(db, before.id, wanted.key)
            await Events.record(db, "maas_server_changed", f"The MAAS server {name} was changed.", caller=caller)
        return await self.read(name)

    async def check(self, caller: Caller, name: str) -> MaasServer:
        """Returns the server after it was asked for its version and for whom the key is. Raises the errors of that."""
        caller.require_admin()
        server, key = await self.connections.read((await self.read(name)).id)
        try:
            found = await self._identify(_checked(_changed(server, MaasServerChange(), key))[1])
        except InnkeeperError as error:
            async with self.database.transaction() as db:
                await server_store.record_problem(db, server.id, error.message[:MAX_PROBLEM])
            raise
        async with self.database.transaction() as db:
            await server_store.record_check(db, server.id, version=found.version, username=found.username)
        return await self.read(name)

    async def delete(self, caller: Caller, name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Returns the plan. Raises NotFound; WrongState while machines are registered in it."""
        caller.require_admin()
        async with self.database.transaction(dry_run=dry_run) as db:
            await server_store.lock(db, (await _read(db, name)).id)
            server = await _read(db, name)
            if server.machines:
                raise WrongState(
                    f"{number_of(server.machines, 'machine')} of Innkeeper {'is' if server.machines == 1 else 'are'} "
                    f"registered in {server.name}. End that first: innkeeper machine unregister-from-maas NAME",
                    machines=server.machines,
                )
            await server_store.delete(db, server.id)
            message = f"The MAAS server {server.name} was removed; nothing was changed there."
            await Events.record(db, "maas_server_removed", message, caller=caller)
        removed = AffectedRecord(kind="MAAS server", id=str(server.id), name=server.name)
        return DeletionPlan(name=server.name, deleted=(removed,))

    async def _identify(self, access: MaasAccess) -> MaasIdentity:
        """Raises InvalidRequest for a key that may not register machines, and the errors of the call."""
        found = await identify(self.connections.to(access))
        if not found.is_admin:
            raise InvalidRequest.of(
                {
                    "key": [
                        f"The key is that of {found.username or 'a user'}, who is no administrator of the MAAS: only "
                        "they may set how a machine is switched. Use a key of an administrator."
                    ]
                }
            )
        return found

    async def _store_key(self, db: Db, server_id: int, key: str) -> None:
        await server_store.set_key(db, server_id, self.seal.seal_data(server_id, MAAS_KEY, key.encode()))


async def _read(db: Db, name: str) -> MaasServer:
    return existing(await server_store.server(db, findable(name)), "MAAS server", name)


def _checked(new: NewMaasServer) -> tuple[NewMaasServer, MaasAccess]:
    """Returns the server in our form, and the access to it. Raises InvalidRequest with every problem by field."""
    power_url = new.power_url.strip().rstrip("/")
    problems = {**check_name(new.name), **check_power_url(power_url)}
    try:
        access = new.with_key(new.key)
    except InvalidRequest as error:
        raise InvalidRequest.of({**error.fields, **problems}) from error
    if problems:
        raise InvalidRequest.of(problems)
    stored = evolve(
        new, url=access.label, key=new.key.strip(), fingerprint=access.trust.fingerprint, power_url=power_url
    )
    return stored, access


def _changed(before: MaasServer, change: MaasServerChange, key: str) -> NewMaasServer:
    given = asdict(change, filter=lambda _, value: value is not None)
    return NewMaasServer(name=before.name, **{"key": key, **before.settings(), **given})
