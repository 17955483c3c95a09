"""Domains with their records, and static DNS names."""

from __future__ import annotations

from regiond.api.declaration.serializer import BOOL, INT, STR, Serializer, array, constant, key, nullable, serializer
from regiond.api.urls import uri
from regiond.dns.model import Address, DnsName, Domain

DOMAIN_WITH_RECORDS_JSON: Serializer[Domain] = serializer(
    "DomainWithRecords",
    key("id", INT, lambda domain: domain.id),
    key("name", STR, lambda domain: domain.name),
    key("authoritative", BOOL, lambda domain: domain.authoritative),
    key("ttl", nullable(INT), lambda domain: domain.ttl_s),
    key("is_default", BOOL, lambda domain: domain.is_default),
    key("resource_record_count", INT, lambda domain: domain.record_count),
    key("resource_uri", STR, lambda domain: uri("domains", domain.id)),
)
_DNS_ADDRESS_JSON: Serializer[Address] = serializer("DnsAddress", key("ip", STR, str))
DNS_RESOURCE_JSON: Serializer[DnsName] = serializer(
    "DnsResource",
    key("id", INT, lambda one: one.id),
    key("fqdn", STR, lambda one: one.fqdn),
    key("address_ttl", nullable(INT), lambda one: one.ttl_s),
    key("ip_addresses", array(_DNS_ADDRESS_JSON), lambda one: one.addresses),
    constant("resource_records", array(STR), []),
    key("resource_uri", STR, lambda one: uri("dnsresources", one.id)),
)
