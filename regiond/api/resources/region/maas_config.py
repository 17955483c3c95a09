"""`maas/`: the settings of MAAS that clients read."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Choice
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import BOOL, INT, NULL, STR, one_of
from regiond.dns.model import DEFAULT_TTL_S

_UBUNTU = "ubuntu"
_VALUE = one_of(STR, BOOL, INT, NULL)
_Value = str | bool | int | None
_OWN = ("default_osystem", "default_distro_series", "maas_name")
# Settings of functions that only MAAS has, in the form of functions that are off or not set.
_CONSTANTS: Mapping[str, _Value] = {
    "active_discovery_interval": 0,
    "boot_images_auto_import": False,
    "commissioning_distro_series": "",
    "curtin_verbose": False,
    "default_dns_ttl": DEFAULT_TTL_S,  # as in the zone files
    "default_min_hwe_kernel": "",
    "dns_trusted_acl": None,
    "dnssec_validation": "no",
    "enable_analytics": False,
    "enable_disk_erasing_on_release": False,
    "enable_http_proxy": False,
    "enable_kernel_crash_dump": False,
    "enable_third_party_drivers": False,
    "enlist_commissioning": False,
    "http_proxy": None,
    "kernel_opts": None,
    "network_discovery": "disabled",
    "ntp_server": "",  # the former name of ntp_servers
    "ntp_servers": "",
    "release_notifications": False,
    "remote_syslog": None,
    "upstream_dns": None,
    "use_peer_proxy": False,
    "windows_kms_host": None,
}


async def _get(call: Call) -> _Value:
    name = call.values["name"]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name == "maas_name":
        return "innkeeper"
    osystem, series = await _default_image(call)
    return osystem if name == "default_osystem" else series


async def _default_image(call: Call) -> tuple[str, str]:
    """Returns operating system and series of a deployment without an image; an empty series if it must name one."""
    configured = call.info.default_distro_series.strip()
    if configured:
        osystem, _, series = configured.rpartition("/")
        return osystem or _UBUNTU, series
    names = {
        (one.osystem, one.series)
        for one in await call.services.images.list()
        if one.is_ready and one.host_id is None and not one.is_iso
    }
    return names.pop() if len(names) == 1 else (_UBUNTU, "")


MAAS = Resource(
    handler="MaasHandler",
    path="maas/",
    doc="Settings that clients of MAAS read. Those of Innkeeper are in the configuration file of the region.",
    endpoints=(
        crud.read(
            Result(doc="The value.", type=_VALUE),
            _get,
            op="get_config",
            title="Read a setting of MAAS",
            doc=(
                "default_osystem and default_distro_series are the image of deployments that name none; the series is "
                "empty if there are several images and no default_distro_series in the region's configuration. What "
                "Innkeeper does not do, such as a proxy or NTP servers, is off or not set."
            ),
            fields=(
                Field(
                    "name",
                    Choice(choices=(*_OWN, *_CONSTANTS)),
                    "Name of the setting.",
                    required=True,
                    example="default_osystem",
                ),
            ),
        ),
    ),
)
