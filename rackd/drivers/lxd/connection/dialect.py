"""Names that differ between LXD and Incus, which came from it. Nothing else in the driver names a product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.words import product_commands
from common.words.product_commands import ProductCommands


@frozen(kw_only=True)
class Dialect:
    """One product's words."""

    commands: ProductCommands
    needed: str  # the releases that the driver can use
    header_prefix: str  # of the headers that describe an uploaded image
    shares_screens: bool  # all channels of a screen are WebSockets of one console
    guards_volumes: bool  # a volume belongs to one instance, unless it says that it is shared
    waits_for_buses: bool  # a NIC is refused until the firmware of a started VM knows its PCI buses

    @property
    def product(self) -> str:
        """Its name for people."""
        return self.commands.product

    @property
    def client(self) -> str:
        """The command of its administrators."""
        return self.commands.client

    @property
    def takes_passwords(self) -> bool:
        return self.commands.takes_passwords

    @property
    def how_to_trust(self) -> str:
        """The command that prints a trust token."""
        return self.commands.how_to_trust


LXD = Dialect(
    commands=product_commands.LXD, needed="LXD 4.16 or newer, or Incus", header_prefix="X-LXD-",
    shares_screens=False, guards_volumes=False, waits_for_buses=False,
)  # fmt: skip
INCUS = Dialect(
    commands=product_commands.INCUS, needed="Incus 6.0 or newer", header_prefix="X-Incus-",
    shares_screens=True, guards_volumes=True, waits_for_buses=True,
)  # fmt: skip

_SERVER_NAMES = {"lxd": LXD, "incus": INCUS}
IDENTITIES = "access_management_tls"  # an API extension: certificates with permissions by groups
_PRODUCTS = {one.product: one for one in (LXD, INCUS)}
_ONLY_INCUS = "restrict_dev_incus"  # an API extension


def dialect_of_product(product: str) -> Dialect:
    """Returns the dialect for messages about a server that has not answered yet; empty: not known."""
    return _PRODUCTS.get(product, LXD)


def dialect_of(server: Mapping[str, Any]) -> Dialect:
    """Returns the dialect of a server by its `/1.0`, also of one that does not trust the client yet.

    Before that, Incus 7 lists no API extensions at all, and no other product does so.
    """
    named = _SERVER_NAMES.get(str((server.get("environment") or {}).get("server", "")).lower())
    if named is not None:
        return named
    extensions = server.get("api_extensions")
    return INCUS if extensions is None or _ONLY_INCUS in extensions else LXD
