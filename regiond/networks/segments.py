"""Which interfaces of a host carry the same frames, and which carry frames of others in a VLAN tag. Pure.

Interfaces that share their frames are a segment: all of it is on one VLAN. A segment that is tagged on another is in
the same fabric. So what is known of one says something of all that hang together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.values import NicKind
from regiond.networks.findings import Found, Key
from regiond.networks.model import DEFAULT_FABRIC_ID


@frozen(kw_only=True)
class VlanPlace:
    """A VLAN by what makes it one. Fabrics below 0 have to be made: all with one number are one."""

    fabric: int
    vid: int


Places = Mapping[Key, VlanPlace]


@frozen(kw_only=True)
class Segment:
    """`vid` is the tag that its frames have where they are tagged; `on` are the segments that carry them so."""

    keys: tuple[Key, ...]
    vid: int
    on: tuple[int, ...] = ()


@frozen(kw_only=True)
class Component:
    """Segments that hang together, numbered as they are here."""

    segments: tuple[Segment, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Untagged ones first, since VLANs are made of them."""
        ordered = sorted(self.segments, key=lambda segment: (segment.vid > 0, segment.keys))
        return tuple(key for segment in ordered for key in segment.keys)

    def segment_of(self, key: Key) -> Segment:
        return next(segment for segment in self.segments if key in segment.keys)

    def known(self, seeds: Places, before: Places) -> dict[Key, VlanPlace]:
        """Where each is when `seeds`, of which there is one at least, are certain.

        What was learned before stays where it agrees with them, so that looking again changes nothing.
        """
        fabrics = {seeds[key].fabric for key in self.keys if key in seeds}
        values: list[VlanPlace | None] = [_first(segment.keys, seeds) for segment in self.segments]
        near = _neighbours(self.segments)
        for number, segment in enumerate(self.segments):
            was = _first(segment.keys, before)
            if values[number] is None and was is not None and was.fabric in fabrics and was.vid == segment.vid:
                values[number] = was
        while None in values:
            values = [
                value or _beside(segment, (values[other] for other in near[number]))
                for number, (segment, value) in enumerate(zip(self.segments, values, strict=True))
            ]
        found: dict[Key, VlanPlace] = {}
        for segment, value in zip(self.segments, values, strict=True):
            there = {seeds[key] for key in segment.keys if key in seeds}
            for key in segment.keys:
                kept = before.get(key)
                place = seeds.get(key) or (kept if kept in there else value)
                assert place is not None  # noqa: S101 - every segment of a component has got a value above
                found[key] = place
        return found

    def guessed(self, before: Places, *, default: bool) -> dict[Key, VlanPlace]:
        """Where each may be when nothing is certain: where it was, or in the fabric of what it is tagged on.

        By `default` the others that are tagged are in the default fabric; untagged ones are nowhere that is known.
        """
        values = [_first(segment.keys, before) for segment in self.segments]
        changed = True
        while changed:
            changed = False
            for number, segment in enumerate(self.segments):
                if values[number] is None:
                    values[number] = _beside(segment, (values[other] for other in segment.on))
                    changed = changed or values[number] is not None
        found: dict[Key, VlanPlace] = {}
        for segment, value in zip(self.segments, values, strict=True):
            if value is None and default and segment.vid > 0:
                there: VlanPlace | None = VlanPlace(fabric=DEFAULT_FABRIC_ID, vid=segment.vid)
            else:
                there = value
            for key in segment.keys:
                place = before.get(key, there)
                if place is not None:
                    found[key] = place
        return found


def components(found: Sequence[Found]) -> tuple[Component, ...]:
    """In a stable order, whatever that of the interfaces is."""
    keys = sorted(one.interface.key for one in found)
    names = {key[1]: key for key in keys if key[0] == NicKind.NETWORK}
    names |= {key[1]: key for key in keys if key[0] != NicKind.NETWORK}
    bridges = {key[1]: key for key in keys if key[0] == NicKind.BRIDGE}
    shared: list[tuple[Key, Key]] = []
    tagged: list[tuple[Key, Key]] = []
    for one in found:
        key, parent = one.interface.key, names.get(one.interface.parent or "")
        bridge = bridges.get(one.bridge or "")
        if bridge is not None:
            shared.append((key, bridge))
        if parent is not None and (one.interface.vid or 0) > 0:
            tagged.append((key, parent))
        elif parent is not None and one.mixed:
            shared.append((key, parent))
    vids = {one.interface.key: one.interface.vid or 0 for one in found}
    groups = _groups(keys, shared)
    whole = _groups(keys, [*shared, *tagged])
    inside = [frozenset(part) for part in whole]
    return tuple(_component([group for group in groups if group[0] in part], vids, tagged) for part in inside)


def _component(
    groups: Sequence[tuple[Key, ...]], vids: Mapping[Key, int], tagged: Iterable[tuple[Key, Key]]
) -> Component:
    number = {key: place for place, group in enumerate(groups) for key in group}
    on: list[set[int]] = [set() for _ in groups]
    for child, parent in tagged:
        if child in number and number[child] != number[parent]:
            on[number[child]].add(number[parent])
    return Component(
        segments=tuple(
            Segment(
                keys=group,
                vid=min((vids[key] for key in group if vids[key]), default=0),
                on=tuple(sorted(on[place])),
            )
            for place, group in enumerate(groups)
        )
    )


def _groups(keys: Iterable[Key], pairs: Iterable[tuple[Key, Key]]) -> list[tuple[Key, ...]]:
    """Keys that pairs connect, each group and all groups in order."""
    group_of = {key: {key} for key in keys}
    for one, other in pairs:
        if group_of[one] is not group_of[other]:
            group_of[one] |= group_of[other]
            for key in group_of[other]:
                group_of[key] = group_of[one]
    return sorted({tuple(sorted(group)) for group in group_of.values()})


def _neighbours(segments: Sequence[Segment]) -> list[list[int]]:
    near: list[set[int]] = [set(segment.on) for segment in segments]
    for number, segment in enumerate(segments):
        for other in segment.on:
            near[other].add(number)
    return [sorted(numbers) for numbers in near]


def _beside(segment: Segment, neighbours: Iterable[VlanPlace | None]) -> VlanPlace | None:
    fabric = next((place.fabric for place in neighbours if place is not None), None)
    return None if fabric is None else VlanPlace(fabric=fabric, vid=segment.vid)


def _first(keys: Iterable[Key], places: Places) -> VlanPlace | None:
    return next((places[key] for key in keys if key in places), None)
