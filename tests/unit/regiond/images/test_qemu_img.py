"""The process that opens untrusted images: its limits, and what becomes of strange answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import Unsupported
from common.guests.deployment_spec import ImageFormat
from regiond.images.inspection.limited_process import ProcessLimits
from regiond.images.inspection.qemu_img import QemuImg
from regiond.images.model import BadImage
from tests.support.disk_images import qcow2, raw_disk

QCOW2 = ImageFormat.QCOW2
DEFAULT = ProcessLimits()


def tool(folder: Path, script: str) -> str:
    """The path of a program that stands in for qemu-img."""
    path = folder / "tool"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def refusal(folder: Path, script: str, limits: ProcessLimits = DEFAULT) -> str:
    with pytest.raises(BadImage) as refused:
        await QemuImg(program=tool(folder, script), limits=limits).virtual_size_bytes(folder / "disk", QCOW2)
    return str(refused.value)


async def test_sizes_are_those_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(raw_disk(4096))
    qcow2(tmp_path / "disk", size="10M")
    assert await QemuImg().virtual_size_bytes(tmp_path / "raw", ImageFormat.RAW) == 4096
    assert await QemuImg().virtual_size_bytes(tmp_path / "disk", QCOW2) == 10 * 2**20
    await QemuImg().check(tmp_path / "disk")


async def test_a_backing_file_is_never_opened(tmp_path: Path) -> None:
    qcow2(tmp_path / "base", size="10M")
    qcow2(tmp_path / "top", "-b", str(tmp_path / "base"), "-F", "qcow2", size="10M")
    (tmp_path / "base").unlink()
    with pytest.raises(BadImage, match="refers to another file"):
        await QemuImg().virtual_size_bytes(tmp_path / "top", QCOW2)
    await QemuImg().check(tmp_path / "top")


async def test_a_name_with_special_characters_is_only_a_name(tmp_path: Path) -> None:
    odd = tmp_path / 'json:{"a": "b,c"}'
    qcow2(tmp_path / "disk", size="10M")
    (tmp_path / "disk").rename(odd)
    assert await QemuImg().virtual_size_bytes(odd, QCOW2) == 10 * 2**20


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("sleep 60", ProcessLimits(deadline_s=0.5), "took longer than"),
        ("while :; do :; done", ProcessLimits(cpu_s=1), "qemu-img cannot read the image"),
        ("yes", DEFAULT, "too many results"),
        ("echo no JSON", DEFAULT, "qemu-img cannot read the image: it ended with status 0"),
        ("echo the reason >&2; exit 1", DEFAULT, "qemu-img cannot read the image: the reason"),
        ("echo '[1]'", DEFAULT, "qemu-img cannot read the image"),
        ("""echo '{"format": "raw", "virtual-size": 1}'""", DEFAULT, "finds the format 'raw', not qcow2"),
        ("""echo '{"format": "qcow2", "virtual-size": "1"}'""", DEFAULT, "finds the format 'qcow2'"),
        ("""echo '{"format": "qcow2", "virtual-size": 1, "encrypted": true}'""", DEFAULT, "is encrypted"),
    ],
)
async def test_strange_answers_are_refusals(tmp_path: Path, script: str, limits: ProcessLimits, reason: str) -> None:
    assert reason in await refusal(tmp_path, script, limits)


async def test_the_process_writes_no_file(tmp_path: Path) -> None:
    target = tmp_path / "written"
    await refusal(tmp_path, f"echo data > {target}")
    assert not target.exists() or target.stat().st_size == 0


async def test_the_process_has_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_REGION", "x")
    assert "SECRET_OF_THE_REGION" in os.environ
    assert "nothing" in await refusal(tmp_path, 'echo "${SECRET_OF_THE_REGION:-nothing}" >&2; exit 1')


async def test_a_missing_tool_is_named() -> None:
    with pytest.raises(Unsupported, match="install the package qemu-utils"):
        await QemuImg(program="no-such-tool").virtual_size_bytes(Path("disk"), QCOW2)


@pytest.mark.parametrize("options", [(), ("compression_type=zstd",)], ids=["zlib", "zstd"])
async def test_the_head_of_a_disk_is_read_from_any_format(tmp_path: Path, options: tuple[str, ...]) -> None:
    disk = raw_disk(2**20, seed=7)
    (tmp_path / "raw").write_bytes(disk)
    qcow2(tmp_path / "disk", "-c", *(argument for option in options for argument in ("-o", option)), data=disk)
    assert await QemuImg().disk_head(tmp_path / "raw", ImageFormat.RAW, 17408) == disk[:17408]
    assert await QemuImg().disk_head(tmp_path / "disk", QCOW2, 17408) == disk[:17408]


async def test_a_disk_shorter_than_its_head_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(raw_disk(4096))
    assert await QemuImg().disk_head(tmp_path / "raw", ImageFormat.RAW, 17408) == raw_disk(4096)
