"""The values of the room that other rooms use."""

from __future__ import annotations

from regiond.maas.bridge.model import (
    MADE_WITHIN_S,
    MaasServer,
    MaasServerChange,
    NewMaasServer,
    PowerAnswer,
    PowerResult,
    RegisterRequest,
    RegistrationPlan,
)
from regiond.maas.imports.model import Failure, MaasImport, NewMaasImport, SeenPlan, read_document
from regiond.maas.parallel.model import Difference, DifferenceKind, GivenBack, ParallelRun, WatchedHost

__all__ = [
    "MADE_WITHIN_S",
    "Difference",
    "DifferenceKind",
    "Failure",
    "GivenBack",
    "MaasImport",
    "MaasServer",
    "MaasServerChange",
    "NewMaasImport",
    "NewMaasServer",
    "ParallelRun",
    "PowerAnswer",
    "PowerResult",
    "RegisterRequest",
    "RegistrationPlan",
    "SeenPlan",
    "WatchedHost",
    "read_document",
]
