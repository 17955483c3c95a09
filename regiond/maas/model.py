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
from regiond.maas.imports.model import Failure, MaasImport, NewMaasImport, read_document

__all__ = [
    "Failure",
    "MaasImport",
    "MaasServer",
    "MaasServerChange",
    "NewMaasImport",
    "NewMaasServer",
    "PowerAnswer",
    "PowerResult",
    "RegisterRequest",
    "RegistrationPlan",
    "read_document",
]
