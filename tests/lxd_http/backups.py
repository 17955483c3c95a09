"""Backups of instances and custom volumes: made, listed, sent, deleted, and imported as custom volumes."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable

from tests.lxd_http import operations
from tests.lxd_http.messages import Answer, NotModelled, Refused, Request, sync
from tests.lxd_http.state import Backup, Disk, Lxd, Volume, now

_RANGE = re.compile(r"bytes=(?P<first>\d+)-(?P<last>\d+)")


def make_of_instance(lxd: Lxd, request: Request, name: str) -> Answer:
    found = lxd.instance(name, request.project)
    files = {"backup/virtual-machine/backup.yaml": b"{}", "backup/virtual-machine.img": _content(found.root)}
    return _make(lxd, request, ("instances", name), files, "Backing up instance")


def make_of_volume(lxd: Lxd, request: Request, pool: str, name: str) -> Answer:
    files = {"backup/volume.img": _content(_volume(lxd, request, pool, name).disk)}
    return _make(lxd, request, ("volumes", pool, name), files, "Creating custom volume backup")


def of_instance(act: Callable[..., Answer]) -> Callable[..., Answer]:
    """The handler of one backup of an instance."""

    def handle(lxd: Lxd, request: Request, name: str, backup: str) -> Answer:
        lxd.instance(name, request.project)
        return act(lxd, request, (request.project, "instances", name, backup))

    return handle


def of_volume(act: Callable[..., Answer]) -> Callable[..., Answer]:
    """The handler of one backup of a custom volume."""

    def handle(lxd: Lxd, request: Request, pool: str, name: str, backup: str) -> Answer:
        _volume(lxd, request, pool, name)
        return act(lxd, request, (request.project, "volumes", pool, name, backup))

    return handle


def read(lxd: Lxd, _: Request, key: tuple[str, ...]) -> Answer:
    found = _find(lxd, key)
    return sync({"name": key[-1], "created_at": found.made_at, "expires_at": found.expires_at})


def delete(lxd: Lxd, _: Request, key: tuple[str, ...]) -> Answer:
    _find(lxd, key)

    def work() -> None:
        del lxd.backups[key]

    return operations.run(lxd, "Deleting backup", work)


def export(lxd: Lxd, request: Request, key: tuple[str, ...]) -> Answer:
    found, wanted = _find(lxd, key), _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is None:
        raise NotModelled("a whole backup")
    first, last = int(wanted["first"]), min(int(wanted["last"]), len(found.archive) - 1)
    if first > last:
        raise Refused(416, "invalid range: failed to overlap")
    headers = {
        "Content-Type": "application/octet-stream", "Last-Modified": found.made_at,
        "Content-Range": f"bytes {first}-{last}/{len(found.archive)}",
    }  # fmt: skip
    return Answer(status=206, content=found.archive[first : last + 1], headers=headers)


def import_volume(lxd: Lxd, request: Request, pool: str, name: str) -> Answer:
    """The content is that of a tar archive, in which LXD reads sparse files, too."""

    def work() -> None:
        if (request.project, pool, name) in lxd.volumes:
            raise Refused(500, "Volume by that name already exists")
        try:
            with tarfile.open(fileobj=io.BytesIO(request.content), mode="r:") as archive:
                about, data = archive.extractfile("backup/index.yaml"), archive.extractfile("backup/volume.img")
                assert about is not None
                assert data is not None
                index, content = json.loads(about.read()), data.read()
        except (tarfile.TarError, KeyError) as error:
            raise Refused(500, f"Error reading backup file info: {error}") from error
        config = index["config"]["volume"]["config"]
        lxd.volumes[request.project, pool, name] = Volume(
            pool=pool, name=name, project=request.project, content_type="block", config=config,
            disk=Disk(size_bytes=int(config["size"]), content=content.rstrip(b"\0")),
            member=lxd.other_member(request.query.get("target", "")),
        )  # fmt: skip

    return operations.run(lxd, "Restoring custom volume backup", work)


def _make(lxd: Lxd, request: Request, owner: tuple[str, ...], files: dict[str, bytes], what: str) -> Answer:
    body = request.body()
    if body.get("compression_algorithm") != "none" or body.get("optimized_storage"):
        raise NotModelled("compressed and optimized backups")
    key = (request.project, *owner, str(body["name"]))

    def work() -> None:
        if key in lxd.backups:
            raise Refused(400, f'Backup "{body["name"]}" already exists')
        lxd.made += 1
        lxd.backups[key] = Backup(
            archive=_archive({"backup/index.yaml": b"{}", **files}),
            made_at=f"{now()} {lxd.made}",
            expires_at=body["expires_at"],
        )

    return operations.run(lxd, what, work)


def _archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _content(disk: Disk) -> bytes:
    return disk.content.ljust(disk.size_bytes, b"\0")


def _volume(lxd: Lxd, request: Request, pool: str, name: str) -> Volume:
    lxd.check_pool(pool)
    found = lxd.volumes.get((request.project, pool, name))
    if found is None:
        raise Refused(404, "Storage pool volume not found")
    return found


def _find(lxd: Lxd, key: tuple[str, ...]) -> Backup:
    found = lxd.backups.get(key)
    if found is None:
        raise Refused(404, "Backup not found")
    return found
