"""Answers of the image catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import NotFound
from regiond.images.model import ArchitectureEntry
from tests.unit.answers.shared import DELETION_PLAN
from tests.unit.support.api_samples import IMAGE

ANSWERS: Mapping[str, Any] = {
    "images.list": (IMAGE,),
    "images.read": lambda image_id: IMAGE if image_id == IMAGE.id else NotFound("There is no image."),
    "images.architecture_entries": (ArchitectureEntry(id=1, architecture="amd64"),),
    "images.with_copies": tuple,
    "images.default_name": ("ubuntu", "noble"),
    "images.set_default": "ubuntu/noble",
    "host_images.add": IMAGE,
    "image_uploads.declare": IMAGE,
    "image_imports.start": IMAGE,
    "image_uploads.append": IMAGE,
    "image_uploads.delete": DELETION_PLAN,
}
