"""The reasons why no rack reaches a host: disconnected racks, racks that do not serve its zone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.words.phrases import first_of
from regiond.racks.reach_model import DisconnectedRack

RACKS_SHOWN = 10  # racks that a message names


@frozen(kw_only=True)
class ZoneCoverage:
    """The racks and the zone of a host: `served` if one serves it; `others` do not, each with its zones."""

    host: str  # its name
    zone: str
    served: bool
    others: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __str__(self) -> str:
        """Returns the problem in sentences; empty if every rack serves the zone."""
        if not self.others:
            return ""
        shown = first_of([f"{name} ({zones_text(zones)})" for name, zones in self.others], RACKS_SHOWN)
        if self.served:
            return f"These racks do not serve its zone {self.zone}: {shown}."
        return (
            f"No rack serves zone {self.zone}; racks: {shown}. To have one serve it: "
            "innkeeper rack update RACK zones=ZONE,…"
        )


def zones_text(zones: Sequence[str]) -> str:
    """Returns the zones as text, such as `zones x, y`."""
    return f"zone{'' if len(zones) == 1 else 's'} {', '.join(zones)}" if zones else "no zone"


def unreachable_message(
    host_id: int,
    linked: int,
    disconnected: Iterable[DisconnectedRack],
    failed: Mapping[str, str],
    coverage: ZoneCoverage | None = None,
) -> str:
    """Explains why no rack reaches a host and what helps.

    `linked` is the number of racks connected to this region, `failed` maps a rack's name to its error.
    """
    host = f"host {host_id if coverage is None else coverage.host}"
    if coverage is not None and coverage.others and not coverage.served:
        return f"{host}: {coverage}"
    reached_before = [
        f"{rack.name}{f' (last seen {rack.seen_at:%Y-%m-%d %H:%M:%S} UTC)' if rack.seen_at else ''}"
        for rack in disconnected
    ]
    zones = [str(coverage)] if coverage is not None and coverage.others else []
    if not reached_before:
        connected = "1 rack is" if linked == 1 else f"{linked} racks are"
        sentences = [f"No connected rack reaches {host} ({connected} connected to this region).", *zones]
        return " ".join([*sentences, "Start a rack or join a new one: innkeeper rack token"])
    sentences = [f"No connected rack reaches {host}. Disconnected racks that reached it: {', '.join(reached_before)}."]
    sentences += [f"Rack {name}: {message}" for name, message in failed.items()]
    return " ".join([*sentences, *zones])
