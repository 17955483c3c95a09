"""The checks of a host: what a rejection is about, apart from the numbers in its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen


class Check(StrEnum):
    """A check, in the order in which a host has to pass them. The values are in stored explanations and in the API."""

    HOST = "host"  # the request names other hosts, or excludes this one
    ROLE = "role"
    TRIED = "tried"
    TYPE = "type"
    ZONE = "zone"
    POOL = "pool"
    TAGS = "tags"
    GROUPS = "groups"
    REMOVING = "removing"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    LOST = "lost"
    ARCHITECTURE = "architecture"
    SPEED = "speed"
    CORES = "cores"
    MEMORY = "memory"
    PINS = "pins"
    PAGES = "pages"
    STORAGE = "storage"
    NETWORK = "network"
    RANK = "rank"  # it fits, but others are better


@frozen
class Failure:
    """A check that a host failed, and the sentence with its numbers."""

    check: Check
    reason: str


SUMMARY: Mapping[Check, str] = {
    Check.RANK: "fit, but would have less capacity left",
    Check.HOST: "excluded by your host filter",
    Check.ROLE: "in a resource pool in which you may not compose",
    Check.TRIED: "tried before",
    Check.TYPE: "of another type",
    Check.ZONE: "in another zone",
    Check.POOL: "in another resource pool",
    Check.TAGS: "with other tags",
    Check.GROUPS: "excluded by your affinity or anti-affinity groups",
    Check.REMOVING: "being removed",
    Check.MAINTENANCE: "in maintenance",
    Check.UNKNOWN: "capacity unknown until the first successful discovery run",
    Check.UNREACHABLE: "no connected rack reaches them",
    Check.LOST: "their last call or refresh failed",
    Check.ARCHITECTURE: "another architecture",
    Check.SPEED: "CPUs too slow",
    Check.CORES: "not enough free cores",
    Check.MEMORY: "not enough free memory",
    Check.PINS: "not enough unpinned cores",
    Check.PAGES: "not enough free huge pages",
    Check.STORAGE: "no storage pool with enough free space for the largest disk",
    Check.NETWORK: "no interface on the requested networks",
}
CHECK_OF_SUMMARY: Mapping[str, Check] = {text: check for check, text in SUMMARY.items()}
