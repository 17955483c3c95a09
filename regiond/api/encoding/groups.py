"""Zones, resource pools, and the one domain there is."""

from __future__ import annotations

from typing import Any

from regiond.api.paths import uri
from regiond.groups.model import ResourcePool, Zone

DOMAIN_NAME = "maas"  # what clients expect the default domain to be called
DOMAIN_ID = 0


def encode_zone(zone: Zone) -> dict[str, Any]:
    return {
        "id": zone.id,
        "name": zone.name,
        "description": zone.description,
        "resource_uri": uri("zones", zone.name),
    }


def encode_pool(pool: ResourcePool) -> dict[str, Any]:
    return {
        "id": pool.id,
        "name": pool.name,
        "description": pool.description,
        "resource_uri": uri("resourcepool", pool.id),
    }


def encode_whole_pool(pool: ResourcePool) -> dict[str, Any]:
    return {**encode_pool(pool), "strategy": pool.strategy or ""}


def encode_domain() -> dict[str, Any]:
    return {
        "id": DOMAIN_ID,
        "name": DOMAIN_NAME,
        "authoritative": True,
        "ttl": None,
        "is_default": True,
        "resource_record_count": 0,
        "resource_uri": uri("domains", DOMAIN_ID),
    }
