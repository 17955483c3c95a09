"""Fields that the network resources share."""

from __future__ import annotations

from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field

LONGEST_NAME = 256
NAME = Text(max_length=LONGEST_NAME, blank=None)  # an empty name counts as absent
DESCRIPTION = Field(name="description", type=Text(max_length=4096), doc="Description.")
SPACE = Field(
    name="space",
    type=Text(max_length=LONGEST_NAME),
    recorded=True,
    doc="Id or name of a space. Empty or undefined: no space.",
)
