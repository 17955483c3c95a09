"""Plans zones, pools, tags, networks and users. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network

from attrs import evolve

from common.errors import InvalidRequest
from common.maas.inventory import DnsName, Inventory, Named, ReservedAddress, Subnet, User, Vlan
from common.values import MAX_VID
from regiond.accounts.model import check_username
from regiond.dns.model import check_domain_name
from regiond.groups.model import check_group
from regiond.maas.imports.model import (
    KEEP,
    LEAVE_OUT,
    MOVE,
    RENAME,
    SAME,
    Choices,
    ItemState,
    PlanItem,
    chosen,
)
from regiond.maas.imports.region_state import RegionState
from regiond.tags.model import check_name as check_tag_name

_MTU = 1500  # of a VLAN that nobody has given another
SYSTEM_USERS = ("MAAS", "maas-init-node")


def problem_of(check: Callable[[str], object], name: str) -> str:
    """Returns why a name is not possible here, empty if it is."""
    try:
        check(name)
    except InvalidRequest as error:
        return " ".join(error.texts)
    return ""


def named_items(
    kind: str,
    found: Iterable[Named],
    known: frozenset[str],
    what: str,
    check: Callable[[str], object],
    choices: Choices,
) -> Iterator[PlanItem]:
    """One whose new name is that of an object here becomes that object."""
    names: set[str] = set()
    for item in _named_items(kind, found, known, what, check):
        decided = chosen(item, choices.get(item.key, ""))
        if decided.is_renamed:
            name = decided.new_name
            taken = f"Another of these {kind} becomes {name}." if name in names else problem_of(check, name)
            decided = evolve(decided, becomes=f"{what} {name}").unless("" if name in known else taken)
            if decided.is_renamed and name in known:
                decided = evolve(decided, state=ItemState.EXISTS)
        names.add(decided.new_name)
        yield decided


def _named_items(
    kind: str, found: Iterable[Named], known: frozenset[str], what: str, check: Callable[[str], object]
) -> Iterator[PlanItem]:
    for one in found:
        if one.name in known:
            yield PlanItem(
                kind=kind, source_id=one.id, name=one.name, state=ItemState.EXISTS, becomes=f"{what} {one.name}"
            )
        elif problem := problem_of(check, one.name):
            yield PlanItem(
                kind=kind, source_id=one.id, name=one.name, state=ItemState.CONFLICT, becomes=f"{what} {one.name}",
                reason=problem, choices=(RENAME, LEAVE_OUT),
            )  # fmt: skip
        else:
            yield PlanItem(
                kind=kind, source_id=one.id, name=one.name, state=ItemState.NEW, becomes=f"{what} {one.name}"
            )


def group_items(inventory: Inventory, state: RegionState, choices: Choices) -> Iterator[PlanItem]:
    yield from named_items("zones", inventory.zones, state.zones, "zone", _check_group_name, choices)
    yield from named_items("pools", inventory.pools, state.pools, "resource pool", _check_group_name, choices)
    yield from named_items("tags", inventory.tags, state.tags, "tag", check_tag_name, choices)


def _check_group_name(name: str) -> None:
    check_group(name, None)


def network_items(inventory: Inventory, state: RegionState) -> Iterator[PlanItem]:
    """Spaces, fabrics, VLANs, subnets, ranges, domains and names, in the order in which they need each other."""
    vlans = {one.id: one for one in inventory.vlans}
    for space in inventory.spaces:
        yield _network(f"space:{space.id}", space.name, f"space {space.name}", exists=space.name in state.spaces)
    for fabric in inventory.fabrics:
        yield _network(f"fabric:{fabric.id}", fabric.name, f"fabric {fabric.name}", exists=fabric.name in state.fabrics)
    for vlan in inventory.vlans:
        exists = (vlan.fabric, vlan.vid) in state.vlans and not _gets_settings(vlan, state)
        name = vlan.name or str(vlan.vid)
        if 0 <= vlan.vid <= MAX_VID:
            yield _network(f"vlan:{vlan.id}", name, f"VLAN {vlan.vid} of {vlan.fabric}", exists=exists)
        else:
            yield _left_out(f"vlan:{vlan.id}", name, f"{vlan.vid} is no VLAN tag.")
    for subnet in inventory.subnets:
        yield _subnet_item(subnet, vlans.get(subnet.vlan_id), state)
    for found in inventory.ranges:
        becomes = f"{found.type} range {found.start_ip}-{found.end_ip} of {found.subnet}"
        exists = (found.start_ip, found.end_ip) in state.ranges
        yield _network(f"range:{found.id}", found.comment or found.type, becomes, exists=exists)
    yield from _reserved_items(inventory, state)
    for domain in inventory.domains:
        name = domain.name
        if problem := problem_of(check_domain_name, name):
            yield _left_out(f"domain:{domain.id}", name, problem)
        else:
            yield _network(f"domain:{domain.id}", name, f"domain {name}", exists=name in state.domains)
    for name_ in inventory.dns_names:
        yield _dns_item(name_, state)


def _gets_settings(vlan: Vlan, state: RegionState) -> bool:
    """A fabric has an untagged VLAN from its beginning, which is brought as soon as somebody has given it settings.

    So it gets them after an import that was interrupted between the two.
    """
    has_some = vlan.space not in {"", "undefined"} or vlan.mtu != _MTU or bool(vlan.description)
    return vlan.vid == 0 and has_some and (vlan.fabric, vlan.vid) in state.untouched_vlans


def _reserved_items(inventory: Inventory, state: RegionState) -> Iterator[PlanItem]:
    """Addresses that something else has become ranges of one address, unless a range has them already."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for one in inventory.ranges:
        spans.setdefault(one.subnet, []).append((int(ip_address(one.start_ip)), int(ip_address(one.end_ip))))
    for found in inventory.reserved_addresses:
        number = int(ip_address(found.ip))
        if found.subnet and not any(first <= number <= last for first, last in spans.get(found.subnet, ())):
            becomes = f"reserved address {found.ip} of {found.subnet}"
            exists = (found.ip, found.ip) in state.ranges
            yield _network(f"reserved:{found.ip}", holder_of(found), becomes, exists=exists)


