"""What a program that reads an untrusted image may still do: open that image, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from regiond.images.inspection import confined_program
from regiond.images.inspection.confinement import ConfinementReport
from regiond.images.inspection.limited_process import OpenFiles, ProcessLimits, run_limited, unconfined_rights

PROGRAM = confined_program.__file__
LIMITS = ProcessLimits(cpu_s=20, deadline_s=60.0)
LANDLOCK = confined_program.landlock_version()

pytestmark = pytest.mark.skipif(not LANDLOCK, reason="this kernel has no Landlock")


async def python(text: str, *files: Path, write: tuple[Path, ...] = ()) -> str:
    """What a confined Python prints, or the last line of its errors."""
    command = (sys.executable, "-I", "-S", "-c", text)
    ended = await run_limited(command, LIMITS, OpenFiles(read=files, write=write))
    return ended.out.decode().strip() if ended.status == 0 else ended.last_line


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_it_opens_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    image, secret = tmp_path / "image", tmp_path / "secret"
    image.write_text("an image")
    secret.write_text("a secret")
    assert await python(f"print(open({str(image)!r}).read())", image) == "an image"
    for path in (str(secret), "/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ", str(tmp_path)):
        for opened in (f"open({path!r})", f"import os; os.listdir({path!r})"):
            assert "Permission denied" in await python(opened, image) or "Not a directory" in await python(
                opened, image
            )


async def test_it_writes_only_what_is_named_for_that(tmp_path: Path) -> None:
    image, target, other = tmp_path / "image", tmp_path / "target", tmp_path / "other"
    for one in (image, target, other):
        one.write_text("before")
    write = "open({!r}, 'r+').truncate(1)"
    limits = ProcessLimits(file_bytes=100)
    for path, status in ((target, 0), (image, 1), (other, 1)):
        command = (sys.executable, "-I", "-S", "-c", write.format(str(path)))
        ended = await run_limited(command, limits, OpenFiles(read=(image,), write=(target,)))
        assert (ended.status, path.read_text()) == (status, "b" if status == 0 else "before")
    for action in ("os.remove(p)", "os.rename(p, p + 'x')", "os.truncate(p, 0)", "os.chmod(p, 0o777)", "os.utime(p)"):
        assert "rror" in await python(f"import os; p = {str(other)!r}; {action}")
    assert "rror" in await python(f"open({str(tmp_path / 'new')!r}, 'w')")
    assert (other.read_text(), other.stat().st_mode & 0o777 == 0o777) == ("before", False)
    assert names_in(tmp_path) == ["image", "other", "target"]


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
async def test_it_makes_no_socket(family: str) -> None:
    made = await python(f"import socket; socket.socket(socket.{family}, socket.SOCK_STREAM)")
    assert "Operation not permitted" in made


@pytest.mark.parametrize(
    "attempt",
    [
        "os.kill(region, 0)",
        "os.pidfd_open(region)",
        "resource.prlimit(region, resource.RLIMIT_NOFILE, (1, 1))",
        "os.chown('/usr', -1, os.getgid())",
        "os.setxattr('/usr', 'user.x', b'')",
        "check(libc.ptrace(16, region, 0, 0))",
        "check(libc.unshare(0x10000000))",
        "check(libc.syscall(425, 1, None))",  # io_uring_setup
        "check(libc.syscall(250, 0, 0, 0))" if os.uname().machine == "x86_64" else "check(libc.syscall(219, 0, 0, 0))",
    ],
)
async def test_it_reaches_no_other_process(attempt: str) -> None:
    helpers = (
        "import ctypes, os, resource\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def check(result):\n    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n"
    )
    assert "Operation not permitted" in await python(f"{helpers}region = {os.getpid()}\n{attempt}")


async def test_it_may_use_threads_and_children() -> None:
    threads = (
        "import _thread, time; done = []; _thread.start_new_thread(done.append, (1,))\nwhile not done: time.sleep(0)"
    )
    assert await python(f"{threads}\nprint(done)") == "[1]"
    child = (
        "import os; pid = os.fork()\nif not pid: os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert await python(child) == "7"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to lose")
async def test_root_keeps_no_right_of_root(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("a secret")
    os.chown(theirs, 65534, 65534)
    theirs.chmod(0o600)
    assert "Permission denied" in await python(f"open({str(theirs)!r})", theirs)
    assert "Operation not permitted" in await python("import os; os.setuid(65534)")


def test_a_missing_program_is_named() -> None:
    command = [sys.executable, "-I", "-S", PROGRAM, "--", "no-such-program"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (127, "no-such-program: No such file or directory\n")


@pytest.mark.parametrize(("version", "kept"), [(0, ["files"]), (1, []), (2, []), (3, []), (4, [])])
def test_older_kernels_confine_as_far_as_they_can(tmp_path: Path, version: int, kept: list[str]) -> None:
    """Of Landlock, version 2 is that of Debian 12. The calls are filtered by all of them."""
    if version > LANDLOCK:
        pytest.skip("this kernel has an older Landlock")
    (tmp_path / "secret").write_text("a secret")
    text = f"""
import json, os, socket
from regiond.images.inspection import confined_program
confined_program.landlock_version = lambda: {version}
found = [confined_program.confine((), (), ())]
path = {str(tmp_path / "secret")!r}
for attempt in (lambda: open(path), socket.socket, lambda: os.truncate(path, 0)):
    try:
        found.append(attempt() is not Ellipsis)
    except OSError:
        found.append(False)
print(json.dumps(found))
"""
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True)
    assert json.loads(ended.stdout) == [kept, version == 0, False, False]


async def test_this_computer_confines_all() -> None:
    assert await unconfined_rights() == ()


async def test_what_is_not_confined_is_logged_once() -> None:
    async def files() -> tuple[str, ...]:
        return ("files",)

    async def nothing() -> tuple[str, ...]:
        return ()

    report = ConfinementReport(files)
    with capture_logs() as logs:
        for _ in range(3):
            await report.once()
        await ConfinementReport(nothing).once()
    assert [(one["event"], one["log_level"], one["unprotected"]) for one in logs] == [
        ("image_checks_not_confined", "warning", ("files",))
    ]
