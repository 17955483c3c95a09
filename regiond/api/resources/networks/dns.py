"""`domains/` and `dnsresources/`: domains, static names with addresses, and zone files."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.declaration.field_types import Boolean, Integer, Text, TextList
from regiond.api.declaration.fields import Field
from regiond.api.replies import Reply, text_reply
from regiond.api.serializers.networks import DNS_RESOURCE_JSON, DOMAIN_WITH_RECORDS_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.deletion_plan import DeletionPlan
from regiond.dns.model import (
    MAX_NAME,
    MAX_TTL_S,
    DnsFilter,
    DnsName,
    DnsNameChange,
    Domain,
    DomainChange,
    parse_addresses,
)
from regiond.dns.service import MachineName
from regiond.machines.model import MachineFilter

_NAME = Text(max_length=MAX_NAME)
_TTL = Integer(minimum=0, maximum=MAX_TTL_S, unit="s")
_DOMAIN = Result(doc="The domain.", type=DOMAIN_WITH_RECORDS_JSON)
_RESOURCE = Result(doc="The DNS resource.", type=DNS_RESOURCE_JSON)
_NEW_DOMAIN = (
    Field(
        name="name",
        type=_NAME,
        recorded=True,
        required=True,
        doc="Name of the domain, such as lab.example.",
        example="lab.example",
    ),
    Field(name="authoritative", type=Boolean(), default=True, doc="Stored; it has no effect (default true)."),
    Field(name="ttl", type=_TTL, doc="Time to live of its records in seconds.", example=300),
)
_CHANGED_DOMAIN = (
    Field(name="name", type=_NAME, recorded=True, doc="A new name."),
    Field(name="authoritative", type=Boolean(), doc="Stored; it has no effect."),
    Field(name="ttl", type=_TTL, doc="Time to live of its records in seconds.", example=300),
)
_RECORD = (
    Field(
        name="fqdn",
        type=_NAME,
        recorded=True,
        doc="The whole name, in a known domain. It wins over name and domain.",
        example="www.lab.example",
    ),
    Field(name="name", type=_NAME, recorded=True, doc="The name in the domain; @ is that of the domain itself."),
    Field(name="domain", type=_NAME, recorded=True, doc="Id or name of the domain."),
    Field(name="address_ttl", type=_TTL, doc="Time to live in seconds (default: that of the domain)."),
    Field(
        name="ip_addresses",
        type=TextList(max_length=4096),
        recorded=True,
        doc="Addresses, repeated or separated by blanks. They replace the present ones; an empty value removes them.",
        example=("10.1.0.7",),
    ),
)
_FILTERS = (
    Field(name="fqdn", type=_NAME, doc="Only this name.", example="www.lab.example"),
    Field(name="name", type=_NAME, doc="Only those with this name in their domain."),
    Field(name="domain", type=_NAME, doc="Only those of the domain with this id or name."),
    Field(name="rrtype", type=Text(max_length=20), doc="Only those with records of this type: A or AAAA."),
)


async def _find_domain(services: Services, path: Mapping[str, str]) -> Domain:
    return await services.dns.domain(path["id"])


async def _list_domains(call: Call) -> tuple[Domain, ...]:
    return await call.services.dns.domains()


async def _create_domain(call: Call) -> Domain:
    values = call.values
    return await call.services.dns.create_domain(
        call.caller, values["name"], authoritative=values["authoritative"], ttl_s=values["ttl"]
    )


async def _update_domain(call: Call) -> Domain:
    values = call.values
    change = DomainChange(name=values["name"], authoritative=values["authoritative"], ttl_s=values["ttl"])
    return await call.services.dns.update_domain(call.caller, call.path["id"], change)


async def _set_default(call: Call) -> Domain:
    return await call.services.dns.set_default_domain(call.caller, call.path["id"])


async def _delete_domain(call: Call) -> DeletionPlan:
    return await call.services.dns.delete_domain(call.caller, call.path["id"], dry_run=is_dry_run(call))


async def _zone_file(call: Call) -> Reply:
    machines = await call.services.machines.long_list(MachineFilter(), caller=call.caller)
    names = [
        MachineName(hostname=one.hostname, addresses=tuple(address for nic in one.nics for address in nic.addresses))
        async for batch in machines.batches()
        for one in batch
    ]
    return text_reply(await call.services.dns.zone_file(call.path["id"], names))


async def _find_name(services: Services, path: Mapping[str, str]) -> DnsName:
    return await services.dns.name(id_in(path["id"], "DNS resource"))


async def _list_names(call: Call) -> tuple[DnsName, ...]:
    given = {name: call.values[name] or None for name in ("fqdn", "name", "domain", "rrtype")}
    wanted = DnsFilter(**{name: text and text.lower().removesuffix(".") for name, text in given.items()})
    return await call.services.dns.names(wanted)


def _change(call: Call) -> DnsNameChange:
    values = call.values
    given = values["ip_addresses"]
    return DnsNameChange(
        fqdn=values["fqdn"] or None,
        name=values["name"] or None,
        domain=values["domain"] or None,
        ttl_s=values["address_ttl"],
        addresses=None if given is None else parse_addresses(given),
    )


async def _create_name(call: Call) -> DnsName:
    return await call.services.dns.create_name(call.caller, _change(call))


async def _update_name(call: Call) -> DnsName:
    return await call.services.dns.update_name(call.caller, call.target.id, _change(call))


async def _delete_name(call: Call) -> DeletionPlan:
    return await call.services.dns.delete_name(call.caller, call.target.id, dry_run=is_dry_run(call))


DOMAINS = Resource(
    handler="DomainsHandler",
    path="domains/",
    doc="DNS domains. Innkeeper serves no DNS; its default domain completes the names of machines.",
    endpoints=(
        crud.list_of(DOMAIN_WITH_RECORDS_JSON, _list_domains, title="List domains", result="The domains."),
        crud.create(_DOMAIN, _create_domain, title="Create a domain", fields=_NEW_DOMAIN),
    ),
)
DOMAIN = Resource(
    handler="DomainHandler",
    path="domains/{id}/",
    doc="One domain, by its id or name.",
    endpoints=(
        crud.read_target(_DOMAIN, _find_domain, title="Read a domain"),
        crud.update(_DOMAIN, _update_domain, title="Update a domain", find=_find_domain, fields=_CHANGED_DOMAIN),
        crud.delete(
            _delete_domain,
            title="Delete a domain",
            doc="Only a domain without static names can be deleted, and not the default domain.",
            find=_find_domain,
        ),
        crud.action(
            "set_default",
            _DOMAIN,
            _set_default,
            title="Make a domain the default domain",
            doc="Only the domain that is: the names of all machines end in maas.",
            find=_find_domain,
        ),
        Endpoint(
            method="GET",
            op="zone_file",
            permission=Permission.ADMIN,
            title="Read the zone file of a domain",
            doc=(
                "RFC 1035: its static names; of the default domain, also the names of machines with the addresses that "
                "they have now. The name server in it is localhost."
            ),
            result=Result(doc="The zone file (text/plain)."),
            find=_find_domain,
            expensive=True,
            run=_zone_file,
        ),
    ),
)
DNS_RESOURCES = Resource(
    handler="DNSResourcesHandler",
    path="dnsresources/",
    doc="Static DNS names with addresses, in the zone files of domains.",
    endpoints=(
        crud.list_of(
            DNS_RESOURCE_JSON,
            _list_names,
            title="List DNS resources",
            fields=_FILTERS,
            accepted=frozenset({"all"}),
            result="The DNS resources.",
        ),
        crud.create(
            _RESOURCE,
            _create_name,
            title="Create a DNS resource",
            doc="Give fqdn, or name and domain.",
            fields=(evolve(_RECORD[0], doc="The whole name, in a known domain."), *_RECORD[1:]),
        ),
    ),
)
DNS_RESOURCE = Resource(
    handler="DNSResourceHandler",
    path="dnsresources/{id}/",
    doc="One DNS resource.",
    endpoints=(
        crud.read_target(_RESOURCE, _find_name, title="Read a DNS resource"),
        crud.update(_RESOURCE, _update_name, title="Update a DNS resource", find=_find_name, fields=_RECORD),
        crud.delete(_delete_name, title="Delete a DNS resource", find=_find_name),
    ),
)
RESOURCES = (DOMAINS, DOMAIN, DNS_RESOURCES, DNS_RESOURCE)
