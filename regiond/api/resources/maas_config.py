"""`maas/`: the few settings of MAAS that clients read before they deploy."""

from __future__ import annotations

from regiond.api import crud
from regiond.api.endpoint import Call, Resource, Result
from regiond.api.field_types import Choice
from regiond.api.fields import Field
from regiond.api.serializer import STR

_UBUNTU = "ubuntu"
_NAMES = ("default_osystem", "default_distro_series", "maas_name")


async def _get(call: Call) -> str:
    if call.values["name"] == "maas_name":
        return call.info.software
    osystem, series = await _default_image(call)
    return osystem if call.values["name"] == "default_osystem" else series


async def _default_image(call: Call) -> tuple[str, str]:
    """Operating system and series of a deployment that names no image; the series is empty if it has to name one."""
    configured = call.info.default_distro_series.strip()
    if configured:
        osystem, _, series = configured.rpartition("/")
        return osystem or _UBUNTU, series
    names = {
        (one.osystem, one.series) for one in await call.services.images.list() if one.is_ready and one.host_id is None
    }
    return names.pop() if len(names) == 1 else (_UBUNTU, "")


MAAS = Resource(
    handler="MaasHandler",
    path="maas/",
    doc="Settings that clients of MAAS read. Those of Innkeeper are in the configuration file of the region.",
    endpoints=(
        crud.read(
            Result(doc="The value.", type=STR),
            _get,
            op="get_config",
            title="Read a setting of MAAS",
            doc=(
                "default_osystem and default_distro_series are the image of deployments that name none; the series is "
                "empty if there are several images and no default_distro_series in the region's configuration."
            ),
            fields=(Field(name="name", type=Choice(choices=_NAMES), required=True, doc="Name of the setting."),),
        ),
    ),
)
