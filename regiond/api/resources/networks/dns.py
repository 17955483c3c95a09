"""`domains/` and `dnsresources/`: domains, static names with addresses, and zone files."""

from __future__ import annotations

from attrs import evolve

from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Boolean, Choice, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.served import filled, found, given, part, serve, target, text
from regiond.api.replies import Reply, text_reply
from regiond.api.resources.shared.filter_values import check_domains
from regiond.api.serializers.networks import DNS_RESOURCE_JSON, DOMAIN_WITH_RECORDS_JSON
from regiond.dns.model import (
    MAX_NAME,
    MAX_TTL_S,
    Address,
    DnsFilter,
    DnsName,
    DnsNameChange,
    DomainChange,
    MachineName,
    parse_addresses,
)
from regiond.machines.values.search import MachineFilter
from regiond.requests.caller import Permission

_NAME = Text(max_length=MAX_NAME)
_TTL = Integer(minimum=0, maximum=MAX_TTL_S, unit="s")
_DOMAIN = Result(doc="The domain.", type=DOMAIN_WITH_RECORDS_JSON)
_RESOURCE = Result(doc="The DNS resource.", type=DNS_RESOURCE_JSON)
_NEW_DOMAIN = (
    Field(
        "name", _NAME, "Name of the domain, such as lab.example.", recorded=True, required=True, example="lab.example"
    ),
    Field("authoritative", Boolean(), "Stored; it has no effect (default true).", default=True),
    Field("ttl", _TTL, "Time to live of its records in seconds.", example=300),
)
_CHANGED_DOMAIN = (
    Field("name", _NAME, "A new name.", recorded=True),
    Field("authoritative", Boolean(), "Stored; it has no effect."),
    Field("ttl", _TTL, "Time to live of its records in seconds.", example=300),
)
_RECORD = (
    Field(
        "fqdn",
        _NAME,
        "The whole name, in a known domain. It wins over name and domain.",
        recorded=True,
        example="www.lab.example",
    ),
    Field("name", _NAME, "The name in the domain; @ is that of the domain itself.", recorded=True),
    Field("domain", _NAME, "Id or name of the domain.", recorded=True),
    Field("address_ttl", _TTL, "Time to live in seconds (default: that of the domain)."),
    Field(
        "ip_addresses",
        TextList(max_length=4096),
        "Addresses, repeated or separated by blanks. They replace the present ones; an empty value removes them.",
        recorded=True,
        example=("10.1.0.7",),
    ),
)
_FILTERS = (
    Field("fqdn", _NAME, "Only this name.", example="www.lab.example"),
    Field("name", _NAME, "Only those with this name in their domain."),
    Field("domain", _NAME, "Only those of the domain with this id or name."),
    Field(
        "rrtype",
        Choice(choices=("A", "AAAA", "CNAME", "MX", "NS", "SRV", "SSHFP", "TXT"), any_case=True),
        "Only those with records of this type; there are A and AAAA.",
    ),
)
_find_domain = found(lambda s: s.dns.domain, "id")
_list_domains = serve(lambda s: s.dns.domains)
_create_domain = serve(lambda s: s.dns.create_domain, "name", "authoritative", ttl_s=given("ttl"))
_update_domain = serve(
    lambda s: s.dns.update_domain, id_or_name=part("id"), change=filled(DomainChange, ttl_s=given("ttl"))
)
_set_default = serve(lambda s: s.dns.set_default_domain, id_or_name=part("id"))
_delete_domain = serve(lambda s: s.dns.delete_domain, id_or_name=part("id"))


async def _zone_file(call: Call) -> Reply:
    machines = await call.services.machines.long_list(MachineFilter(), caller=call.caller)
    names = [
        MachineName(hostname=one.hostname, addresses=tuple(address for nic in one.nics for address in nic.addresses))
        async for batch in machines.batches()
        for one in batch
    ]
    return text_reply(await call.services.dns.zone_file(call.path["id"], names))


def _filter(call: Call) -> DnsFilter:
    wanted = {one.name: call.values[one.name] or None for one in _FILTERS}
    return DnsFilter(**{name: value and value.lower().removesuffix(".") for name, value in wanted.items()})


def _addresses(call: Call) -> tuple[Address, ...] | None:
    addresses = call.values["ip_addresses"]
    return None if addresses is None else parse_addresses(addresses)


_change = filled(
    DnsNameChange,
    fqdn=text("fqdn"),
    name=text("name"),
    domain=text("domain"),
    ttl_s=given("address_ttl"),
    addresses=_addresses,
)
_find_name = found(lambda s: s.dns.name, "id", number_of="DNS resource")
_names = serve(lambda s: s.dns.names, wanted=_filter)
_create_name = serve(lambda s: s.dns.create_name, new=_change)
_update_name = serve(lambda s: s.dns.update_name, name_id=target("id"), change=_change)
_delete_name = serve(lambda s: s.dns.delete_name, name_id=target("id"))


async def _list_names(call: Call) -> tuple[DnsName, ...]:
    problems: Problems = {}
    if call.values["domain"]:
        await check_domains(call.services, "domain", [call.values["domain"].lower().removesuffix(".")], problems)
    if problems:
        raise InvalidRequest.of(problems)
    return await _names(call)


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
