"""Fields that several resources of networks take."""

from __future__ import annotations

from regiond.api.fields import Field, Text

LONGEST_NAME = 256
NAME = Text(longest=LONGEST_NAME, blank=None)  # an empty name is as good as none
DESCRIPTION = Field(name="description", kind=Text(longest=4096), doc="What it is for.")
SPACE = Field(
    name="space", kind=Text(longest=LONGEST_NAME), doc="A space, by id or name. Empty or `undefined`: in none."
)
