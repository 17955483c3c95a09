"""Racks and regions in the form of MAAS's rack and region controllers."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    NUMBER,
    OBJECT,
    STR,
    Serializer,
    array,
    constant,
    fields_of,
    key,
    nullable,
    serializer,
)
from regiond.api.serializers.groups import DOMAIN_JSON, ZONE_JSON
from regiond.api.urls import uri
from regiond.groups.model import DEFAULT_ZONE_ID, Zone
from regiond.networks.model import DOMAIN_NAME
from regiond.racks.model import RackView, RegionView

_RACK_TYPE, _REGION_TYPE = 2, 3  # MAAS's numbers; a machine is 0
_DEPLOYED = 6


@frozen(kw_only=True)
class Controller:
    """A rack or region process. `running`: the rack is connected, or the region's heartbeat is recent."""

    system_id: str
    hostname: str
    collection: str  # of its path, such as `rackcontrollers`
    node_type: int
    node_type_name: str
    running: bool
    release: str
    service: str
    zone: Zone


@frozen(kw_only=True)
class _Service:
    name: str
    running: bool


def rack_controller(rack: RackView, zones: Iterable[Zone]) -> Controller:
    """Returns the rack as a controller in the first zone that it serves; in the default zone if it serves all."""
    by_name = {zone.name: zone for zone in zones}
    served = [by_name[name] for name in rack.zones or () if name in by_name]
    return Controller(
        system_id=str(rack.id),
        hostname=rack.name,
        collection="rackcontrollers",
        node_type=_RACK_TYPE,
        node_type_name="Rack controller",
        running=rack.connected,
        release=rack.release or "",
        service="rackd",
        zone=served[0] if served else _default(by_name.values()),
    )


def region_controller(region: RegionView, zones: Iterable[Zone]) -> Controller:
    return Controller(
        system_id=str(region.id),
        hostname=region.hostname,
        collection="regioncontrollers",
        node_type=_REGION_TYPE,
        node_type_name="Region controller",
        running=region.running,
        release=region.release or "",
        service="regiond",
        zone=_default(zones),
    )


def _default(zones: Iterable[Zone]) -> Zone:
    return next(zone for zone in zones if zone.id == DEFAULT_ZONE_ID)


_SERVICE: Serializer[_Service] = serializer(
    "ControllerService",
    key("name", STR, lambda service: service.name),
    key("status", STR, lambda service: "running" if service.running else "dead"),
    constant("status_info", STR, ""),
)
CONTROLLER_JSON: Serializer[Controller] = serializer(
    "Controller",
    key("resource_uri", STR, lambda one: uri(one.collection, one.system_id)),
    *fields_of(Controller, "system_id hostname"),
    key("fqdn", STR, lambda one: f"{one.hostname}.{DOMAIN_NAME}"),
    constant("domain", DOMAIN_JSON, None),
    *fields_of(Controller, "zone node_type node_type_name", zone=ZONE_JSON),
    constant("status", INT, _DEPLOYED),
    constant("status_name", STR, "Deployed"),
    constant("status_message", STR, ""),
    constant("status_action", STR, ""),
    key("power_state", STR, lambda one: "on" if one.running else "unknown"),
    constant("power_type", STR, "manual"),
    key("version", STR, lambda one: one.release),
    key(
        "service_set",
        array(_SERVICE),
        lambda one: [_Service(name=one.service, running=one.running)],
    ),
    # Innkeeper does not inspect the computers of its daemons.
    constant("architecture", STR, ""),
    constant("cpu_count", INT, 0),
    constant("cpu_speed", INT, 0),
    constant("memory", INT, 0),
    constant("storage", NUMBER, 0.0),
    constant("description", STR, ""),
    constant("osystem", STR, ""),
    constant("distro_series", STR, ""),
    constant("hardware_uuid", nullable(STR), None),
    constant("hardware_info", OBJECT, {}),
    constant("swap_size", nullable(INT), None),
    constant("interface_set", array(OBJECT), ()),
    constant("ip_addresses", array(STR), ()),
    constant("tag_names", array(STR), ()),
    constant("owner", nullable(STR), None),
    constant("locked", BOOL, value=False),
)
