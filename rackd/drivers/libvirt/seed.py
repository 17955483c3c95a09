"""What cloud-init finds in a guest whose addresses no DHCP server hands out: a small NoCloud image. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO

from pycdlib import PyCdlib

from common.values import GuestSpec

LABEL = "cidata"  # by which cloud-init knows the image
_SECTOR_BYTES = 2048


def files(spec: GuestSpec, network_config: str) -> Mapping[str, bytes]:
    """The files of the image. JSON is YAML; cloud-init wants a `user-data`, and takes an empty one."""
    about = {"instance-id": str(spec.mark.machine_id), "local-hostname": spec.name}
    text = json.dumps(about, indent=2)
    return {"meta-data": text.encode(), "user-data": b"", "network-config": network_config.encode()}


def image(content: Mapping[str, bytes]) -> bytes:
    """An ISO 9660 image with these files, whole sectors. Their names are read by Rock Ridge and by Joliet."""
    made, out = PyCdlib(), BytesIO()
    made.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
    for number, (name, data) in enumerate(content.items()):
        made.add_fp(BytesIO(data), len(data), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    made.write_fp(out)
    made.close()
    return out.getvalue().ljust(-(-out.tell() // _SECTOR_BYTES) * _SECTOR_BYTES, b"\0")