def holder_of(found: ReservedAddress) -> str:
    return found.holder or found.comment or found.user or found.mac_address or found.ip


def _subnet_item(subnet: Subnet, vlan: Vlan | None, state: RegionState) -> PlanItem:
    source_id, name = f"subnet:{subnet.id}", subnet.name or subnet.cidr
    try:
        cidr = str(ip_network(subnet.cidr))
    except ValueError:
        return _left_out(source_id, name, f"{subnet.cidr} is no network address.")
    if vlan is None:
        return _left_out(source_id, name, "Its VLAN is not in the source.")
    becomes = f"subnet {cidr} in VLAN {vlan.vid} of {vlan.fabric}"
    known = state.subnets.get(cidr)
    if known is None or (known.fabric, known.vid) == (vlan.fabric, vlan.vid):
        return _network(source_id, name, becomes, exists=known is not None)
    return PlanItem(
        kind="networks", source_id=source_id, name=name, state=ItemState.CONFLICT, becomes=becomes,
        reason=f"It is here already, in VLAN {known.vid} of {known.fabric}.", choices=(MOVE, KEEP),
    )  # fmt: skip


def _dns_item(name: DnsName, state: RegionState) -> PlanItem:
    source_id, fqdn = f"name:{name.id}", f"{name.name}.{name.domain}"
    if not name.addresses:
        return _left_out(source_id, fqdn, f"Records of type {name.type or '?'} are not part of Innkeeper.")
    exists = (name.name, name.domain) in state.dns_names
    return _network(source_id, fqdn, f"DNS name {fqdn}", exists=exists)


def _network(source_id: str, name: str, becomes: str, *, exists: bool) -> PlanItem:
    state = ItemState.EXISTS if exists else ItemState.NEW
    return PlanItem(kind="networks", source_id=source_id, name=name, state=state, becomes=becomes)


def _left_out(source_id: str, name: str, reason: str) -> PlanItem:
    return PlanItem(kind="networks", source_id=source_id, name=name, state=ItemState.LEFT_OUT, reason=reason)


def user_items(inventory: Inventory, state: RegionState, choices: Choices) -> Iterator[PlanItem]:
    """One whose new name is that of a user here, with the same e-mail address, is that user."""
    names: set[str] = set()
    for user in inventory.users:
        item = _user_item(user, state)
        item = chosen(item, choices.get(item.key, ""))
        if item.is_renamed:
            item = _renamed(user, item, state, names)
        names.add(item.new_name)
        yield item


def _renamed(user: User, item: PlanItem, state: RegionState, names: set[str]) -> PlanItem:
    name = item.new_name
    known = state.users.get(name)
    found = evolve(item, becomes=_what(user, name))
    if known is not None and known.is_of(user.email):
        return evolve(found, state=ItemState.EXISTS)
    taken = known is not None or name in names or name in SYSTEM_USERS
    return found.unless(f"Another user is named {name}." if taken else problem_of(check_username, name))


def _what(user: User, name: str) -> str:
    return f"{'administrator' if user.is_admin else 'user'} {name}"


def _user_item(user: User, state: RegionState) -> PlanItem:
    becomes = _what(user, user.username)
    if user.username in SYSTEM_USERS:
        return _user_left_out(user, "MAAS's own account.")
    if not user.active:
        return _user_left_out(user, "The account is deactivated in MAAS; its machines have no owner here.")
    known = state.users.get(user.username)
    notes = tuple(_user_notes(user))
    if known is not None and known.is_of(user.email):
        return PlanItem(
            kind="users", source_id=user.id, name=user.username, state=ItemState.EXISTS, becomes=becomes, notes=notes
        )
    if known is not None:
        reason = f"There is a user {user.username} here, with the email address {known.email or '(none)'}."
        return PlanItem(
            kind="users", source_id=user.id, name=user.username, state=ItemState.CONFLICT, becomes=becomes,
            reason=reason, notes=notes, choices=(SAME, RENAME, LEAVE_OUT),
        )  # fmt: skip
    if problem := problem_of(check_username, user.username):
        return PlanItem(
            kind="users", source_id=user.id, name=user.username, state=ItemState.CONFLICT, becomes=becomes,
            reason=problem, notes=notes, choices=(RENAME, LEAVE_OUT),
        )  # fmt: skip
    return PlanItem(
        kind="users",
        source_id=user.id,
        name=user.username,
        state=ItemState.NEW,
        becomes=becomes,
        notes=notes,
        choices=(LEAVE_OUT,),
    )


def _user_notes(user: User) -> Iterator[str]:
    if not user.local:
        yield "Was authenticated elsewhere: set a password, or give it an API key."
    elif not user.password_hash:
        yield "Has no password in the source: set one."
    if user.ssh_keys:
        yield f"SSH keys: {len(user.ssh_keys)}."
    if user.api_keys:
        yield f"API keys that stay valid: {len(user.api_keys)}."


def _user_left_out(user: User, reason: str) -> PlanItem:
    return PlanItem(kind="users", source_id=user.id, name=user.username, state=ItemState.LEFT_OUT, reason=reason)
