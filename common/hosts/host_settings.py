"""Settings of a VM host that an administrator chooses, alike in its row, its view and placement."""

from __future__ import annotations

from attrs import fields, frozen

from common.values import Autostart


@frozen(kw_only=True)
class HostLimits:
    """The limits of claims on cores and memory of a host. Each attribute is a column of `vm_host`, of the same name.

    The reserves are never claimed: they are subtracted before the ratios apply.
    """

    cpu_over_commit_ratio: float = 1.0
    memory_over_commit_ratio: float = 1.0
    reserved_cores: int = 0
    reserved_memory_mib: int = 0


@frozen(kw_only=True)
class HostSettings(HostLimits):
    """The limits, and what the machines of a host get that ask for nothing else. Each attribute is a column, too."""

    default_macvlan_mode: str | None = None
    default_network: str = ""  # the interface of NICs without constraints; empty: placement chooses
    autostart: Autostart | None = None  # of its machines; None: the installation's setting


LIMITS = tuple(one.name for one in fields(HostLimits))
SETTINGS = tuple(one.name for one in fields(HostSettings))
