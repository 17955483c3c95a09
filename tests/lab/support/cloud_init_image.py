"""Reads the files that cloud-init finds in a guest's seed image."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from pycdlib import PyCdlib


def cloud_init_files(image: Path) -> dict[str, Any]:
    """Returns `meta-data` and `network-config`, by their Joliet names."""
    return {name: json.loads(read_seed_file(image, name)) for name in ("meta-data", "network-config")}


def read_seed_file(image: Path, name: str) -> bytes:
    opened, out = PyCdlib(), BytesIO()
    with image.open("rb") as content:
        opened.open_fp(content)
        opened.get_file_from_iso_fp(out, joliet_path=f"/{name}")
    return out.getvalue()
