"""`maas/`: the settings of MAAS that clients read, and the default image, which they set."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import BOOL, INT, NULL, STR, one_of
from regiond.api.replies import Reply, text_reply
from regiond.dns.model import DEFAULT_TTL_S
from regiond.images.model import MAX_IMAGE_NAME
from regiond.requests.caller import Permission

_ELSEWHERE = "The other settings of the region are in its configuration file."
_VALUE = one_of(STR, BOOL, INT, NULL)
_Value = str | bool | int | None
_OWN = ("default_osystem", "default_distro_series", "maas_name")
_SETTABLE = ("default_osystem", "default_distro_series")
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
    osystem, series = await call.services.images.default_name()
    return osystem if name == "default_osystem" else series


async def _set(call: Call) -> Reply:
    name, value = call.values["name"], call.values["value"]
    if name not in _SETTABLE:
        raise InvalidRequest(f"not part of Innkeeper: {name} cannot be set here. {_ELSEWHERE}")
    wanted = {"osystem" if name == "default_osystem" else "series": value}
    await call.services.images.set_default(call.caller, **wanted)
    return text_reply("OK")


MAAS = Resource(
    handler="MaasHandler",
    path="maas/",
    doc=(
        "Settings that clients of MAAS read, and the default image, which they set. The other settings of Innkeeper "
        "are in the configuration file of the region."
    ),
    endpoints=(
        crud.read(
            Result(doc="The value.", type=_VALUE),
            _get,
            op="get_config",
            title="Read a setting of MAAS",
            doc=(
                "default_osystem and default_distro_series are the image of deployments that name none; the series is "
                "empty if there is no default for all architectures. What Innkeeper "
                "does not do, such as a proxy or NTP servers, is off or not set."
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
        Endpoint(
            method="POST",
            op="set_config",
            permission=Permission.ADMIN,
            title="Set the default image",
            doc=(
                "default_distro_series, such as noble, ubuntu/noble or custom/web, and default_osystem, whose series "
                "stays if it has it: the image of deployments that name none. It has to be ready. An image that is "
                "added later does not change it; if it is deleted, such deployments are refused."
            ),
            result=Result(doc="OK (text/plain)."),
            fields=(
                Field(
                    "name",
                    Choice(choices=(*_OWN, *_CONSTANTS)),
                    "Name of the setting: default_distro_series or default_osystem.",
                    recorded=True,
                    required=True,
                    example="default_distro_series",
                ),
                Field(
                    "value",
                    Text(max_length=MAX_IMAGE_NAME),
                    "The new value.",
                    required=True,
                    example="ubuntu/noble",
                ),
            ),
            run=_set,
        ),
    ),
)
