"""Decides which of the members that a cluster reports are checked as new hosts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from attrs import field, frozen

from common.addresses.lxd import parse
from common.errors import InvalidRequest
from common.values import ClusterMember

MAX_NAME_CHARS = 255


@frozen(kw_only=True)
class MemberChoice:
    """`known` members have hosts, or a user excluded them. `rejected` has the reason for each member by its name.

    `addresses` has the normalised address of each new member: its host is added if it presents the right certificate.
    """

    known: tuple[ClusterMember, ...] = ()
    addresses: Mapping[str, str] = field(factory=dict)
    rejected: Mapping[str, str] = field(factory=dict)
    not_considered: int = 0  # new members beyond the limit


def choose_members(
    reported: Iterable[ClusterMember], *, own: str, hosts: Collection[str], excluded: Collection[str], limit: int
) -> MemberChoice:
    """`own` is the member that reports; `hosts` and `excluded` name members that have a host, or must not get one.

    Together with `own` and `hosts`, at most `limit` members are considered, in the order of their names.
    """
    by_name = {member.name: member for member in reported}
    known = tuple(by_name[name] for name in sorted(by_name) if name == own or name in hosts or name in excluded)
    new = [by_name[name] for name in sorted(by_name.keys() - {own, *hosts, *excluded})]
    room = max(0, limit - len({own, *hosts}))
    addresses, rejected = {}, {}
    for member in new[:room]:
        try:
            addresses[member.name] = _address_of(member)
        except InvalidRequest as error:
            rejected[member.name] = error.message
    return MemberChoice(known=known, addresses=addresses, rejected=rejected, not_considered=len(new[room:]))


def _address_of(member: ClusterMember) -> str:
    """Raises InvalidRequest for a member that cannot become a host now."""
    if not member.name or len(member.name) > MAX_NAME_CHARS or not member.name.isprintable():
        raise InvalidRequest("its name is not one of a server")
    if not member.online:
        raise InvalidRequest("the cluster reports that it is offline")
    try:
        return parse(member.address).normalised
    except InvalidRequest as error:
        raise InvalidRequest(f"its address {member.address[:100]!r} is malformed: {error.message}") from error
