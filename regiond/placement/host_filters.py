"""Which hosts a request lets in at all, whatever room they have: named hosts, zone, resource pool, tags."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.placement.model import HostOffer, Wish

NAMED_IN_REASON = 5  # a reason is repeated for every host it is true of: of more names it counts the rest


def excluded(wish: Wish, host: HostOffer) -> str | None:
    """The first filter that the host does not pass, with what was asked and what the host is; None when it passes."""
    wanted = wish.hosts
    if wish.host_id is not None and wish.host_id != host.id:
        return "not the host that was asked for"
    if wanted.host_ids and host.id not in wanted.host_ids:
        return f"not one of the hosts that were asked for, {len(wanted.host_ids)} in number"
    if host.id in wanted.not_host_ids:
        return "one of the hosts that were excluded"
    return (
        _one_of("type", host.driver, wanted.drivers, wanted.not_drivers)
        or _group("zone", host.zone, wanted.zones, wanted.not_zones)
        or _group("resource pool", host.pool, wanted.pools, wanted.not_pools)
        or _tags(host, wanted.tags, wanted.not_tags)
        or _one_of("architecture", host.architecture, wanted.architectures, wanted.not_architectures)
    )


def _group(what: str, own: str, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    if wanted and own not in wanted:
        return f"{what}: {_named(wanted, 'or')} asked, the host is in {own}"
    if own in unwanted:
        return f"{what}: not {_named(unwanted, 'or')} asked, the host is in {own}"
    return None


def _one_of(what: str, own: str | None, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    """Of what a host is, rather than is in. One that nobody has looked at yet is refused for that, and not here."""
    if own is None or (own not in unwanted and (not wanted or own in wanted)):
        return None
    asked = f"not {_named(unwanted, 'or')}" if own in unwanted else _named(wanted, "or")
    return f"{what}: {asked} asked, the host is {own}"


def _tags(host: HostOffer, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    lacking = [tag for tag in wanted if tag not in host.tags]
    if lacking:
        return f"tags: {_named(wanted, 'and')} asked, the host has no {_named(lacking, 'and no')}"
    carried = [tag for tag in unwanted if tag in host.tags]
    if carried:
        return f"tags: not {_named(unwanted, 'or')} asked, the host has {_named(carried, 'and')}"
    return None


def _named(names: Sequence[str], joint: str) -> str:
    shown = f" {joint} ".join(names[:NAMED_IN_REASON])
    hidden = len(names) - NAMED_IN_REASON
    return f"{shown} {joint} {hidden} more" if hidden > 0 else shown
