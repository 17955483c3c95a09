"""Builds the NoCloud seed image from which cloud-init configures a guest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO

from pycdlib import PyCdlib

from common.guests.deployment_spec import CloudInitSeed
from common.guests.guest_spec import GuestSpec

LABEL = "cidata"  # cloud-init finds the image by this label
_SECTOR_BYTES = 2048


def files(spec: GuestSpec, network_config: str) -> Mapping[str, bytes]:
    """Returns the files that configure the static addresses of a guest without a deployment.

    JSON is valid YAML; cloud-init requires a `user-data`, which may be empty.
    """
    about = {"instance-id": str(spec.marker.machine_id), "local-hostname": spec.name}
    text = json.dumps(about, indent=2)
    return {"meta-data": text.encode(), "user-data": b"", "network-config": network_config.encode()}


def deployment_files(seed: CloudInitSeed) -> Mapping[str, bytes]:
    """Returns the files of a deployment."""
    return {
        "meta-data": seed.meta_data.encode(),
        "user-data": seed.user_data,
        "network-config": seed.network_config.encode(),
    }


def image(content: Mapping[str, bytes]) -> bytes:
    """Returns an ISO 9660 image of these files in whole sectors, with Rock Ridge and Joliet names."""
    iso, out = PyCdlib(), BytesIO()
    iso.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
    for number, (name, data) in enumerate(content.items()):
        iso.add_fp(BytesIO(data), len(data), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    iso.write_fp(out)
    iso.close()
    return out.getvalue().ljust(-(-out.tell() // _SECTOR_BYTES) * _SECTOR_BYTES, b"\0")
