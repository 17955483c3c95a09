"""`rackcontrollers/` and `regioncontrollers/`: racks and regions as clients of MAAS read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.errors import NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import TextList
from regiond.api.declaration.fields import Field, Values
from regiond.api.resources.shared.filter_values import checked_filters
from regiond.api.resources.shared.lookups import find_rack
from regiond.api.serializers.controllers import CONTROLLER_JSON, Controller, rack_controller, region_controller
from regiond.api.serializers.groups import DOMAIN_ID
from regiond.api.services import Services
from regiond.networks.model import DOMAIN_NAME
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import no_object

_MANY = TextList()
_FILTERS = (
    Field("id", _MANY, "System id; may be repeated.", default=()),
    Field("hostname", _MANY, "Hostname; may be repeated.", default=()),
    Field("zone", _MANY, "Id or name of the zone; may be repeated.", default=()),
    Field("domain", _MANY, "Name of the domain; may be repeated.", default=()),
    Field("mac_address", _MANY, "MAC address: those of controllers are unknown.", default=()),
    Field("agent_name", _MANY, "Name of an agent: no agent allocates controllers.", default=()),
)
_CONTROLLER = Result(doc="The controller.", type=CONTROLLER_JSON)


async def rack_controllers(services: Services) -> tuple[Controller, ...]:
    """Returns the racks that the caller may see as controllers, by name."""
    zones = await services.groups.zones()
    return tuple(rack_controller(rack, zones) for rack in await services.racks.list(caller=services.caller))


def matching(found: Iterable[Controller], values: Values) -> tuple[Controller, ...]:
    """Returns the controllers that match one value of every filter that has values."""
    wanted = {one.name: values[one.name] for one in _FILTERS if values[one.name]}
    return tuple(one for one in found if all(_values(one, name) & set(given) for name, given in wanted.items()))


def _values(one: Controller, name: str) -> set[str]:
    known = {
        "id": {one.system_id},
        "hostname": {one.hostname},
        "zone": {one.zone.name},
        "domain": {DOMAIN_NAME, str(DOMAIN_ID)},
    }
    return known.get(name, set())


async def find_rack_controller(services: Services, path: Mapping[str, str]) -> Controller:
    rack = await find_rack(services, {"id": path["system_id"]})
    if rack.removed_at is not None:
        raise NotFound(no_object("rack controller", path["system_id"]))
    return rack_controller(rack, await services.groups.zones())


async def _list_racks(call: Call) -> tuple[Controller, ...]:
    return matching(await rack_controllers(call.services), await checked_filters(call.services, call.values))


async def _list_regions(call: Call) -> tuple[Controller, ...]:
    return matching(await _region_controllers(call), await checked_filters(call.services, call.values))


async def _read_region(call: Call) -> Controller:
    text = call.path["system_id"]
    for one in await _region_controllers(call):
        if text in {one.system_id, one.hostname}:
            return one
    raise NotFound(no_object("region controller", text))


async def _region_controllers(call: Call) -> tuple[Controller, ...]:
    zones = await call.services.groups.zones()
    return tuple(region_controller(region, zones) for region in await call.services.racks.regions(call.caller))


RACK_CONTROLLERS = Resource(
    handler="RackControllersHandler",
    path="rackcontrollers/",
    doc="Racks in the form of MAAS's rack controllers; `racks/` has all that is known of them.",
    endpoints=(
        crud.list_of(
            CONTROLLER_JSON,
            _list_racks,
            title="List rack controllers",
            fields=_FILTERS,
            result="The racks, by name.",
        ),
    ),
)
RACK_CONTROLLER = Resource(
    handler="RackControllerHandler",
    path="rackcontrollers/{system_id}/",
    doc="One rack, by its id or name.",
    endpoints=(crud.read_target(_CONTROLLER, find_rack_controller, title="Read a rack controller"),),
)
REGION_CONTROLLERS = Resource(
    handler="RegionControllersHandler",
    path="regioncontrollers/",
    doc="Regions in the form of MAAS's region controllers; `regions/` has all that is known of them.",
    endpoints=(
        crud.list_of(
            CONTROLLER_JSON,
            _list_regions,
            title="List region controllers",
            fields=_FILTERS,
            permission=Permission.ADMIN,
            result="The regions, in the order of their start.",
        ),
    ),
)
REGION_CONTROLLER = Resource(
    handler="RegionControllerHandler",
    path="regioncontrollers/{system_id}/",
    doc="One region, by its id or hostname.",
    endpoints=(crud.read(_CONTROLLER, _read_region, title="Read a region controller", permission=Permission.ADMIN),),
)
RESOURCES = (RACK_CONTROLLERS, RACK_CONTROLLER, REGION_CONTROLLERS, REGION_CONTROLLER)
# Some releases of gomaasclient, and so of Terraform's provider, use this spelling of the path.
RACK_CONTROLLERS_IN_CAPITALS = RACK_CONTROLLERS.also(
    handler=RACK_CONTROLLERS.handler, path="rackControllers/", described=False
)
