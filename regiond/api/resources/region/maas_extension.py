"""The requests about MAAS, as the API takes them in."""

from __future__ import annotations

from regiond.api.declaration.extension import ApiExtension
from regiond.api.resources.hosts import maas_handover
from regiond.api.resources.machines import maas
from regiond.api.resources.region import maas_imports, maas_power, maas_servers

EXTENSION = ApiExtension(
    resources=(*maas_imports.RESOURCES, *maas_servers.RESOURCES),
    programs=maas_power.RESOURCES,
    aliases=maas_power.WITH_SLASH,
    of_host=(maas_handover.TAKE_OVER, maas_handover.GIVE_BACK),
    of_machine=(maas.REGISTER, maas.UNREGISTER),
)
