"""The counters that a hypervisor keeps of the resources its guests and its host use."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class GuestCounters:
    """The counters of a running guest. None: the hypervisor does not report it.

    Counters grow from the start of the guest on, and begin anew when it starts again. `cpu_ns` is the time of all its
    virtual cores together. `memory_used_bytes` is what the guest's system reports, without its caches; if it reports
    nothing, what the guest has on the host. `memory_is_reported` tells the two apart. `space_share` is the used share,
    from 0 to 1, of the fullest of its file systems.
    """

    name: str
    project: str = ""
    cores: int | None = None
    cpu_ns: int | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_is_reported: bool = False
    space_share: float | None = None
    read_bytes: int | None = None  # of all its disks
    written_bytes: int | None = None
    received_bytes: int | None = None  # of all its NICs
    sent_bytes: int | None = None


@frozen(kw_only=True)
class HostCounters:
    """The counters of a host and of its running guests, read at one moment.

    Those of the host itself are None if the hypervisor does not report them. `cpu_ns` is the time that all its cores
    together were busy. `calls` are the round trips to the hypervisor, whose number does not grow with the guests.
    """

    guests: tuple[GuestCounters, ...] = ()
    cores: int | None = None
    cpu_ns: int | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    calls: int = 0
