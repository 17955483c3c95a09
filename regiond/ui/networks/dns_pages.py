"""DNS: domains with their names and zone files, and the forms that add, change and delete them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api.replies import Reply, text_reply
from regiond.api.resources.networks.dns import DNS_RESOURCE, DNS_RESOURCES, DOMAIN, DOMAINS
from regiond.dns.model import MAX_TTL_S, DnsFilter, DnsName, Domain
from regiond.requests.caller import Permission
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.forms.removal import Removal
from regiond.ui.networks.network_kinds import SECTION
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import constant, text
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

PLACE = (SECTION, "dns")
CRUMBS = ((constant("Networks"), page_url(SECTION)), ("DNS", page_url(*PLACE)))
_COLUMNS = {
    "name": lambda name: (name.name != "@", name.name),
    "addresses": lambda name: len(name.addresses),
    "ttl": lambda name: name.ttl_s,
}


async def show_list(visit: Visit) -> Reply:
    domains = await visit.services.dns.domains()
    return await visit.page("networks/dns.html", title="DNS", section=SECTION, domains=domains)


async def _domain(visit: Visit) -> Domain:
    return await visit.services.dns.domain(f"id:{visit.path['id']}")


async def show(visit: Visit) -> Reply:
    domain, text = await _domain(visit), visit.request.option("q").strip()
    every = await visit.services.dns.names(DnsFilter(domain=domain.name))
    names = [one for one in every if one.domain_id == domain.id]  # a domain may be named like the id of another
    found = [one for one in names if text.lower() in f"{one.fqdn} {' '.join(map(str, one.addresses))}"]
    return await visit.page(
        "networks/domain.html",
        title=domain.name,
        section=SECTION,
        crumbs=CRUMBS,
        domain=domain,
        view=in_memory(visit.request, found, _COLUMNS, default="name"),
        text=text,
        all_names=len(names),
    )


async def show_zone(visit: Visit) -> Reply:
    domain = await _domain(visit)
    return await visit.page(
        "networks/zone.html",
        title=text("Zone file of {name}", name=domain.name),
        section=SECTION,
        crumbs=(*CRUMBS, (domain.name, page_url(*PLACE, domain.id))),
        domain=domain,
        zone=await _zone(visit, domain),
    )


async def download_zone(visit: Visit) -> Reply:
    domain = await _domain(visit)
    headers = {"Content-Disposition": f'attachment; filename="{domain.name}.zone"'}
    return evolve(text_reply(await _zone(visit, domain)), headers=headers)


async def _zone(visit: Visit, domain: Domain) -> str:
    return str(await visit.act(DOMAIN, "GET", "zone_file", path={"id": f"id:{domain.id}"}))


async def _domain_fields(_visit: Visit, domain: Domain | None) -> list[FormField]:
    name = FormField(name="name", label=text("Name"), help=text("Such as lab.example"))
    ttl = FormField(
        name="ttl", label=text("Time to live in seconds"), kind="number", minimum=0, optional=True,
        help=text("0 to {most}; without one that of the zone file, 30", most=MAX_TTL_S),
    )  # fmt: skip
    return [ttl] if domain is not None and domain.is_default else [name, ttl]


async def _name_fields(visit: Visit, _name: DnsName | None) -> list[FormField]:
    domains = tuple((str(one.id), one.name) for one in await visit.services.dns.domains())
    return [
        FormField(name="name", label=text("Name"), help=text("In the domain, such as www; @ is the domain itself")),
        FormField(name="domain", label=text("Domain"), kind="choice", options=domains),
        FormField(
            name="ip_addresses",
            label=text("Addresses"),
            kind="area",
            rows=3,
            help=text("Separated by blanks or commas"),
        ),
        FormField(
            name="address_ttl",
            label=text("Time to live in seconds"),
            kind="number",
            minimum=0,
            optional=True,
            help=text("0 to {most}; without one that of the domain", most=MAX_TTL_S),
        ),
    ]


def _values_of_name(name: DnsName) -> Mapping[str, str]:
    addresses = ", ".join(map(str, name.addresses))
    return {"name": name.name, "domain": str(name.domain_id), "ip_addresses": addresses}


def _page_of(domain: Domain) -> tuple[str | int, ...]:
    return (*PLACE, domain.id)


async def _domain_removal(_visit: Visit, domain: Domain, removal: Removal) -> Removal:
    place = _page_of(domain)
    return evolve(removal, crumbs=(*CRUMBS, (domain.name, page_url(*place))), place=place, after=PLACE)


async def _name_removal(_visit: Visit, name: DnsName, removal: Removal) -> Removal:
    place = (*PLACE, name.domain_id)
    return evolve(removal, crumbs=(*CRUMBS, (name.domain, page_url(*place))), place=place, after=place, name=None)


DOMAIN_KIND = ObjectKind(
    word=constant("domain"),
    section=SECTION,
    crumbs=CRUMBS,
    place=PLACE,
    many=DOMAINS,
    one=DOMAIN,
    key=lambda domain: f"id:{domain.id}",
    prefix="id:",
    title=constant("Edit {}"),
    fields=_domain_fields,
    added=lambda made: (*PLACE, made["id"]),
    changed=_page_of,
    removal=_domain_removal,
)
NAME_KIND = ObjectKind(
    word=constant("DNS name"),
    section=SECTION,
    crumbs=CRUMBS,
    place=PLACE,
    many=DNS_RESOURCES,
    one=DNS_RESOURCE,
    name=lambda name: str(name.fqdn),
    title=constant("Edit {}"),
    fields=_name_fields,
    values=_values_of_name,
    changed=lambda name: (*PLACE, name.domain_id),
    removal=_name_removal,
)
PAGES = (
    Page(path="networks/dns", handle=show_list),
    *object_pages(DOMAIN_KIND, add="networks/dns/add", one="networks/dns/<id>", change="networks/dns/<id>/edit"),
    Page(path="networks/dns/<id>", handle=show),
    Page(path="networks/dns/<id>/zone", handle=show_zone, permission=Permission.ADMIN),
    Page(path="networks/dns/<id>/zone/file", handle=download_zone, permission=Permission.ADMIN),
    *object_pages(
        NAME_KIND, add="networks/dns-names/add", one="networks/dns-names/<id>", change="networks/dns-names/<id>/edit"
    ),
)
