"""Adds images that are stored on VM hosts only; the region does not get their content."""

from __future__ import annotations

import re

from attrs import frozen

from common.errors import InvalidRequest, NotFound, Unsupported, UnsupportedByPeer, WrongState
from common.guests.deployment_spec import HostImage
from common.rpc.commands.host_commands import HOST_FIND_IMAGE, FindImageCall
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.hosts.model import HostView
from regiond.hosts.service import Hosts
from regiond.images import host_image_store, store, upload_store
from regiond.images.declaration import name_problem, name_taken
from regiond.images.host_image_store import NewHostImage
from regiond.images.inspection.lxd_metadata import metadata_of
from regiond.images.model import ARCHITECTURES, Image, ImageState, NamedHostImage, full_name, split_architecture
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_object, shown

_FINGERPRINT = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


@frozen(kw_only=True)
class HostImages:
    database: Database
    hosts: Hosts
    calls: HostCalls

    async def add(self, caller: Caller, wanted: NamedHostImage) -> Image:
        """Returns the entry, which is ready. Idempotent: an entry with this name and image is returned.

        Raises InvalidRequest by field, also if the host has no such image; NameTaken if the name has other content; and
        what `HostCalls.call` raises.
        """
        caller.require_admin()
        _check_named(wanted)
        host = await self._host(wanted.host)
        new = _entry(wanted, host, await self._find(wanted, host))
        async with self.database.transaction() as db:
            await upload_store.lock_catalogue(db)
            return await self._added(db, caller, new, host)

    @staticmethod
    async def leave(db: Db, host_id: int) -> None:
        """See `regiond.hosts.steps.HostImages`."""
        for image in await host_image_store.leave_host(db, host_id):
            message = f"The image {image.name} for {image.architecture} was deleted: it was on {image.host_name}."
            await Events.record(db, "image_deleted", message, host_id=host_id)

    async def _added(self, db: Db, caller: Caller, new: NewHostImage, host: HostView) -> Image:
        """Returns the entry, inserted unless it exists. The caller has locked the catalogue."""
        existing = await upload_store.find(db, new.name, new.architecture)
        if existing is not None and host.id in existing.host_ids and existing.sha256 == new.fingerprint:
            return existing
        if existing is not None and existing.state is not ImageState.FAILED:
            raise name_taken(existing)
        if not await host_image_store.lock_host(db, host.id):
            raise WrongState(f"The VM host {host.name} is being removed.")
        if existing is not None:
            await upload_store.delete(db, existing.id)
        image_id = await host_image_store.insert(db, new, account_id=caller.account_id)
        message = f"The image {new.name} for {new.architecture} was added: {host.name} has it ({new.fingerprint[:12]})."
        await Events.record(db, "image_added", message, caller=caller, host_id=host.id)
        found = await store.read(db, image_id)
        if found is None:
            raise AssertionError(f"the image {image_id} is gone in the transaction that added it")
        return found

    async def _host(self, id_or_name: str) -> HostView:
        found = (await self.hosts.ids_of([id_or_name]))[id_or_name]
        if len(found) != 1:
            raise InvalidRequest.of({"vm_host": [no_object("VM host", id_or_name, await self.hosts.names())]})
        return await self.hosts.read(*found)

    async def _find(self, wanted: NamedHostImage, host: HostView) -> HostImage:
        try:
            return await self.calls.call(
                host.id, HOST_FIND_IMAGE,
                lambda access: FindImageCall(access=access, fingerprint=wanted.fingerprint.lower(), alias=wanted.alias),
            )  # fmt: skip
        except UnsupportedByPeer:
            raise  # a rack that has to be upgraded
        except Unsupported as error:
            raise InvalidRequest.of({"vm_host": [error.message]}) from error
        except (NotFound, WrongState) as error:
            raise InvalidRequest.of({"alias" if wanted.alias else "fingerprint": [error.message]}) from error


def _check_named(wanted: NamedHostImage) -> None:
    if bool(wanted.alias) == bool(wanted.fingerprint):
        raise InvalidRequest.of({"alias": ["Name the image of the VM host by alias or by fingerprint."]})
    if wanted.fingerprint and not _FINGERPRINT.fullmatch(wanted.fingerprint.lower()):
        problem = (
            f"{shown(wanted.fingerprint)} is no fingerprint: hexadecimal digits, at most 64, from their beginning."
        )
        raise InvalidRequest.of({"fingerprint": [problem]})


def _entry(wanted: NamedHostImage, host: HostView, found: HostImage) -> NewHostImage:
    """Returns the entry to add, with the user's values, else with LXD's. Raises InvalidRequest by field."""
    said = metadata_of(found.architecture, found.os, found.release, found.description)
    given, subarch = split_architecture(wanted.architecture)
    no_name = f"{host.product or 'LXD'} says no distribution and release of this image: give a name."
    problems: dict[str, list[str]] = {}
    if not said.architecture:
        known = ", ".join(ARCHITECTURES)
        problems["architecture"] = [f"The image is for {shown(found.architecture)}; machines have one of {known}."]
    elif given not in {"", said.architecture}:
        problems["architecture"] = [f"The image on {host.name} is for {said.architecture}."]
    name = wanted.name or said.name or wanted.alias
    if (problem := name_problem(name)) is not None:
        problems["name"] = [problem if name else no_name]
    if problems:
        raise InvalidRequest.of(problems)
    return NewHostImage(
        name=full_name(name),
        title=wanted.title or said.title,
        architecture=said.architecture,
        subarch=subarch,
        fingerprint=found.fingerprint,
        size_bytes=found.size_bytes,
        virtual_size_bytes=found.virtual_size_bytes,
        host_id=host.id,
        alias=wanted.alias or None,
    )
