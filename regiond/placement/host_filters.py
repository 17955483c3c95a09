"""Filters hosts by id, type, zone, resource pool, tags and architecture, whatever their capacity."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.placement.model import Candidate, Requirements
from regiond.placement.reason_phrases import first_of


def rejection_by_filter(requirements: Requirements, host: Candidate) -> str | None:
    """Returns the reason of the first filter that rejects the host; None if all accept it."""
    wanted = requirements.hosts
    if requirements.host_id is not None and requirements.host_id != host.id:
        return "not the requested host"
    if wanted.within_pool_ids is not None and host.pool_id not in wanted.within_pool_ids:
        return "is in a resource pool in which you may not compose"
    if (wanted.host_ids and host.id not in wanted.host_ids) or host.id in wanted.not_host_ids:
        return "excluded by your host filter"
    if host.id in wanted.tried_host_ids:
        return "this compose already failed here"
    return (
        _property("type", host.driver, wanted.drivers, wanted.not_drivers)
        or _group("zone", host.zone, wanted.zones, wanted.not_zones)
        or _group("resource pool", host.pool, wanted.pools, wanted.not_pools)
        or _tags(host, wanted.tags, wanted.not_tags)
        or _property("architecture", host.architecture, wanted.architectures, wanted.not_architectures)
    )


def _group(what: str, own: str, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    if wanted and own not in wanted:
        return f"is in {what} {own}, needs {_join(wanted, 'or')}"
    return f"is in {what} {own}, which is excluded" if own in unwanted else None


def _property(what: str, own: str | None, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    """Passes a host of unknown type or architecture: `evaluate` rejects it for its unknown capacity."""
    if own is None:
        return None
    if own in unwanted:
        return f"{what} {own} is excluded"
    return f"{what} is {own}, needs {_join(wanted, 'or')}" if wanted and own not in wanted else None


def _tags(host: Candidate, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    missing = [tag for tag in wanted if tag not in host.tags]
    if missing:
        return f"lacks the {_noun(missing)} {_join(missing, 'and')}"
    present = [tag for tag in unwanted if tag in host.tags]
    return f"has the excluded {_noun(present)} {_join(present, 'and')}" if present else None


def _noun(tags: Sequence[str]) -> str:
    return "tag" if len(tags) == 1 else "tags"


def _join(names: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join(first_of(names))
