"""Images for deployments, put into a region without an upload."""

from __future__ import annotations

import hashlib
from uuid import uuid4

from tests.deployment.deployment import Deployment
from tests.postgresql.database import execute

CONTENT = bytes(range(256)) * 4096  # 1 MiB: two parts of a transfer
_INSERT = """
    insert into image
        (name, architecture, format, sha256, size_bytes, virtual_size_bytes, received_bytes, state, store_id, filetype)
    values ($1, 'amd64', 'raw', $2, $3, $4, $3, 'ready', $5, $6)
"""


async def add_image(
    innkeeper: Deployment,
    name: str = "custom/test",
    *,
    content: bytes = CONTENT,
    disk_bytes: int | None = None,
    filetype: str = "",
) -> str:
    """Returns the SHA-256 of an image that is ready, raw, for amd64."""
    sha256 = hashlib.sha256(content).hexdigest()
    folder = innkeeper.in_process.settings.state / "images" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256).write_bytes(content)
    await execute(
        innkeeper.region.components.database,
        _INSERT,
        name,
        sha256,
        len(content),
        disk_bytes or len(content),
        uuid4(),
        filetype,
    )
    return sha256
