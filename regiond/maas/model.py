"""The values of the room that other rooms use."""

from __future__ import annotations

from regiond.maas.bridge.model import (
    MaasServer,
    MaasServerChange,
    NewMaasServer,
    PowerAnswer,
    PowerResult,
    RegisterRequest,
    RegistrationPlan,
)

__all__ = [
    "MaasServer",
    "MaasServerChange",
    "NewMaasServer",
    "PowerAnswer",
    "PowerResult",
    "RegisterRequest",
    "RegistrationPlan",
]
