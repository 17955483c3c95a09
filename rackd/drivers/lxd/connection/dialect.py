"""Names that differ between LXD and Incus, which came from it. Nothing else in the driver names a product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class Dialect:
    """One product's words."""

    product: str  # for people
    client: str  # the command of its administrators
    header_prefix: str  # of the headers that describe an uploaded image
    shares_screens: bool  # all channels of a screen are WebSockets of one console
    guards_volumes: bool  # a volume belongs to one instance, unless it says that it is shared
    takes_passwords: bool  # a trust password instead of a token

    @property
    def how_to_trust(self) -> str:
        """The command that prints a trust token."""
        return f"{self.client} config trust add {'--name ' if self.client == 'lxc' else ''}innkeeper"


LXD = Dialect(
    product="LXD", client="lxc", header_prefix="X-LXD-",
    shares_screens=False, guards_volumes=False, takes_passwords=True,
)  # fmt: skip
INCUS = Dialect(
    product="Incus", client="incus", header_prefix="X-Incus-",
    shares_screens=True, guards_volumes=True, takes_passwords=False,
)  # fmt: skip

_SERVER_NAMES = {"lxd": LXD, "incus": INCUS}
_ONLY_INCUS = "restrict_dev_incus"  # an API extension


def dialect_of(server: Mapping[str, Any]) -> Dialect:
    """Returns the dialect of a server by its `/1.0`, also of one that does not trust the client yet.

    Before that, Incus 7 lists no API extensions at all, and no other product does so.
    """
    named = _SERVER_NAMES.get(str((server.get("environment") or {}).get("server", "")).lower())
    if named is not None:
        return named
    extensions = server.get("api_extensions")
    return INCUS if extensions is None or _ONLY_INCUS in extensions else LXD
