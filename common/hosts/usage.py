"""The usage of guests and hosts, as a rack measures it."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

EVERY_S = 10.0  # between two samples
SAMPLES = 360  # of one hour


@frozen(kw_only=True)
class Usage:
    """Usage of a guest or a host in one sample: rates are means since the sample before. None: unknown.

    `cpu_cores` is CPU time in seconds per second: 1.5 is one and a half cores. The others are bytes, `…_rate` in bytes
    per second: read from and written to disks, received and sent by NICs.
    """

    cpu_cores: float | None = None
    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    read_rate: float | None = None
    written_rate: float | None = None
    received_rate: float | None = None
    sent_rate: float | None = None


@frozen(kw_only=True)
class GuestUsage:
    """The newest sample of a running guest.

    `memory_is_reported`: the memory in use is what its system reports, not what it has on the host. `space_share` is
    the used share, from 0 to 1, of the fullest of its file systems; None: unknown.
    """

    name: str
    usage: Usage
    memory_is_reported: bool = False
    space_share: float | None = None


@frozen(kw_only=True)
class HostUsage:
    """The newest sample of a host and the running guests of its project, taken at `at`.

    What a hypervisor does not report about the host itself is the sum of its guests, and is in `summed`.
    """

    host_id: int
    at: datetime
    usage: Usage
    guests: tuple[GuestUsage, ...] = ()
    summed: tuple[str, ...] = ()  # names of attributes of `usage`


@frozen(kw_only=True)
class UsageHistory:
    """The samples of up to an hour, oldest first. `ages_s` are seconds before `at`; None: off, or unknown."""

    at: datetime | None = None  # None: no sample
    ages_s: tuple[float, ...] = ()
    cpu_cores: tuple[float | None, ...] = ()
    memory_used_bytes: tuple[float | None, ...] = ()
    read_rate: tuple[float | None, ...] = ()
    written_rate: tuple[float | None, ...] = ()
    received_rate: tuple[float | None, ...] = ()
    sent_rate: tuple[float | None, ...] = ()


HISTORY_FIELDS = ("cpu_cores", "memory_used_bytes", "read_rate", "written_rate", "received_rate", "sent_rate")
