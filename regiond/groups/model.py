"""Zones and resource pools: values and rules for names, descriptions and strategies."""

from __future__ import annotations

from typing import get_args

from attrs import asdict, fields, frozen

from common.errors import InvalidRequest
from common.words.phrases import number_of
from regiond.placement.requirements import Strategy
from regiond.requests.identifiers import MAX_NAME, NUL_NOT_ALLOWED, is_name
from regiond.requests.validation_messages import REQUIRED, no_choice

DEFAULT_ZONE_ID = 1
DEFAULT_POOL_ID = 0


@frozen(kw_only=True)
class Zone:
    id: int
    name: str
    description: str


@frozen(kw_only=True)
class ResourcePool:
    """`strategy` places the machines of the pool: `spread` or `pack`; None: the setting of the region."""

    id: int
    name: str
    description: str
    strategy: Strategy | None = None


@frozen(kw_only=True)
class PoolChange:
    """The fields of a pool that a request gives; None: not given. An empty strategy is the setting of the region."""

    name: str | None = None
    description: str | None = None
    strategy: str | None = None

    def columns(self) -> dict[str, str | None]:
        """Returns the given fields as columns. An empty text is null where a pool may have None."""
        nullable = {one.name for one in fields(ResourcePool) if one.default is None}
        given = asdict(self, filter=lambda _, value: value is not None)
        return {name: None if name in nullable and not value else value for name, value in given.items()}


@frozen(kw_only=True)
class GroupUsers:
    """The numbers of machines, hosts, clusters and devices in a zone or resource pool, and of the zone's racks."""

    machines: int
    hosts: int
    clusters: int
    devices: int = 0  # that are on no machine; in a zone only
    racks: int = 0  # that name the zone; a rack that serves all zones is not counted

    def __bool__(self) -> bool:
        return bool(self.machines or self.hosts or self.clusters or self.devices or self.racks)

    def __str__(self) -> str:
        """Such as `3 machines and 1 VM host`; omits what there is none of."""
        counts = (
            (self.machines, "machine"),
            (self.hosts, "VM host"),
            (self.clusters, "VM cluster"),
            (self.devices, "device"),
            (self.racks, "rack"),
        )
        words = [number_of(count, name) for count, name in counts if count]
        return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def check_group(name: str | None, description: str | None) -> None:
    """Raises InvalidRequest with every invalid field. None: the field was not given.

    A name has 1 to 256 characters: a letter, digit or underscore first, then also spaces and hyphens.
    """
    invalid: dict[str, list[str]] = {}
    if name is not None and (message := _invalid_name(name)):
        invalid["name"] = [message]
    if description is not None and "\0" in description:
        invalid["description"] = [NUL_NOT_ALLOWED]
    if invalid:
        raise InvalidRequest.of(invalid)


def check_strategy(strategy: str | None) -> None:
    """Raises InvalidRequest. Empty: the setting of the region; None: the field was not given."""
    if strategy and strategy not in get_args(Strategy):
        raise InvalidRequest.of({"strategy": [no_choice(strategy, get_args(Strategy))]})


def _invalid_name(name: str) -> str | None:
    if not name:
        return REQUIRED
    if len(name) > MAX_NAME:
        return f"At most {MAX_NAME} characters are allowed; this name has {len(name)}."
    if not is_name(name):
        return "Only letters, digits, underscores, spaces and hyphens are allowed; the first is no space or hyphen."
    return None
