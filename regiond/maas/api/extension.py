"""The requests about MAAS, as the API takes them in."""

from __future__ import annotations

from regiond.api.declaration.extension import ApiExtension
from regiond.maas.api import handover, imports, power, registration, servers

EXTENSION = ApiExtension(
    resources=(*imports.RESOURCES, *servers.RESOURCES),
    programs=power.RESOURCES,
    aliases=power.WITH_SLASH,
    of_host=(handover.TAKE_OVER, handover.GIVE_BACK),
    of_machine=(registration.REGISTER, registration.UNREGISTER),
)
