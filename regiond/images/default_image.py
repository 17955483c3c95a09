"""The default image: which one it is, and what changes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from common.errors import InvalidRequest
from regiond.images.model import PREFERRED, Image, full_name
from regiond.requests.validation_messages import no_object

CHOSEN = ""  # the architecture of the name that an administrator has chosen


@frozen(kw_only=True)
class DefaultImage:
    """The names from which the image of deployments that name none follows.

    `recorded` has names by architecture: the choice of an administrator, and what was recorded when the first image was
    ready. `configured` is `default_distro_series` of the configuration file: it holds until an administrator chooses.
    """

    recorded: Mapping[str, str]
    configured: str = ""

    def name_for(self, architecture: str) -> str:
        """Returns the name; empty if there is none, and the only image is taken."""
        return self.recorded.get(CHOSEN) or self.configured.strip() or self.recorded.get(architecture, "")

    def shown(self, images: Iterable[Image]) -> tuple[str, str]:
        """Returns osystem and series; an empty series if no name is the default for all architectures."""
        if name := self.recorded.get(CHOSEN) or self.configured.strip():
            osystem, _, series = name.rpartition("/")
            return osystem or PREFERRED, series
        usable = [image for image in images if image.is_ready and image.host_id is None and not image.is_iso]
        found = set(self.recorded.values()) | {one.name for one in usable if one.architecture not in self.recorded}
        osystem, _, series = found.pop().partition("/") if len(found) == 1 else (PREFERRED, "", "")
        return osystem, series


def with_series(images: Iterable[Image], osystem: str, series: str) -> str:
    """Returns the name of the image with this series: that of `osystem`, if it has one. `series` may have an osystem.

    Raises InvalidRequest for the field `value`, with the images to choose from.
    """
    names = _names(images)
    wanted = series.strip()
    for name in (wanted, f"{osystem}/{wanted}", f"{PREFERRED}/{wanted}", full_name(wanted)):
        if name in names:
            return name
    found = [name for name in names if name.partition("/")[2] == wanted]
    if len(found) == 1:
        return found[0]
    raise InvalidRequest.of({"value": [no_object("image", wanted, names)]})


def with_osystem(images: Iterable[Image], osystem: str, series: str) -> str:
    """Returns the name of the image of this osystem: that with `series`, else its only one.

    Raises InvalidRequest for the field `value`, with the images to choose from.
    """
    wanted = osystem.strip()
    names = _names(images)
    of_osystem = [name for name in names if name.partition("/")[0] == wanted]
    if f"{wanted}/{series}" in of_osystem:
        return f"{wanted}/{series}"
    if len(of_osystem) == 1:
        return of_osystem[0]
    if of_osystem:
        choices = ", ".join(of_osystem)
        raise InvalidRequest.of(
            {"value": [f"{wanted} has several images: set default_distro_series to one of {choices}."]}
        )
    raise InvalidRequest.of(
        {"value": [no_object("operating system", wanted, sorted({name.partition("/")[0] for name in names}))]}
    )


def _names(images: Iterable[Image]) -> list[str]:
    return sorted({image.name for image in images if image.is_ready and not image.is_iso})
