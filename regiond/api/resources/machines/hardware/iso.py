"""`machines/{system_id}/?op=insert_iso` and `op=eject_iso`: the ISO image in the drive of a machine."""

from __future__ import annotations

from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import filled
from regiond.api.resources.machines.hardware.hardware_changes import changing_hardware, in_sentences
from regiond.images.model import MAX_IMAGE_NAME
from regiond.machines.values.boot import IsoToEject, IsoToInsert

_PLAN = in_sentences("IsoPlan")
OF_ONE = (
    changing_hardware(
        _PLAN,
        "insert_iso",
        filled(IsoToInsert),
        title="Insert an ISO image into a machine",
        doc="The machine's host gets a copy of the image, unless it has one. A machine that runs has the image at "
        "once if its hypervisor can do that, else at its next start: next_iso shows that. It boots from the image "
        "only if its boot order says so (op=set_boot). 409 for hypervisors without ISO images, such as LXD 5.0.",
        fields=(
            Field(
                "image",
                Text(max_length=MAX_IMAGE_NAME),
                "Name of an image of the type iso.",
                recorded=True,
                required=True,
                example="custom/installer",
            ),
        ),
    ),
    changing_hardware(
        _PLAN,
        "eject_iso",
        filled(IsoToEject),
        title="Eject the ISO image of a machine",
        doc="Also while its system uses it. The host keeps its copy of the image for other machines.",
    ),
)
