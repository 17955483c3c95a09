"""Reads and changes domains and static names, and writes zone files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from common.errors import InvalidRequest, NotFound, Unsupported, WrongState
from common.words.phrases import first_of
from regiond.db.pool import Database, Db, reading, unique
from regiond.dns import store
from regiond.dns.model import (
    MAX_NAME,
    DnsFilter,
    DnsName,
    DnsNameChange,
    Domain,
    DomainChange,
    MachineName,
    check_domain_name,
    check_record_name,
    split_fqdn,
    zone_file,
)
from regiond.events.service import Events
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import existing, no_object

_MAX_NAMED = 4  # addresses in an event


async def _domain(db: Db, id_or_name: str) -> Domain:
    """Raises NotFound."""
    found = await store.domain(db, id_or_name) if _may_exist(id_or_name) else None
    if found is None:
        raise NotFound(no_object("domain", id_or_name, [one.name for one in await store.domains(db)]))
    return found


async def _name(db: Db, name_id: int) -> DnsName:
    """Raises NotFound."""
    return existing(await store.name(db, name_id), "DNS resource", name_id)


class Dns:
    """Domains are identified by id or name, as text. Raises NotFound, and InvalidRequest for invalid fields.

    Changes by a caller that is not an administrator raise NotAllowed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    domains = reading(store.domains)
    domain = reading(_domain)

    async def create_domain(
        self, caller: Caller, name: str, *, authoritative: bool = True, ttl_s: int | None = None
    ) -> Domain:
        caller.require_admin()
        wanted = check_domain_name(name)
        async with self._database.transaction() as db:
            with unique("name", f"Domain {wanted!r} already exists."):
                new = Domain(id=-1, name=wanted, authoritative=authoritative, ttl_s=ttl_s)
                domain_id = await store.insert_domain(db, new)
            await Events.record(db, "domain_created", f"The domain {wanted!r} was created.", caller=caller)
            return await _domain(db, f"id:{domain_id}")

    async def update_domain(self, caller: Caller, id_or_name: str, change: DomainChange) -> Domain:
        """Raises Unsupported for another name of the default domain, which is part of the names of machines."""
        caller.require_admin()
        async with self._database.transaction() as db:
            found = await _domain(db, id_or_name)
            name = None if not change.name else check_domain_name(change.name)
            if found.is_default and name not in {None, found.name}:
                raise Unsupported(f"The default domain is named {found.name!r}; the names of machines end in it.")
            change = DomainChange(name=name, authoritative=change.authoritative, ttl_s=change.ttl_s)
            with unique("name", f"Domain {name!r} already exists."):
                await store.update_domain(db, found.id, change)
            changed = await _domain(db, f"id:{found.id}")
            if changed != found:
                await Events.record(db, "domain_changed", f"The domain {changed.name!r} was changed.", caller=caller)
            return changed

    async def set_default_domain(self, caller: Caller, id_or_name: str) -> Domain:
        """Raises Unsupported unless it is the default domain."""
        caller.require_admin()
        found = await self.domain(id_or_name)
        if not found.is_default:
            raise Unsupported("Another default domain is not part of Innkeeper: the names of all machines end in maas.")
        return found

    async def delete_domain(self, caller: Caller, id_or_name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Raises InvalidRequest for the default domain, WrongState for one that has names."""
        caller.require_admin()
        async with self._database.transaction(dry_run=dry_run) as db:
            found = await _domain(db, id_or_name)
            if found.is_default:
                raise InvalidRequest("This domain is the default domain, it cannot be deleted.")
            if count := await store.delete_domain(db, found.id):
                raise WrongState(f"The domain {found.name!r} has {count} static names; delete them first.")
            await Events.record(db, "domain_deleted", f"The domain {found.name!r} was deleted.", caller=caller)
        return DeletionPlan(
            name=found.name, deleted=(AffectedRecord(kind="domain", id=str(found.id), name=found.name),)
        )

    async def zone_file(self, id_or_name: str, machines: Iterable[MachineName], *, now: datetime | None = None) -> str:
        """Returns the zone file of the domain; `machines` are in it if it is the default domain."""
        async with self._database.connection() as db:
            found = await _domain(db, id_or_name)
            # A domain may be named like the id of another.
            names = [one for one in await store.names(db, DnsFilter(domain=found.name)) if one.domain_id == found.id]
        return zone_file(found, names, machines if found.is_default else (), now=now or datetime.now(UTC))

    names = reading(store.names)
    name = reading(_name)

    async def create_name(self, caller: Caller, new: DnsNameChange) -> DnsName:
        caller.require_admin()
        async with self._database.transaction() as db:
            if new.fqdn is None and not (new.name and new.domain):
                raise InvalidRequest.of({"fqdn": ["Give fqdn, or name and domain."]})
            name, domain = await _place(db, new, None)
            with unique("name", f"{name!r} in {domain.name!r} already exists."):
                name_id = await store.insert_name(db, domain_id=domain.id, name=name, ttl_s=new.ttl_s)
            await store.set_addresses(db, name_id, new.addresses or ())
            created = await _name(db, name_id)
            message = f"The DNS name {created.fqdn} was created, {_addresses_text(created)}."
            await Events.record(db, "dns_name_created", message, caller=caller)
            return created

    async def update_name(self, caller: Caller, name_id: int, change: DnsNameChange) -> DnsName:
        caller.require_admin()
        async with self._database.transaction() as db:
            await store.lock_name(db, name_id)
            found = await _name(db, name_id)
            name, domain = await _place(db, change, found)
            with unique("name", f"{name!r} in {domain.name!r} already exists."):
                await store.update_name(db, name_id, domain_id=domain.id, name=name, ttl_s=change.ttl_s)
            if change.addresses is not None:
                await store.set_addresses(db, name_id, change.addresses)
            changed = await _name(db, name_id)
            if changed != found:
                renamed = "" if changed.fqdn == found.fqdn else f" to {changed.fqdn}"
                message = f"The DNS name {found.fqdn} was changed{renamed}, {_addresses_text(changed)}."
                await Events.record(db, "dns_name_changed", message, caller=caller)
            return changed

    async def delete_name(self, caller: Caller, name_id: int, *, dry_run: bool = False) -> DeletionPlan:
        caller.require_admin()
        async with self._database.transaction(dry_run=dry_run) as db:
            await store.lock_name(db, name_id)
            found = await _name(db, name_id)
            await store.delete_name(db, name_id)
            await Events.record(db, "dns_name_deleted", f"The DNS name {found.fqdn} was deleted.", caller=caller)
        return DeletionPlan(
            name=found.fqdn, deleted=(AffectedRecord(kind="DNS name", id=str(found.id), name=found.fqdn),)
        )


async def _place(db: Db, wanted: DnsNameChange, present: DnsName | None) -> tuple[str, Domain]:
    """Returns the name and the domain that are wanted, which is not deleted meanwhile. Raises InvalidRequest."""
    while True:
        name, domain = await _found_place(db, wanted, present)
        if await store.retain_domain(db, domain.id):
            return name, domain


async def _found_place(db: Db, wanted: DnsNameChange, present: DnsName | None) -> tuple[str, Domain]:
    if wanted.fqdn:
        name, domain = split_fqdn(wanted.fqdn, await store.domains(db))
        return check_record_name(name, domain.name), domain
    reference = wanted.domain or (None if present is None else f"id:{present.domain_id}") or ""
    found = await store.domain(db, reference) if _may_exist(reference) else None
    if found is None:
        raise InvalidRequest.of({"domain": [no_object("domain", reference)]})
    return check_record_name(wanted.name or ("" if present is None else present.name), found.name), found


def _addresses_text(name: DnsName) -> str:
    """The first addresses, for events."""
    return (
        f"with {first_of([str(one) for one in name.addresses], _MAX_NAMED)}" if name.addresses else "without addresses"
    )


def _may_exist(text: str) -> bool:
    """PostgreSQL rejects NUL and lone surrogates; nothing is named with them."""
    return len(text) <= MAX_NAME + len("name:") and text.isprintable()
