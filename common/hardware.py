"""Cards of a server, as its hypervisor tells of them. Frozen, keyword-only; they travel as `common/values.py` does."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen(kw_only=True)
class Card:
    """One device on a bus of the server. What the hypervisor does not tell is empty, or None.

    `virtual_functions` is into how many it can be divided (SR-IOV), `virtual_functions_made` into how many it is now;
    those are no cards of their own here.
    """

    pci_address: str | None = None  # as in `0000:3b:00.0`
    usb_address: str | None = None  # as in `2:7`: bus and device
    vendor: str = ""
    vendor_id: str = ""  # of the PCI or USB list, four hexadecimal digits
    product: str = ""
    product_id: str = ""
    driver: str = ""  # of the kernel
    numa_node: int | None = None
    virtual_functions: int = field(default=0, validator=ge(0))
    virtual_functions_made: int = field(default=0, validator=ge(0))


@frozen(kw_only=True)
class NetworkPort:
    """An interface of the server. `speed_mbps` is None without a link, and where nobody knows (a virtual card)."""

    name: str
    mac_address: str | None = None
    link: bool = False
    speed_mbps: int | None = None


@frozen(kw_only=True)
class NetworkCard(Card):
    """`ports` is empty while a driver for passing the card through has it: the system shows no interface then."""

    ports: tuple[NetworkPort, ...] = ()


@frozen(kw_only=True)
class Gpu(Card):
    """A graphics processor."""
