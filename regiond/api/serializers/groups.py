"""Zones, resource pools and the one DNS domain."""

from __future__ import annotations

from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    STR,
    Serializer,
    constant,
    fields_of,
    nullable,
    serializer,
    uri_by_id,
    uri_by_name,
)
from regiond.api.urls import uri
from regiond.groups.model import ResourcePool, Zone
from regiond.networks.model import DOMAIN_NAME

DOMAIN_ID = 0

ZONE_JSON: Serializer[Zone] = serializer(
    "Zone",
    *fields_of(Zone, "id name description"),
    uri_by_name("zones"),
)
POOL_JSON: Serializer[ResourcePool] = serializer(
    "ResourcePool",
    *fields_of(ResourcePool, "id name description"),
    uri_by_id("resourcepool"),
)
DOMAIN_JSON: Serializer[None] = serializer(
    "Domain",
    constant("id", INT, DOMAIN_ID),
    constant("name", STR, DOMAIN_NAME),
    constant("authoritative", BOOL, value=True),
    constant("ttl", nullable(INT), None),
    constant("is_default", BOOL, value=True),
    constant("resource_record_count", INT, 0),
    constant("resource_uri", STR, uri("domains", DOMAIN_ID)),
)
