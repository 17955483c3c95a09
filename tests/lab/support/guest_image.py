"""The cloud image of the lab, and what its guests say when somebody logs in."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import InnkeeperError
from innkeeper.commands.images import ImageUpload
from innkeeper.output.progress import Report
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

USER = "debian"  # the default user in the image
BOOT_S = 600.0  # a guest boots in 40 s under software emulation, and in five times that on a busy machine
_BUILD_S = 900.0
_LAB = Path(__file__).parents[1] / "lab"


def image_file(packages: str = "") -> Path:
    """Returns the qcow2 file; with `hypervisors` as packages, LXD and libvirt are in it. The first call builds it."""
    built = subprocess.run(
        [str(_LAB), "image", "", packages], stdout=subprocess.PIPE, text=True, check=True, timeout=_BUILD_S
    )
    return Path(built.stdout.strip())


class _Silent:
    def begin(self, text: str) -> None: ...

    def report(self, report: Report) -> None: ...

    def end(self) -> None: ...


async def upload_image(innkeeper: Deployment, name: str = "debian/bookworm", *, packages: str = "") -> Any:
    """Returns the image, which is ready, as the API does."""
    return await ImageUpload(
        api=innkeeper.api, path=await asyncio.to_thread(image_file, packages),
        plain=[("name", name), ("architecture", "amd64")], waits=True, progress=_Silent(),
    ).run()  # fmt: skip


class SshKey:
    """A key pair in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "guest-key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._file)], check=True)

    @property
    def public(self) -> str:
        return self._file.with_suffix(".pub").read_text().strip()

    async def run(self, address: str, command: str) -> str:
        """Returns the output of a command in the guest. Raises InnkeeperError if it fails or nobody answers."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=110")
        process = await asyncio.create_subprocess_exec(
            "ssh", "-i", str(self._file), *(word for option in options for word in ("-o", option)),
            f"{USER}@{address}", command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        if process.returncode != 0:
            raise InnkeeperError(f"ssh to {address}: {errors.decode()}")
        return out.decode()


async def becomes(
    innkeeper: Deployment, system_id: str, status: str, console: Callable[[], str], *, deadline_s: float = BOOT_S
) -> Any:
    """Returns the machine once it has the status. Fails with the end of the guest's console."""

    async def reached() -> Any:
        machine = await innkeeper.get(f"machines/{system_id}/")
        if machine["status_name"] != status:
            assert machine["status_name"] != "Failed deployment", machine["status_message"]
            return None
        return machine

    try:
        return await eventually(reached, deadline_s=deadline_s, every_s=1.0)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{console()[-4000:]}") from error
