"""Groups interfaces into layer 2 segments and derives the VLANs of connected ones. Pure.

Interfaces that share their frames are a segment, which is on one VLAN. A segment whose frames are tagged on another
one is in the same fabric. So the VLAN of one segment determines the fabric of all segments connected to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.values import NicKind
from regiond.networks.discovery.interface_facts import FoundInterface, InterfaceKey
from regiond.networks.model import DEFAULT_FABRIC_ID


@frozen(kw_only=True)
class VlanKey:
    """A VLAN by its fabric and VID. A negative fabric has to be created; equal numbers are the same new fabric."""

    fabric: int
    vid: int


VlanMap = Mapping[InterfaceKey, VlanKey]


@frozen(kw_only=True)
class Segment:
    """Interfaces that share their frames.

    `vid` is the tag of these frames, 0 for none. `on` has the numbers of the segments that carry them tagged.
    """

    keys: tuple[InterfaceKey, ...]
    vid: int
    on: tuple[int, ...] = ()


@frozen(kw_only=True)
class Component:
    """Connected segments. The number of a segment is its index in `segments`."""

    segments: tuple[Segment, ...]

    @property
    def keys(self) -> tuple[InterfaceKey, ...]:
        """The untagged segments first: they decide on which VLANs the others are."""
        ordered = sorted(self.segments, key=lambda segment: (segment.vid > 0, segment.keys))
        return tuple(key for segment in ordered for key in segment.keys)

    def segment_of(self, key: InterfaceKey) -> Segment:
        return next(segment for segment in self.segments if key in segment.keys)

    def vlans_from_certain(self, certain: VlanMap, before: VlanMap) -> dict[InterfaceKey, VlanKey]:
        """The VLAN of each interface, derived from the certain ones, of which there is at least one.

        A VLAN derived before stays if it agrees with them, so that an unchanged host changes nothing.
        """
        fabrics = {certain[key].fabric for key in self.keys if key in certain}
        values: list[VlanKey | None] = [_first(segment.keys, certain) for segment in self.segments]
        near = _adjacent(self.segments)
        for number, segment in enumerate(self.segments):
            was = _first(segment.keys, before)
            if values[number] is None and was is not None and was.fabric in fabrics and was.vid == segment.vid:
                values[number] = was
        while None in values:
            values = [
                value or _in_fabric_of(segment, (values[other] for other in near[number]))
                for number, (segment, value) in enumerate(zip(self.segments, values, strict=True))
            ]
        found: dict[InterfaceKey, VlanKey] = {}
        for segment, value in zip(self.segments, values, strict=True):
            default_vlan = {certain[key] for key in segment.keys if key in certain}
            for key in segment.keys:
                recorded = before.get(key)
                vlan = certain.get(key) or (recorded if recorded in default_vlan else value)
                assert vlan is not None  # noqa: S101 - the loop above gives every segment a value
                found[key] = vlan
        return found

    def vlans_without_certain(self, before: VlanMap, *, default: bool) -> dict[InterfaceKey, VlanKey]:
        """The VLAN of each interface if nothing is certain: the one before, or one in the fabric of its tagged parent.

        With `default`, other tagged interfaces are in the default fabric. Other untagged ones have no known VLAN.
        """
        values = [_first(segment.keys, before) for segment in self.segments]
        changed = True
        while changed:
            changed = False
            for number, segment in enumerate(self.segments):
                if values[number] is None:
                    values[number] = _in_fabric_of(segment, (values[other] for other in segment.on))
                    changed = changed or values[number] is not None
        found: dict[InterfaceKey, VlanKey] = {}
        for segment, value in zip(self.segments, values, strict=True):
            if value is None and default and segment.vid > 0:
                default_vlan: VlanKey | None = VlanKey(fabric=DEFAULT_FABRIC_ID, vid=segment.vid)
            else:
                default_vlan = value
            for key in segment.keys:
                vlan = before.get(key, default_vlan)
                if vlan is not None:
                    found[key] = vlan
        return found


def components(found: Sequence[FoundInterface]) -> tuple[Component, ...]:
    """The result does not depend on the order of `found`."""
    keys = sorted(one.interface.key for one in found)
    names = {key[1]: key for key in keys if key[0] == NicKind.NETWORK}
    names |= {key[1]: key for key in keys if key[0] != NicKind.NETWORK}
    bridges = {key[1]: key for key in keys if key[0] == NicKind.BRIDGE}
    shared: list[tuple[InterfaceKey, InterfaceKey]] = []
    tagged: list[tuple[InterfaceKey, InterfaceKey]] = []
    for one in found:
        key, parent = one.interface.key, names.get(one.interface.parent or "")
        bridge = bridges.get(one.bridge or "")
        if bridge is not None:
            shared.append((key, bridge))
        if parent is not None and (one.interface.vid or 0) > 0:
            tagged.append((key, parent))
        elif parent is not None and one.shares_parent_vlan:
            shared.append((key, parent))
    vids = {one.interface.key: one.interface.vid or 0 for one in found}
    groups = _groups(keys, shared)
    whole = _groups(keys, [*shared, *tagged])
    inside = [frozenset(part) for part in whole]
    return tuple(_component([group for group in groups if group[0] in part], vids, tagged) for part in inside)


def _component(
    groups: Sequence[tuple[InterfaceKey, ...]],
    vids: Mapping[InterfaceKey, int],
    tagged: Iterable[tuple[InterfaceKey, InterfaceKey]],
) -> Component:
    number = {key: index for index, group in enumerate(groups) for key in group}
    on: list[set[int]] = [set() for _ in groups]
    for child, parent in tagged:
        if child in number and number[child] != number[parent]:
            on[number[child]].add(number[parent])
    return Component(
        segments=tuple(
            Segment(
                keys=group,
                vid=min((vids[key] for key in group if vids[key]), default=0),
                on=tuple(sorted(on[index])),
            )
            for index, group in enumerate(groups)
        )
    )


def _groups(
    keys: Iterable[InterfaceKey], pairs: Iterable[tuple[InterfaceKey, InterfaceKey]]
) -> list[tuple[InterfaceKey, ...]]:
    """Groups of connected keys, sorted."""
    group_of = {key: {key} for key in keys}
    for one, other in pairs:
        if group_of[one] is not group_of[other]:
            group_of[one] |= group_of[other]
            for key in group_of[other]:
                group_of[key] = group_of[one]
    return sorted({tuple(sorted(group)) for group in group_of.values()})


def _adjacent(segments: Sequence[Segment]) -> list[list[int]]:
    near: list[set[int]] = [set(segment.on) for segment in segments]
    for number, segment in enumerate(segments):
        for other in segment.on:
            near[other].add(number)
    return [sorted(numbers) for numbers in near]


def _in_fabric_of(segment: Segment, adjacent: Iterable[VlanKey | None]) -> VlanKey | None:
    fabric = next((vlan.fabric for vlan in adjacent if vlan is not None), None)
    return None if fabric is None else VlanKey(fabric=fabric, vid=segment.vid)


def _first(keys: Iterable[InterfaceKey], vlans: VlanMap) -> VlanKey | None:
    return next((vlans[key] for key in keys if key in vlans), None)
