"""The protocol of a machine's screen, which the driver of its host determines."""

from __future__ import annotations

from enum import StrEnum

from common.values import DriverType


class ScreenProtocol(StrEnum):
    """The language of a viewer."""

    VNC = "vnc"  # RFB 3.8
    SPICE = "spice"


def protocol_on(driver: str | None) -> ScreenProtocol:
    return ScreenProtocol.SPICE if driver == DriverType.LXD else ScreenProtocol.VNC
