"""Finds the object of a path or a field by its id or its name.

An id has precedence over an equal name; `id:7` is always an id, `name:7` always a name. The functions for paths raise
NotFound, those for fields InvalidRequest. A name that several objects have raises InvalidRequest with the id of each.
An object that the caller of `services` may not see does not exist for these functions.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from common.errors import InvalidRequest, NotFound, WrongState
from common.words.phrases import first_of
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.serializers.vm_hosts.host_machines import as_machine
from regiond.api.services import Services
from regiond.clusters.model import ClusterView
from regiond.hosts.model import ComposeTarget, GuestFilter, GuestView, HostView
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineFilter
from regiond.networks.model import Vlan
from regiond.racks.model import RackView
from regiond.requests.identifiers import as_id, split_reference
from regiond.requests.validation_messages import no_object

REFERENCE = Text(max_length=300, blank=None)  # an id or a name
HOST_FILTER = Field("host", REFERENCE, "Id or name of a VM host.")
MACHINE_FILTER = Field("machine", REFERENCE, "System id or hostname of a machine.")

T = TypeVar("T")
_SYSTEM_ID = re.compile("[a-z0-9]{6}", re.ASCII)
_MAX_LENGTH = 300
_MAX_CANDIDATES = 10


async def find_host(services: Services, path: Mapping[str, str]) -> HostView:
    return await host_of(services, path["id"])


async def find_compose_target(services: Services, path: Mapping[str, str]) -> ComposeTarget:
    """Returns the VM host of a path that composes: a compose needs little of it, and often."""
    return await _host_by(services, path["id"], partial(services.hosts.compose_target, caller=services.caller))


async def host_of(services: Services, text: str) -> HostView:
    """Returns the VM host with this id or name. Raises NotFound."""
    return await _host_by(services, text, partial(services.hosts.read, caller=services.caller))


async def _host_by(services: Services, text: str, read: Callable[[int], Awaitable[T]]) -> T:
    number = _number_in(text)
    if number is not None:
        try:
            return await read(number)
        except NotFound:
            pass  # it may be a name
    found = (
        (await services.hosts.ids_of([text], caller=services.caller))[text] if _may_exist(text) else frozenset[int]()
    )
    if not found:
        names = () if number is not None else await services.hosts.names(caller=services.caller)
        raise NotFound(no_object("VM host", text, near=names))
    return await read(min(found))


async def find_machine(services: Services, path: Mapping[str, str]) -> MachineView:
    """Returns the machine of a path that acts on it. Raises WrongState for a VM host, which can only be read as one."""
    text = path["system_id"]
    try:
        return await machine_of(services, text)
    except NotFound:
        for host in await hosts_as_machines(services, [text]):
            raise WrongState(
                f"{text} is the VM host {host.hostname}, not a machine that Innkeeper manages: it can only be read "
                "and tagged here. See vm-hosts/ for what can be done with it."
            ) from None
        raise


async def find_machine_or_host(services: Services, path: Mapping[str, str]) -> MachineView:
    """Returns the machine of a path that reads it, or a VM host as a machine."""
    try:
        return await machine_of(services, path["system_id"])
    except NotFound:
        for host in await hosts_as_machines(services, [path["system_id"]]):
            return host
        raise


async def find_machine_to_read(services: Services, path: Mapping[str, str]) -> MachineView:
    """Returns the machine or host of a path, or a machine just deleted by its release: clients wait for Ready."""
    try:
        return await find_machine_or_host(services, path)
    except NotFound:
        if not _SYSTEM_ID.fullmatch(path["system_id"]):
            raise
        return await services.machines.released(path["system_id"], caller=services.caller)


async def hosts_as_machines(services: Services, system_ids: Iterable[str]) -> tuple[MachineView, ...]:
    """Returns VM hosts by system id, each as the deployed machine that clients expect; omits unknown ids."""
    possible = [text for text in system_ids if _SYSTEM_ID.fullmatch(text)]
    hosts = await services.hosts.of_system_ids(possible, caller=services.caller) if possible else ()
    return tuple(as_machine(host) for host in hosts)


async def machine_of(services: Services, text: str) -> MachineView:
    """Returns the machine with this system id or hostname, with or without domain. Raises NotFound."""
    if not _may_exist(text) or not text.isascii():
        raise NotFound(no_object("machine", text))
    system_id, name = split_reference(text)
    if system_id is not None:
        try:
            return await services.machines.read(system_id, caller=services.caller)
        except NotFound:
            pass  # it may be a hostname
    hostnames = () if name is None else (name.lower().removesuffix(".maas"),)
    found = (
        await services.machines.list(MachineFilter(hostnames=hostnames), caller=services.caller) if hostnames else ()
    )
    return _the_one("machine", text, found, lambda one: f"{one.system_id} on {one.host_name}")


async def find_cluster(services: Services, path: Mapping[str, str]) -> ClusterView:
    read = partial(services.clusters.read, caller=services.caller)
    read_all = partial(services.clusters.list, caller=services.caller)
    found = await _by_id_or_name(path["id"], read, read_all, lambda one: one.name)
    return _the_one("VM cluster", path["id"], found, lambda one: f"{one.id} (project {one.project})")


async def find_guest(services: Services, path: Mapping[str, str]) -> GuestView:
    async def with_the_name() -> list[GuestView]:
        name = split_reference(path["id"])[1]
        if name is None or not _may_exist(name):
            return []
        guests = await services.hosts.long_list_of_guests(GuestFilter(name=name), caller=services.caller)
        return [one async for batch in guests.batches() for one in batch]

    read = partial(services.hosts.guest, caller=services.caller)
    found = await _by_id_or_name(path["id"], read, with_the_name, lambda one: one.name)
    return _the_one("virtual machine", path["id"], found, lambda one: f"{one.id} on {one.host_name}")


async def find_rack(services: Services, path: Mapping[str, str]) -> RackView:
    text = path["id"]
    rack_id, _ = split_reference(text)
    try:
        return await services.racks.read(rack_id or text, caller=services.caller)
    except NotFound:
        found = _named(text, await services.racks.list(caller=services.caller), lambda one: one.name)
        rack_id = str(_the_one("rack", text, found, lambda one: str(one.id)).id)
        return await services.racks.read(rack_id, caller=services.caller)


async def find_vlan(services: Services, path: Mapping[str, str]) -> Vlan:
    async def every_vlan() -> list[Vlan]:
        return [vlan for fabric in await services.networks.fabrics() for vlan in fabric.vlans]

    found = await _by_id_or_name(path["id"], services.networks.vlan, every_vlan, lambda one: one.name)
    return _the_one("VLAN", path["id"], found, lambda one: f"{one.id} in {one.fabric_name}")


async def past_host(services: Services, text: str | None, *, field: str = "host") -> int | None:
    """Returns `host_in_field`, for a list that also has removed hosts: an id is accepted unchecked."""
    try:
        return await host_in_field(services, text, field=field)
    except InvalidRequest:
        number = None if text is None else _number_in(text)
        if number is None:
            raise
        return number


async def past_machine(services: Services, text: str | None, *, field: str = "machine") -> str | None:
    """Returns `machine_in_field`, for a list that also has deleted machines: a system id is accepted unchecked."""
    try:
        return await machine_in_field(services, text, field=field)
    except InvalidRequest:
        if text is None or _SYSTEM_ID.fullmatch(text) is None:
            raise
        return text


async def host_in_field(services: Services, text: str | None, *, field: str = "host") -> int | None:
    """Returns the id of the VM host that a field names; None if it is absent. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        return (await host_of(services, text)).id
    except NotFound as error:
        raise InvalidRequest.of({field: [error.message]}) from None


