"""Fields that the network resources share."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Call
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.placement.requirements import NO_SPACE

LONGEST_NAME = 256
NAME = Text(max_length=LONGEST_NAME, blank=None)  # an empty name counts as absent
DESCRIPTION = Field("description", Text(max_length=4096), "Description.")
SPACE = Field(
    "space", Text(max_length=LONGEST_NAME), "Id or name of a space. Empty or undefined: no space.", recorded=True
)


def wanted_space(call: Call) -> str | None:
    """Returns the field `SPACE` in the form that changes of VLANs and subnets use: empty for no space."""
    space: str | None = call.values["space"]
    return "" if space == NO_SPACE else space
