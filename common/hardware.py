"""PCI and USB devices of a server."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen(kw_only=True)
class HardwareDevice:
    """A PCI or USB device. Unknown fields are empty or None.

    `virtual_functions` is the maximum number of SR-IOV functions, `virtual_functions_made` the number that exist;
    functions are not listed as devices.
    """

    pci_address: str | None = None  # such as `0000:3b:00.0`
    usb_address: str | None = None  # such as `2:7`: bus and device
    vendor: str = ""
    vendor_id: str = ""  # PCI or USB id, four hexadecimal digits
    product: str = ""
    product_id: str = ""
    driver: str = ""  # kernel module
    numa_node: int | None = None
    virtual_functions: int = field(default=0, validator=ge(0))
    virtual_functions_made: int = field(default=0, validator=ge(0))


@frozen(kw_only=True)
class NetworkPort:
    """A network interface of the server. `speed_mbps` is None without a link or if unknown (a virtual device)."""

    name: str
    mac_address: str | None = None
    link: bool = False
    speed_mbps: int | None = None


@frozen(kw_only=True)
class NetworkDevice(HardwareDevice):
    """`ports` is empty while a passthrough driver has the device: the kernel shows no interface then."""

    ports: tuple[NetworkPort, ...] = ()


@frozen(kw_only=True)
class Gpu(HardwareDevice):
    """A graphics processor."""
