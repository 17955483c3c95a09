"""Which machines meet what allocation asks for, and which disk and card of theirs is meant by each label. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve, field, frozen

from common.values import NicKind
from regiond.machines.model import DiskView, MachineView, NicView
from regiond.placement.interface_match import matching
from regiond.placement.model import Condition, HostOffer, InterfaceOffer, NicWish, SubnetOffer
from regiond.placement.storage_text import DiskWish

W = TypeVar("W")
P = TypeVar("P")

Labelled = tuple[tuple[str, int], ...]  # (label, row id), in the order asked for


@frozen(kw_only=True)
class Parts:
    """What is asked of the parts of a machine. Empty: anything will do.

    Each of `disks` and `nics` is a part of its own. The machine has a card that meets each of `attached`, and none
    that meets one of `detached`.
    """

    disks: tuple[DiskWish, ...] = ()
    nics: tuple[NicWish, ...] = ()
    attached: tuple[Condition, ...] = ()
    detached: tuple[Condition, ...] = ()


@frozen(kw_only=True)
class Labels:
    """The disk or card that was found for each label; what was asked for without a label is not in it."""

    disks: Labelled = field(default=())
    nics: Labelled = field(default=())


def labels_of(machine: MachineView, wanted: Parts, offers: Sequence[InterfaceOffer]) -> Labels | None:
    """None when the machine lacks something. `offers` are the interfaces of its host, as placement sees them."""
    disks = _disks(machine.disks, wanted.disks)
    if disks is None:
        return None
    cards = {nic.id: _as_offer(nic, offers) for nic in machine.nics}
    if not _is_attached(machine, cards, wanted):
        return None
    nics = assign(wanted.nics, machine.nics, lambda wish, nic: _is_card(machine, wish, nic, cards[nic.id]))
    if nics is None:
        return None
    return Labels(
        disks=_labelled((wish.label, disk.id) for wish, disk in zip(wanted.disks, disks, strict=True)),
        nics=_labelled((wish.label, nic.id) for wish, nic in zip(wanted.nics, nics, strict=True)),
    )


def labels_as_made(machine: MachineView, wanted: Parts) -> Labels:
    """Of a machine that was composed for it: disks and cards are in the order of the wishes."""
    disks = zip(wanted.disks, machine.disks, strict=False)
    nics = zip(wanted.nics, machine.nics, strict=False)
    return Labels(
        disks=_labelled((wish.label, disk.id) for wish, disk in disks),
        nics=_labelled((wish.label, nic.id) for wish, nic in nics),
    )


def assign(wishes: Sequence[W], parts: Sequence[P], fits: Callable[[W, P], bool]) -> tuple[P, ...] | None:
    """A part of its own for each wish, or None when there is no way. Earlier parts are preferred.

    A wish may make an earlier one move to another part (augmenting paths), so nothing is refused that would fit.
    """
    taken: dict[int, int] = {}  # which wish has the part

    def place(wish: int, tried: set[int]) -> bool:
        good = [part for part, candidate in enumerate(parts) if fits(wishes[wish], candidate)]
        for part in sorted(good, key=lambda part: part in taken):  # what is free first, so that few have to move
            if part in tried:
                continue
            tried.add(part)
            if part not in taken or place(taken[part], tried):
                taken[part] = wish
                return True
        return False

    if not all(place(wish, set()) for wish in range(len(wishes))):
        return None
    by_wish: Mapping[int, int] = {wish: part for part, wish in taken.items()}
    return tuple(parts[by_wish[wish]] for wish in range(len(wishes)))


def _disks(disks: Sequence[DiskView], wishes: Sequence[DiskWish]) -> tuple[DiskView, ...] | None:
    """The first wish is the root disk, which a machine has as its first; the others get the smallest that will do."""
    if not wishes:
        return ()
    root, *others = wishes
    if not disks or not _is_disk(root, disks[0]):
        return None
    left = sorted(disks[1:], key=lambda disk: (disk.size_bytes, disk.index))
    found = assign(others, left, _is_disk)
    return None if found is None else (disks[0], *found)


def _is_disk(wish: DiskWish, disk: DiskView) -> bool:
    """The name of the storage pool that it is in is as good as a tag."""
    return disk.size_bytes >= wish.size_bytes and set(wish.tags) <= {*disk.tags, disk.storage_pool_name}


def _is_attached(machine: MachineView, cards: Mapping[int, InterfaceOffer], wanted: Parts) -> bool:
    def some_meets(condition: Condition) -> bool:
        wish = NicWish(label="", conditions=(condition,))
        return any(_meets(machine, wish, card) for card in cards.values())

    return all(some_meets(one) for one in wanted.attached) and not any(some_meets(one) for one in wanted.detached)


def _is_card(machine: MachineView, wish: NicWish, nic: NicView, card: InterfaceOffer) -> bool:
    if wish.ip is not None and wish.ip != str(nic.ip_address):
        return False
    return wish.configured is (nic.mode != "unconfigured") and _meets(machine, wish, card)


def _meets(machine: MachineView, wish: NicWish, card: InterfaceOffer) -> bool:
    host = HostOffer(
        id=machine.host_id or 0, name=machine.host_name or "", state="", reachable=True, architecture=None, cores=None,
        memory_mib=None, interfaces=(card,),
    )  # fmt: skip
    return bool(matching(wish, host))


def _as_offer(nic: NicView, offers: Sequence[InterfaceOffer]) -> InterfaceOffer:
    """The interface that the card is on, with only the card's own subnet where that is known."""
    found = next((one for one in offers if one.name == nic.source and one.vid in (None, 0, nic.vid)), None)
    found = found or next((one for one in offers if one.name == nic.source), None)
    card = _known_of(nic) if found is None else evolve(found, attachable=True, active=True)
    own = tuple(subnet for subnet in card.subnets if nic.subnet is not None and subnet.id == nic.subnet.id)
    return evolve(card, subnets=own or card.subnets)


def _known_of(nic: NicView) -> InterfaceOffer:
    """Of a card whose host has no such interface any more."""
    subnets: tuple[SubnetOffer, ...] = ()
    if nic.subnet is not None:
        subnets = (SubnetOffer(id=nic.subnet.id, name=nic.subnet.name, cidr=str(nic.subnet.cidr)),)
    vlan = nic.vlan
    return InterfaceOffer(
        id=0,
        name=nic.source,
        kind=NicKind(nic.kind),
        type="unknown",
        vid=nic.vid if vlan is None else vlan.vid,
        vlan_id=None if vlan is None else vlan.id,
        vlan_name=None if vlan is None else vlan.name,
        fabric_id=None if vlan is None else vlan.fabric_id,
        fabric_name=None if vlan is None else vlan.fabric_name,
        space_id=None if vlan is None else vlan.space_id,
        space_name=None if vlan is None else vlan.space_name,
        subnets=subnets,
    )


def _labelled(pairs: Iterable[tuple[str, int]]) -> Labelled:
    return tuple((label, id_) for label, id_ in pairs if label)
