"""Opens a dump of any form as a SQL script: plain, compressed, or an archive for `pg_restore`.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from attrs import frozen

from common.errors import InvalidRequest
from innkeeper.maas_import.script import cut_off
from innkeeper.maas_import.stopping import Stop
from innkeeper.maas_import.wanted import OPENFGA, TABLES

_CUSTOM = b"PGDMP"
_CONTENTS = "toc.dat"  # of an archive in the formats tar and directory
_HEAD_BYTES = 64 * 1024
_TAR_MAGIC = slice(257, 262)
_PACKAGED = Path("/usr/lib/postgresql")  # of Debian: a folder for each release
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_UNSUPPORTED = re.compile(r"unsupported version \(([\d.]+)\) in file header")
# The release of PostgreSQL with which a version of the archive's form begins.
_ARCHIVES = {(1, 14): 12, (1, 15): 16, (1, 16): 17}
_PLAIN_HELP = "make a plain dump instead (pg_dump --format=plain), which needs no program here"
_SHOWN_LINES = 3


@frozen
class Restorer:
    """A `pg_restore` and its release."""

    path: str
    release: int


@contextmanager
def opened_script(path: Path, *, stop: Stop, restorers: Sequence[str] | None = None) -> Iterator[BinaryIO]:
    """The dump as a script, whatever its form. Raises InvalidRequest for a file that is no dump of PostgreSQL.

    `restorers` replaces the places where `pg_restore` is looked for.
    """
    try:
        if path.is_dir():
            if not (path / _CONTENTS).is_file():
                raise InvalidRequest(f"{path} is a folder, and not one of pg_dump --format=directory.")
            with _restored(path, b"", restorers, stop) as script:
                yield script
            return
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(0)
            if head.startswith(_CUSTOM) or _is_archive(head):
                with _restored(path, head, restorers, stop) as script:
                    yield script
            else:
                with _decompressed(path, file, head) as script:
                    yield script
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise InvalidRequest(f"{path} cannot be decompressed: {error}. Copy it again, or make a new dump.") from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}.") from error
    except EOFError as error:
        raise cut_off("the compressed file has no end") from error


def _is_archive(head: bytes) -> bool:
    return head[_TAR_MAGIC] == b"ustar" and head.startswith(_CONTENTS.encode())


@contextmanager
def _decompressed(path: Path, file: BinaryIO, head: bytes) -> Iterator[BinaryIO]:
    inner: BinaryIO
    if head.startswith(b"\x1f\x8b"):
        inner = cast(BinaryIO, gzip.GzipFile(fileobj=file))
    elif head.startswith(b"\xfd7zXZ\x00"):
        inner = cast(BinaryIO, lzma.LZMAFile(file))  # noqa: SIM115  # closed below
    elif head.startswith(b"BZh"):
        inner = cast(BinaryIO, bz2.BZ2File(file))  # closed below
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        raise InvalidRequest(f"{path} is compressed with zstd: decompress it first (unzstd).")
    else:
        _check_text(path, head)
        yield file
        return
    with inner:
        beginning = inner.read(_HEAD_BYTES)
        if beginning.startswith(_CUSTOM) or beginning[_TAR_MAGIC] == b"ustar":
            raise InvalidRequest(
                f"{path} is a compressed archive: decompress it first, and give the file of pg_dump in it."
            )
        _check_text(path, beginning)
        inner.seek(0)
        yield inner


def _check_text(path: Path, head: bytes) -> None:
    if not head:
        raise InvalidRequest(f"{path} is empty. Make a new dump, and look at what pg_dump says.")
    if head[_TAR_MAGIC] == b"ustar":
        raise InvalidRequest(f"{path} is a tar archive: unpack it, and give the file of pg_dump or pg_dumpall in it.")
    if b"\0" in head:
        raise InvalidRequest(f"{path} is no dump of PostgreSQL: it is a binary file of another kind.")


@contextmanager
def _restored(path: Path, head: bytes, restorers: Sequence[str] | None, stop: Stop) -> Iterator[BinaryIO]:
    program = _newest(path, restorers)
    # An absolute path is no option.
    argv = [program.path, "--data-only", "--schema=public", f"--schema={OPENFGA}",
            *(f"--table={name}" for name in TABLES), "--file=-", str(path.resolve())]  # fmt: skip
    with tempfile.TemporaryFile() as words:  # a pipe could fill up
        process = subprocess.Popen(  # noqa: S603  # PostgreSQL's program
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env={**os.environ, "LC_ALL": "C"}
        )
        try:
            stop.waits_for(process)
            script = process.stdout
            if script is None:  # cannot be: it is a pipe
                raise AssertionError
            problem: InvalidRequest | None = None
            try:
                yield cast(BinaryIO, script)
            except InvalidRequest as error:
                problem = error  # the program's own words may say why
            while script.read(_HEAD_BYTES):  # so that it ends by itself
                pass
            if process.wait() != 0:
                raise _failure(path, head, program, _words(words)) from problem
            if problem is not None:
                raise problem
        finally:
            stop.waits_for(None)
            with suppress(OSError):
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _newest(path: Path, places: Sequence[str] | None) -> Restorer:
    searched = list(_places()) if places is None else places
    found = [one for place in searched if (one := _restorer(place)) is not None]
    if not found:
        raise InvalidRequest(
            f"{path} is an archive of pg_dump, which only pg_restore reads, and there is none on this computer. "
            f"Install it (Debian and Ubuntu: apt install postgresql-client), or {_PLAIN_HELP}."
        )
    return max(found, key=lambda one: one.release)


def _places() -> Iterator[str]:
    if (path := shutil.which("pg_restore")) is not None:
        yield path
    yield from sorted(str(path) for path in _PACKAGED.glob("*/bin/pg_restore"))


def _restorer(path: str) -> Restorer | None:
    try:
        answer = subprocess.run(  # noqa: S603  # PostgreSQL's program
            [path, "--version"], capture_output=True, text=True, timeout=10.0, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stdout)
    return None if found is None else Restorer(path, int(found[1]))


def _failure(path: Path, head: bytes, program: Restorer, words: str) -> InvalidRequest:
    if _UNSUPPORTED.search(words) is not None:
        version = (head[5], head[6]) if len(head) > 6 else (0, 0)
        needed = _ARCHIVES.get(version)
        install = f"postgresql-client-{needed}" if needed else "a newer postgresql-client"
        return InvalidRequest(
            f"{path} was written by a newer pg_dump than the newest pg_restore here ({program.path} of PostgreSQL "
            f"{program.release}) can read. Install {install} or later, or {_PLAIN_HELP}."
        )
    return InvalidRequest(f"{path} cannot be read, pg_restore says: {words}. The dump may be cut off or damaged.")


def _words(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read(_HEAD_BYTES).decode(errors="replace").strip().splitlines()
    return " ".join(lines[:_SHOWN_LINES]).rstrip(".") or "nothing"
