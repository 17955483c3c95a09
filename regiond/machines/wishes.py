"""From what a person asks of a machine to the wish that placement knows."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import evolve

from common.errors import InvalidRequest
from regiond.field_words import at_least, at_most
from regiond.machines.model import ComposeRequest
from regiond.networks import addresses, naming
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.model import Condition, NicWish, PinWish, Wish
from regiond.placement.selectors import names_in
from regiond.placement.storage_text import parse_storage

if TYPE_CHECKING:
    from regiond.db.pool import Db

MIN_MEMORY_MIB = 1024  # clients know this bound
LARGEST = 2**31 - 1  # what the database can hold
MAX_PINS = 4096


def problems_of(request: ComposeRequest) -> dict[str, list[str]]:
    """By field, what makes no sense whatever hosts and networks there are."""
    wrong = {**_out_of_bounds(request), **_wrong_pins(request), **_wrong_pages(request)}
    if request.one_numa_node and not (_is_pinned(request) or request.huge_pages_backed):
        wrong["one_numa_node"] = ["This is of pinned cores or huge pages: ask for either too."]
    for text, parse in ((request.storage, parse_storage), (request.interfaces, _cards)):
        try:
            parse(text)
        except InvalidRequest as refused:
            wrong |= refused.fields
    return wrong


@lru_cache(maxsize=1000)  # pure, and most requests are for one of a few sizes
def wish_of(request: ComposeRequest) -> Wish:
    """What can be told without the database. Raises InvalidRequest with all `problems_of` it."""
    wrong = problems_of(request)
    if wrong:
        raise InvalidRequest.of(wrong)
    size_mib = request.huge_page_size_mib
    return Wish(
        cores=request.pin_cores or len(request.pinned_cores) or request.cores,
        memory_mib=request.memory_mib,
        disks=parse_storage(request.storage),
        architecture=request.architecture,
        host_id=request.host_id,
        nics=_cards(request.interfaces),
        pins=PinWish(core_ids=request.pinned_cores, count=request.pin_cores) if _is_pinned(request) else None,
        huge_pages=request.huge_pages_backed,
        huge_page_size_kib=None if size_mib is None else size_mib * 1024,
        one_numa_node=request.one_numa_node,
    )


def _cards(text: str) -> tuple[NicWish, ...]:
    nics = parse_interfaces(text)
    given = [nic.ip for nic in nics if nic.ip is not None]
    twice = sorted({ip for ip in given if given.count(ip) > 1})
    if twice:
        raise InvalidRequest.of({"interfaces": [f"The address {', '.join(twice)} is asked for more than one card."]})
    return nics


async def resolved(db: Db, wish: Wish, *, machine_id: int | None = None) -> Wish:
    """With the subnet of each address that is asked for as one more condition. `machine_id` may have them already.

    Raises InvalidRequest with the field `interfaces` for an address that nobody can be given, and for a fabric, VLAN,
    subnet or space that there is none of.
    """
    unknown = await naming.unknown(db, names_in(wish.nics))
    if unknown:
        raise InvalidRequest.of({"interfaces": list(dict.fromkeys(unknown))})
    return evolve(wish, nics=tuple([await _resolved(db, nic, machine_id) for nic in wish.nics]))


async def _resolved(db: Db, nic: NicWish, machine_id: int | None) -> NicWish:
    if nic.ip is None:
        return nic
    subnet = await addresses.check(db, nic.ip, machine_id=machine_id)
    return evolve(nic, conditions=(*nic.conditions, Condition(key="subnet", values=(f"id:{subnet.id}",))))


def _is_pinned(request: ComposeRequest) -> bool:
    return bool(request.pinned_cores) or request.pin_cores is not None


def _out_of_bounds(request: ComposeRequest) -> dict[str, list[str]]:
    asked = {
        "cores": (request.cores, 1),
        "memory": (request.memory_mib, MIN_MEMORY_MIB),
        "pin_cores": (request.pin_cores, 1),
        "hugepage_size": (request.huge_page_size_mib, 1),
    }
    wrong = {name: _outside(value, least) for name, (value, least) in asked.items() if value is not None}
    return {name: [problem] for name, problem in wrong.items() if problem is not None}


def _outside(value: int, least: int) -> str | None:
    if value < least:
        return at_least(least)
    return at_most(LARGEST) if value > LARGEST else None


def _wrong_pins(request: ComposeRequest) -> dict[str, list[str]]:
    if request.pinned_cores and request.pin_cores is not None:
        return {"pin_cores": ["Give either pinned_cores, which names them, or pin_cores, which is how many."]}
    if len(request.pinned_cores) > MAX_PINS:
        return {"pinned_cores": [f"{len(request.pinned_cores)} cores asked for; {MAX_PINS} are the most."]}
    outside = [problem for core_id in request.pinned_cores for problem in [_outside(core_id, 0)] if problem is not None]
    if outside:
        return {"pinned_cores": outside[:1]}
    twice = sorted(core_id for core_id, times in Counter(request.pinned_cores).items() if times > 1)
    if twice:
        return {"pinned_cores": [f"Core {', '.join(map(str, twice))} is given more than once."]}
    return {}


def _wrong_pages(request: ComposeRequest) -> dict[str, list[str]]:
    size_mib = request.huge_page_size_mib
    if size_mib is None or size_mib < 1:
        return {}
    if not request.huge_pages_backed:
        return {"hugepage_size": ["This is of huge pages: ask for hugepages_backed too."]}
    if request.memory_mib % size_mib:
        return {"hugepage_size": [f"{request.memory_mib} MiB of memory do not divide into pages of {size_mib} MiB."]}
    return {}
