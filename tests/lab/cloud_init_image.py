"""Reads the files that cloud-init finds in a guest's seed image."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from pycdlib import PyCdlib


def cloud_init_files(image: Path) -> dict[str, Any]:
    """Returns `meta-data` and `network-config`, by their Joliet names."""
    opened = PyCdlib()
    found: dict[str, Any] = {}
    with image.open("rb") as content:
        opened.open_fp(content)
        for name in ("meta-data", "network-config"):
            opened.get_file_from_iso_fp(out := BytesIO(), joliet_path=f"/{name}")
            found[name] = json.loads(out.getvalue())
    return found
