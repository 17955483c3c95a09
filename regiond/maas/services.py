"""The services of the room, as its requests and pages call them."""

from __future__ import annotations

from attrs import frozen

from regiond.maas.bridge.power import MaasPower
from regiond.maas.bridge.registrations import Registrations
from regiond.maas.bridge.servers import MaasServers
from regiond.maas.imports.service import MaasImports
from regiond.maas.parallel.handover import Handover
from regiond.maas.parallel.watch import Comparisons


@frozen(kw_only=True)
class MaasServices:
    """They are `services.of(MaasServices)` of a request."""

    maas_imports: MaasImports
    maas_comparisons: Comparisons
    maas_handover: Handover
    maas_servers: MaasServers
    maas_registrations: Registrations
    maas_power: MaasPower
