"""The pinned cores and huge pages of a VM before and after a resize, as its page shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from regiond.hosts.numa.numa_model import NumaNodeView
from regiond.ledger.model import DiscreteResources, pages_key, read_pages_key
from regiond.ui.machines.details.placement_card import CoreStrip, Fact, core_strip
from regiond.ui.texts import text
from regiond.ui.views import formats


@frozen(kw_only=True)
class Side:
    """One side of a resize, now or then. `strip` is None if it is not pinned, or the user may not see the host."""

    title: str
    strip: CoreStrip | None
    facts: tuple[Fact, ...]


@frozen(kw_only=True)
class Preview:
    """The answer of the dry run. `before` and `after` are None for a VM that is bound to nothing in either case."""

    effects: tuple[str, ...]
    before: Side | None = None
    after: Side | None = None


def side(title: str, bound: DiscreteResources, host_name: str, nodes: Sequence[NumaNodeView]) -> Side:
    pinned = frozenset(bound.pinned_core_ids)
    strip = core_strip(host_name, nodes, pinned) if pinned and nodes else None
    return Side(title=title, strip=strip, facts=tuple(_facts(bound, nodes)))


def preview_of(plan: Mapping[str, Any], host_name: str, nodes: Sequence[NumaNodeView]) -> Preview:
    """`plan` is the API's JSON of a dry run."""
    now, then = _bound(plan["bound"]), _bound(plan["bound_then"])
    effects = tuple(plan["effects"])
    if now == then == DiscreteResources():
        return Preview(effects=effects)
    return Preview(
        effects=effects,
        before=side(text("Now"), now, host_name, nodes),
        after=side(text("After the resize"), then, host_name, nodes),
    )


def _bound(plain: Mapping[str, Any]) -> DiscreteResources:
    return DiscreteResources(
        pinned_core_ids=plain["pinned_cores"],
        huge_pages={pages_key(one["node"], one["page_size"] // 1024): one["pages"] for one in plain["huge_pages"]},
    )


def _facts(bound: DiscreteResources, nodes: Sequence[NumaNodeView]) -> Iterator[Fact]:
    for node in nodes:
        here = {*bound.pinned_core_ids} & {*node.cores.total}
        if here:
            cores = text("{cores} of NUMA node {node}", cores=formats.ranges(here), node=node.node_id)
            yield Fact(label=text("Pinned cores"), text=cores)
    if not bound.pinned_core_ids:
        yield Fact(label=text("Pinned cores"), text=text("none: any of the host"))
    elif not nodes:
        yield Fact(label=text("Pinned cores"), text=formats.ranges(bound.pinned_core_ids))
    for key, pages in sorted(bound.huge_pages.items()):
        node_id, size_kib = read_pages_key(key)
        amount, size = formats.number(pages), formats.memory(size_kib // 1024)
        each = text("{pages} on node {node}, {size} each", pages=amount, node=node_id, size=size)
        yield Fact(label=text("Huge pages"), text=each)
    if not bound.huge_pages:
        yield Fact(label=text("Huge pages"), text=text("none: general memory"))