async def machine_in_field(services: Services, text: str | None, *, field: str = "machine") -> str | None:
    """Returns the system id of the machine that a field names; None if it is absent. Raises InvalidRequest."""
    return None if text is None else await _system_id_of(services, text, field)


async def machines_in_field(services: Services, texts: Sequence[str], *, field: str) -> list[str]:
    """Returns the system ids of the machines that a field names. Machines given by system id are read with one query.

    Raises InvalidRequest.
    """
    ids = {text: split_reference(text)[0] or "" for text in texts}
    wanted = MachineFilter(system_ids=tuple({one for one in ids.values() if _SYSTEM_ID.fullmatch(one)}))
    found = await services.machines.list(wanted, caller=services.caller) if wanted.system_ids else ()
    known = {machine.system_id for machine in found}
    return [ids[text] if ids[text] in known else await _system_id_of(services, text, field) for text in texts]


async def _system_id_of(services: Services, text: str, field: str) -> str:
    try:
        return (await machine_of(services, text)).system_id
    except NotFound as error:
        raise InvalidRequest.of({field: [error.message]}) from None


async def host_names(services: Services, texts: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the hosts that a filter names by id or name; unknown texts unchanged."""
    ids = {text: number for text in texts if (number := _number_in(text)) is not None}
    names = await services.hosts.names_of(ids.values(), caller=services.caller) if ids else {}
    return tuple(names.get(ids.get(text, 0)) or split_reference(text)[1] or text for text in texts)


def one_of_object(what: str, text: str, items: Iterable[T], key: Callable[[T], tuple[int, str]]) -> T:
    """Returns the item of one object with this id or name, both of which `key` returns. Raises NotFound."""
    known = tuple(items)
    number = _number_in(text)
    by_id = [one for one in known if key(one)[0] == number]
    found = by_id or _named(text, known, lambda one: key(one)[1])
    return _the_one(what, text, found, lambda one: str(key(one)[0]))


async def _by_id_or_name(
    text: str,
    read: Callable[[int], Awaitable[T]],
    read_all: Callable[[], Awaitable[Iterable[T]]],
    name: Callable[[T], str],
) -> list[T]:
    """Returns the object with that id, else all objects with that name."""
    number = _number_in(text)
    if number is not None:
        try:
            return [await read(number)]
        except NotFound:
            pass  # it may be a name
    return _named(text, await read_all(), name)


def _named(text: str, items: Iterable[T], name: Callable[[T], str]) -> list[T]:
    wanted = split_reference(text)[1]
    return [one for one in items if name(one) == wanted]


def _the_one(what: str, text: str, found: Iterable[T], described: Callable[[T], str]) -> T:
    candidates = tuple(found)
    if not candidates:
        raise NotFound(no_object(what, text))
    if len(candidates) > 1:
        listed = first_of([described(one) for one in candidates], _MAX_CANDIDATES)
        name = split_reference(text)[1] or text
        raise InvalidRequest(f"{len(candidates)} {what}s are named {name!r}: use the id: {listed}.")
    return candidates[0]


def _number_in(text: str) -> int | None:
    """Returns the id that the text may be, or None."""
    id_, _ = split_reference(text)
    return None if id_ is None else as_id(id_)


def _may_exist(text: str) -> bool:
    """Returns False for text with NUL or lone surrogates: PostgreSQL rejects them, and no name has them."""
    return len(text) <= _MAX_LENGTH and text.isprintable()
