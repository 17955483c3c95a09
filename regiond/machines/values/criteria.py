"""Further filters of machine lists: traits of machines, wanted or excluded."""

from __future__ import annotations

from attrs import asdict, field, frozen


@frozen(kw_only=True)
class Traits:
    """Traits. A machine matches a field if it has one of its values; no machine matches a trait in `unknown`."""

    system_ids: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    mac_addresses: tuple[str, ...] = ()
    agent_names: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()  # names of users
    zones: tuple[str, ...] = ()  # names, as for pools and hosts
    pools: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()  # system ids of hosts
    drivers: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    fabrics: tuple[str, ...] = ()  # ids, as for VLANs and subnets
    fabric_classes: tuple[str, ...] = ()
    vlans: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    power_states: tuple[str, ...] = ()
    osystems: tuple[str, ...] = ()
    distro_series: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        return any(asdict(self).values())


@frozen(kw_only=True)
class MachineCriteria:
    """A machine matches if it has one value of each given trait in `wanted` and no value in `excluded`.

    `not_cores` and `not_memory_mib` are excluded numbers, not limits.
    """

    wanted: Traits = field(factory=Traits)
    excluded: Traits = field(factory=Traits)
    min_cores: int = 0
    min_memory_mib: int = 0
    not_cores: tuple[int, ...] = ()
    not_memory_mib: tuple[int, ...] = ()

    @property
    def given(self) -> bool:
        return self != MachineCriteria()
