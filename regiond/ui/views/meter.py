"""Meters: the parts of an amount, as widths and as text. Pure."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from common.hosts.capacity import ResourceCapacity
from regiond.ui.texts import text
from regiond.ui.views import formats


@frozen(kw_only=True)
class Part:
    """`kind` is ours, others, over or ask; `start` and `width` are per cent of the bar, as SVG attributes."""

    kind: str
    start: str
    width: str
    is_joined: bool  # another part ends where this one begins


@frozen(kw_only=True)
class Meter:
    """The part of `whole` that is allocated, printed in `unit`. `over` is what is claimed beyond it."""

    label: str
    unit: str
    used: str
    whole: str
    ours: str
    others: str
    free: str
    over: str | None
    ours_share: str
    others_share: str
    free_share: str
    parts: tuple[Part, ...]

    @property
    def description(self) -> str:
        """Returns the words for those who do not see the bar."""
        label = text("{label} in {unit}", label=self.label, unit=self.unit) if self.unit else self.label
        if self.over:
            return text(
                "{label}: {used} of {whole} allocated; ours {ours}, others {others}, free {free}, {over} over",
                label=label,
                **self._amounts(),
                over=self.over,
            )
        return text(
            "{label}: {used} of {whole} allocated; ours {ours}, others {others}, free {free}",
            label=label,
            **self._amounts(),
        )

    def _amounts(self) -> dict[str, str]:
        return {
            "used": self.used, "whole": self.whole, "ours": self.ours, "others": self.others, "free": self.free,
        }  # fmt: skip


@frozen(kw_only=True)
class AskedMeter:
    """A part of `whole` that a request would take, between the allocated part and what would be `left`."""

    label: str
    unit: str
    asked: str
    left: str
    whole: str
    description: str
    parts: tuple[Part, ...]


def asked_meter(
    label: str, amount: ResourceCapacity, asked: int, *, unit: str, printed: Callable[[int], str] = formats.number
) -> AskedMeter:
    """A meter of what Innkeeper may hand out, before and after a request that takes `asked`."""
    used = amount.claimed + amount.elsewhere
    left = max(0, amount.claimable - used - asked)
    over = max(0, used + asked - amount.claimable)
    words = text(
        "{label}: {used} allocated, {asked} asked, {left} left of {whole} {unit}",
        label=label,
        used=printed(used),
        asked=printed(asked),
        left=printed(left),
        whole=printed(amount.claimable),
        unit=unit,
    )
    return AskedMeter(
        label=label,
        unit=unit,
        asked=printed(asked),
        left=printed(left),
        whole=printed(amount.claimable),
        description=words,
        parts=_parts(
            ("ours", amount.claimed), ("others", amount.elsewhere), ("ask", asked), whole=amount.claimable, over=over
        ),
    )


def meter_of(
    label: str, amount: ResourceCapacity, *, unit: str = "", text: Callable[[int], str] = formats.number
) -> Meter:
    """A meter of what Innkeeper may hand out, `amount.claimable`.

    Of several hosts, some can be free although others are claimed beyond what they have.
    """
    used = amount.claimed + amount.elsewhere
    free = max(amount.free, amount.claimable - used, 0)
    over = max(0, used + free - amount.claimable)
    return Meter(
        label=label,
        unit=unit,
        used=text(used),
        whole=text(amount.claimable),
        ours=text(amount.claimed),
        others=text(amount.elsewhere),
        free=text(free),
        over=text(over) if over else None,
        ours_share=formats.share(amount.claimed, amount.claimable),
        others_share=formats.share(amount.elsewhere, amount.claimable),
        free_share=formats.share(free, amount.claimable),
        parts=_parts(
            ("ours", amount.claimed),
            ("others", amount.elsewhere),
            whole=used + free if free else amount.claimable,
            over=0 if free else over,
        ),
    )


def _parts(*amounts: tuple[str, int], whole: int, over: int) -> tuple[Part, ...]:
    """The bar never overflows: what is over shares its end."""
    scale = max(whole, sum(amount for _, amount in amounts))
    if not scale:
        return ()
    parts: list[Part] = []
    start = 0.0
    limit = 100 * (scale - over) / scale if over else 100.0
    for kind, amount in amounts:
        width = min(100 * amount / scale, max(0.0, limit - start))
        if width > 0:
            parts.append(_part(kind, start, width, is_joined=bool(parts)))
            start += width
    if over:
        parts.append(_part("over", limit, 100 - limit, is_joined=bool(parts)))
    return tuple(parts)


def _part(kind: str, start: float, width: float, *, is_joined: bool) -> Part:
    return Part(kind=kind, start=f"{start:.4g}%", width=f"{width:.4g}%", is_joined=is_joined)


def memory_meter(label: str, mib: ResourceCapacity) -> Meter:
    """A meter of memory, in the unit that fits the whole."""
    return _scaled(label, mib, formats.memory_scale)


def storage_meter(label: str, size_bytes: ResourceCapacity) -> Meter:
    """A meter of storage, in the unit that fits the whole."""
    return _scaled(label, size_bytes, formats.storage_scale)


def _scaled(label: str, amount: ResourceCapacity, scale: formats.Scale) -> Meter:
    unit, text = scale(max(amount.claimable, amount.claimed + amount.elsewhere))
    return meter_of(label, amount, unit=unit, text=text)
